"""What the measured calls run."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator


def identity(value: Any) -> Any:
    """Return the argument."""
    return value


def size_of(array: np.ndarray) -> int:
    """Return the size of an array in bytes."""
    return int(array.nbytes)


def make_array(size: int) -> np.ndarray:
    """Return an array of that many bytes."""
    return np.ones(size, dtype="u1")


def size_of_bytes(data: bytes) -> int:
    """Return how many bytes arrived."""
    return len(data)


def numbers(count: int) -> Iterator[int]:
    """Yield numbers."""
    yield from range(count)


async def identity_async(value: Any) -> Any:
    """Return the argument, a moment later."""
    await asyncio.sleep(0)
    return value


def make_bytes(size: int) -> bytes:
    """Return that many bytes, which are not zero: memory of zeros would not be there yet."""
    return b"x" * size


def hold(duration_s: float) -> None:
    """Take some time."""
    time.sleep(duration_s)


def own_pid() -> int:
    """Return the process that this runs in."""
    return os.getpid()


def fail(text: str) -> None:
    """Raise."""
    raise ValueError(text)


class Counter:
    """Count."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.count = 0

    def add(self, number: int) -> int:
        """Add a number, and return the sum."""
        self.count += number
        return self.count
