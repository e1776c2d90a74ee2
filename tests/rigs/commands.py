"""The commands of `rh`, as typer knows them."""

from __future__ import annotations

from typing import Any

import typer.main

from runhouse.cli.main import app


def commands() -> dict[tuple[str, ...], Any]:
    """Return all commands and groups of `rh` by their words; `rh` itself has none."""
    found: dict[tuple[str, ...], Any] = {}
    rest: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while rest:
        words, command = rest.pop()
        found[words] = command
        rest += [((*words, name), below) for name, below in below_of(command).items()]
    return found


def below_of(command: Any) -> dict[str, Any]:
    """Return the commands of a group by their names; none when it is no group."""
    below: dict[str, Any] = getattr(command, "commands", {})
    return below
