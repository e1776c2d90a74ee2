"""What commands print, and the exit codes that scripts can rely on."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from runhouse.errors import (
    BootstrapError,
    ClusterNotFoundError,
    ClusterNotUpError,
    ConnectError,
    RunhouseError,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


class Exit(IntEnum):
    """Name the exit codes; a command that runs something else passes on its code instead."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_UP = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    NOT_STARTED = 6


_CODES: tuple[tuple[type[Exception], Exit], ...] = (
    (ClusterNotFoundError, Exit.NOT_FOUND),
    (ClusterNotUpError, Exit.NOT_UP),
    (ConnectError, Exit.UNREACHABLE),
    (BootstrapError, Exit.NOT_STARTED),
    (RunhouseError, Exit.FAILED),
    (ValueError, Exit.USAGE),
)


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_line(text: str) -> None:
    """Print one line, without any markup."""
    sys.stdout.write(text + "\n")


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; plain where the output is no terminal."""
    table = Table(*columns, title=title or None, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def megabytes(size_bytes: int) -> str:
    """Return a size as a person reads it."""
    return f"{size_bytes / 1e6:,.0f} MB"


@contextlib.contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Turn errors of the block into a message on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (RunhouseError, ValueError) as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        if as_json:
            print_json({"error": type(error).__name__, "message": str(error)})
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise typer.Exit(int(code)) from error
