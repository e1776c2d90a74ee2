"""What the tests of the dashboard run."""

from __future__ import annotations

import sys
import time
from pathlib import Path


def say_all(texts: list[str]) -> int:
    """Print texts as they are."""
    for text in texts:
        sys.stdout.write(text)
        sys.stdout.flush()
    return len(texts)


def say_and_wait(text: str, path: str) -> None:
    """Print, wait for a file, and print again."""
    print(text)
    while not Path(path).exists():
        time.sleep(0.01)
    print(f"{text} again")


def fail_with(text: str) -> None:
    """Raise an exception with a message."""
    raise ValueError(text)


def many_lines(number: int) -> None:
    """Print many lines at once."""
    sys.stdout.write("".join(f"line {i}\n" for i in range(number)))
