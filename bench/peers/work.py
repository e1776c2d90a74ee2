"""What the calls run in the peers' workers."""

from __future__ import annotations

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


def numbers(count: int) -> Iterator[int]:
    """Yield numbers."""
    yield from range(count)
