"""Commands for a box; README.md tells which."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
from pathlib import Path

from tests.rigs.sagemakerbox import life
from tests.rigs.sagemakerbox.box import Box, BoxError
from tests.rigs.sagemakerbox.server import serve


def _up(words: list[str]) -> int:
    """Begin a box, which stays until `down`; prints the environment of its user."""
    box = Box.chosen()
    life.start(box, words[0] if words else "")
    for name, value in box.variables().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _exec(words: list[str]) -> int:
    """Run a command with the environment of the box's user."""
    words = words[1:] if words[:1] == ["--"] else words
    os.execvpe(words[0], words, Box.chosen().environment())  # noqa: S606 - it is to be this


def _status(words: list[str]) -> int:
    """Tell whether there is a box."""
    del words
    print("up" if Box.chosen().ready_file.exists() else "down")
    return 0


def _down(words: list[str]) -> int:
    """End a box with all that is in it."""
    del words
    life.stop(Box.chosen())
    return 0


def _serve(words: list[str]) -> int:
    """Be the process of a box: FOLDER PORT FAULTS."""
    folder, port, given = words
    faults = dict(each.split("=") for each in given.split(",") if each)
    box = Box(Path(folder), int(port))
    asyncio.run(serve(box, {name: float(value) for name, value in faults.items()}))
    return 0


COMMANDS = {"up": _up, "exec": _exec, "status": _status, "down": _down, "serve": _serve}


def main() -> int:
    """Do what the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.sagemakerbox")
    commands = parser.add_subparsers(dest="name", required=True)
    for name, function in COMMANDS.items():
        made = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        made.add_argument("words", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    try:
        return COMMANDS[chosen.name](chosen.words)
    except BoxError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
