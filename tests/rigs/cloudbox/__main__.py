"""Commands for a region; README.md tells which."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

from tests.rigs.cloudbox import region
from tests.rigs.cloudbox.box import Box, BoxError
from tests.rigs.cloudbox.image import MachineImage

if TYPE_CHECKING:
    from types import FrameType


def _prepare(words: list[str]) -> int:
    """Make the machine image, unless it is there."""
    del words
    image = MachineImage.current(Box.chosen())
    image.prepare()
    print(image.folder)
    return 0


def _up(words: list[str]) -> int:
    """Begin a region, which stays until `down`."""
    del words
    region.start(Box.chosen())
    return 0


def _exec(words: list[str]) -> int:
    """Run a command on the user's machine in the region."""
    return region.run(Box.chosen(), words)


def _run(words: list[str]) -> int:
    """Begin a region that no other process has, run a command in it, and end it."""

    def end(signum: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + signum)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    box = Box.private()
    with region.running(box):
        return region.run(box, words)


def _status(words: list[str]) -> int:
    """List the hosts of a region."""
    del words
    for name, address in region.hosts(Box.chosen()).items():
        print(f"{name}  {address}")
    return 0


def _down(words: list[str]) -> int:
    """End a region with all that is in it."""
    del words
    region.stop(Box.chosen())
    return 0


COMMANDS = {
    "prepare": _prepare,
    "up": _up,
    "exec": _exec,
    "run": _run,
    "status": _status,
    "down": _down,
}


def main() -> int:
    """Do what the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.cloudbox")
    commands = parser.add_subparsers(dest="name", required=True)
    for name, function in COMMANDS.items():
        made = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        if name in {"exec", "run"}:
            made.add_argument("words", nargs=argparse.REMAINDER, help="-- and the command")
    chosen = parser.parse_args()
    words = getattr(chosen, "words", [])
    if words[:1] == ["--"]:
        words = words[1:]
    if chosen.name in {"exec", "run"} and not words:
        parser.error(f"{chosen.name} needs a command")
    try:
        return COMMANDS[chosen.name](words)
    except BoxError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
