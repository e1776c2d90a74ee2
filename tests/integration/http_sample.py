"""Functions that the tests call over HTTP."""

from __future__ import annotations

import datetime  # noqa: TC003 - annotations are looked at when called
import enum
import math
import os
import time
from collections.abc import Iterator  # noqa: TC003 - annotations are looked at when called
from pathlib import Path
from typing import Any, Literal

import numpy as np

import runhouse as rh
from tests.integration.sample import Point


class Color(enum.Enum):
    """Be one of two colors."""

    RED = "red"
    BLUE = "blue"


def typed(
    number: int,
    ratio: float,
    yes: bool,
    text: str,
    when: datetime.date,
    color: Color,
    items: list[int],
    table: dict[str, int],
    mode: Literal["fast", "slow"],
    maybe: int | None = None,
) -> dict[str, Any]:
    """Return the arguments."""
    return dict(locals())


def shaped(
    point: Point, when: datetime.datetime, pair: tuple[int, str], color: Color
) -> dict[str, str]:
    """Return what the arguments have become."""
    return {
        "point": repr(point),
        "when": when.isoformat(),
        "pair": repr(pair),
        "color": color.name,
    }


def make(what: str) -> Any:
    """Return something that is no plain data."""
    if what == "stored":
        return rh.here.get("value")
    made = {"object": object(), "nan": float("nan"), "array": np.zeros(2), "point": Point(1, 2)}
    return made[what]


def wait_for(path: str) -> None:
    """Wait until a file is there."""
    while not Path(path).exists():
        time.sleep(0.01)


def stuck_stream(path: str) -> Iterator[int]:
    """Yield a number, and another one when a file is there."""
    yield 1
    wait_for(path)
    yield 2


def shout(path: str) -> None:
    """Print a line, and another one when a file is there."""
    print("first")
    wait_for(path)
    print("second")


def fails_later(number: int) -> Iterator[int]:
    """Yield numbers, then fail."""
    yield from range(number)
    raise ValueError(number)


def say(text: str, fails: bool = False) -> str:
    """Print a text; return it, or fail with it."""
    print(text)
    if fails:
        raise FileNotFoundError(text)
    return text


def endless(limit: float = math.inf, mode: Literal["a", b"b"] = "a") -> bytes:
    """Have a default that JSON does not have."""
    return f"{limit} {mode!r}".encode()


def add_again(a: int) -> int:
    """Be replaced below."""
    return a + 1


add_again.__doc__ = os.fsdecode(b"Add na\xefve.")


class Odd:
    """Refuse to be looked at."""

    def __getattribute__(self, name: str) -> Any:
        """Give nothing that is public."""
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        raise RuntimeError(name)

    def look(self) -> None:
        """Do nothing."""
