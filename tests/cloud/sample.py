"""Functions that the tests of clouds send."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def host() -> str:
    """Return the name of the host."""
    return os.uname().nodename


def count(number: int) -> Iterator[int]:
    """Count, and say so."""
    for each in range(number):
        print("counting", each)
        yield each


def write(path: str, text: str) -> int:
    """Write a file."""
    return Path(path).expanduser().write_text(text)


def work(seconds: float, mark: str) -> str:
    """Take a while: write to a file when it begins and when it has ended."""
    path = Path(mark).expanduser()
    path.write_text("begun")
    time.sleep(seconds)
    path.write_text("ended")
    return host()


def work_once(mark: str) -> str:
    """Work for long where nobody has done so yet; elsewhere return at once."""
    return work(0.0 if Path("~/second").expanduser().exists() else 600.0, mark)


class Tally:
    """Keep a number."""

    def __init__(self) -> None:
        """Begin with none."""
        self.total = 0

    def add(self, amount: int) -> int:
        """Add to the number."""
        self.total += amount
        return self.total
