"""What commands print, and the exit codes that scripts can rely on.

0 done, 1 failed, 2 wrong use, 3 the cluster is not up, 4 there is no such cluster, run, object or
method, 5 its host is out of reach or lets nobody in, 6 runhouse cannot start there, 130
interrupted, 141 nobody reads the output. `rh run` and `rh ssh` end with the code of what they ran;
when that did not run to its end, with 255, as ssh does.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated

import typer

from runhouse.errors import (
    ArgumentsError,
    BootstrapError,
    CallError,
    ClusterNotFoundError,
    ClusterNotUpError,
    ConnectError,
    InvalidNameError,
    MethodNotFoundError,
    NotSerializableError,
    ObjectNotFoundError,
    RemoteError,
    RunhouseError,
    RunNotFoundError,
    SecretNotFoundError,
)
from runhouse.wire.exceptions import RemoteTraceback

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else.")
]


class Exit(IntEnum):
    """Name the exit codes; a command that runs something else passes on its code instead."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_UP = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    NOT_STARTED = 6
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    NOT_RUN = 255


_CODES: tuple[tuple[type[Exception], Exit], ...] = (
    (ImportError, Exit.USAGE),
    (ClusterNotFoundError, Exit.NOT_FOUND),
    (SecretNotFoundError, Exit.NOT_FOUND),
    (RunNotFoundError, Exit.NOT_FOUND),
    (ObjectNotFoundError, Exit.NOT_FOUND),
    (MethodNotFoundError, Exit.NOT_FOUND),
    (ArgumentsError, Exit.USAGE),
    (ClusterNotUpError, Exit.NOT_UP),
    (InvalidNameError, Exit.USAGE),
    (ConnectError, Exit.UNREACHABLE),
    (BootstrapError, Exit.NOT_STARTED),
    (RunhouseError, Exit.FAILED),
    (ValueError, Exit.USAGE),
    (OSError, Exit.FAILED),
)
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_LEAST_DOLLARS = 0.001


def use_plain_streams() -> None:
    """Show what the terminal's encoding does not have as a question mark, instead of failing.

    A stream that whoever started us has closed leads nowhere; its descriptor is not to become that
    of a socket, on which something would then be printed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print a value as one JSON document; without an indent, on one line.

    Raises:
        NotSerializableError: It has no form in JSON.
    """
    try:
        text = json.dumps(value, indent=indent)
    except (TypeError, ValueError, RecursionError) as error:
        msg = (
            f"The value cannot be shown. {type(value).__name__} has no form in JSON: {error}. "
            "Leave out --json."
        )
        raise NotSerializableError(msg) from error
    print_line(text)


def write(text: str) -> None:
    """Print a text at once, without any markup."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_line(text: str) -> None:
    """Print one line."""
    write(f"{text}\n")


def print_error(message: str) -> None:
    """Print a message about what went wrong."""
    sys.stderr.write(f"Error: {message}\n")
    sys.stderr.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns under headings; a line is never cut or wrapped."""
    lines = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print_line("  ".join(cells).rstrip())


def counted(number: int, what: str) -> str:
    """Return a number of things: `1 file`, `2 files`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def span(length_s: float) -> str:
    """Return a length of time as a person reads it; clocks of hosts may differ."""
    for unit, size in _UNITS:
        if length_s >= size:
            return f"{length_s / size:.0f} {unit}"
    return "0 s" if length_s <= 0 else f"{1000 * length_s:.0f} ms"


def dollars(amount: float | None) -> str:
    """Return an amount of US dollars as a person reads it; a dash when it is not known."""
    if amount is None:
        return "-"
    if 0 < amount < _LEAST_DOLLARS:
        return f"<${_LEAST_DOLLARS}"
    return f"${amount:.3g}" if 0 < amount < 1 else f"${amount:,.2f}"


def confirm(question: str, refusal: str, *, yes: bool, as_json: bool) -> None:
    """Ask whether something may be done that cannot be undone.

    Args:
        question: What is asked on a terminal.
        refusal: What was not done, where nobody can be asked.
        yes: Whether the user has said so already.
        as_json: Whether the command is one of a script's.

    Raises:
        ValueError: There is nobody to ask.
        Abort: The user does not want it.
    """
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        why = "--json cannot ask first" if as_json else "There is no terminal on which to ask first"
        msg = f"{refusal} {why}. Add --yes."
        raise ValueError(msg)
    typer.confirm(question, abort=True)


def exit_code(error: Exception) -> Exit:
    """Return the exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)


@contextlib.contextmanager
def told(*, as_json: bool, failed: Exit | None = None, **facts: object) -> Iterator[None]:
    """Turn errors of the block into one message on stderr and an exit code.

    Args:
        as_json: Describe the error on stdout too, as a JSON object.
        failed: The exit code for all errors, or None: one that depends on the error.
        **facts: What else the JSON object is to hold.
    """
    try:
        yield
    except BrokenPipeError:
        # Whoever read our output has enough of it; Python is not to complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.PIPE_CLOSED) from None
    except KeyboardInterrupt:
        if as_json:
            print_json({**facts, "error": "KeyboardInterrupt", "message": "Interrupted."})
        raise typer.Exit(Exit.INTERRUPTED) from None
    except (RunhouseError, ImportError, ValueError, OSError) as error:
        if as_json:
            with contextlib.suppress(OSError):  # it may be what the error is about
                print_json({**facts, "error": type(error).__name__, "message": str(error)})
        print_error(str(error))
        raise typer.Exit(exit_code(error) if failed is None else failed) from error


@contextlib.contextmanager
def remote_errors_told(*, as_json: bool, **facts: object) -> Iterator[None]:
    """Tell of what a user's code on a cluster has raised; within `told`, which tells of the rest.

    Args:
        as_json: Describe the error on stdout too, as a JSON object.
        **facts: What else the JSON object is to hold.
    """
    try:
        yield
    except BaseException as error:
        text = _remote_traceback(error)
        if isinstance(error, CallError) or text is None:
            raise
        if as_json:
            kind = error.type_name if isinstance(error, RemoteError) else type(error).__name__
            print_json({**facts, "error": kind, "message": str(error), "traceback": text})
        print_error(f"The function has raised an exception.\n{text.rstrip()}")
        raise typer.Exit(Exit.FAILED) from error


def _remote_traceback(error: BaseException) -> str | None:
    """Return the traceback of the other side; None when the exception was raised here."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, RemoteTraceback):
        link = link.__cause__ or link.__context__
    return link.text if link is not None else None
