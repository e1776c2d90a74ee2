"""Classes whose objects the tests keep on clusters."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import runhouse as rh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from typing_extensions import Self


class Base:
    """Have something to inherit."""

    origin = "base"

    def inherited(self) -> str:
        """Return the name of the object's own class."""
        return type(self).__name__


class Shelf(Base):
    """Hold numbers, and have one of everything that classes have."""

    kind = "shelf"

    def __init__(self, size: int = 0, label: str = "") -> None:
        """Hold the numbers up to a size."""
        self.items = list(range(size))
        self.label = label
        self._secret = "private"
        self.opened = 0

    # -- methods --------------------------------------------------------------------------------

    def add(self, number: int, *, times: int = 1) -> int:
        """Add a number and return how many there are."""
        self.items += [number] * times
        return len(self.items)

    def pid(self) -> int:
        """Return the worker's process id."""
        return os.getpid()

    def rest(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def sorted(self) -> Self:
        """Sort the numbers; returns the shelf."""
        self.items.sort()
        return self

    async def sorted_later(self) -> Self:
        """Sort the numbers after a while; returns the shelf."""
        await asyncio.sleep(0)
        return self.sorted()

    def _hidden(self, number: int) -> int:
        return number + 1

    async def total_later(self) -> int:
        """Return the sum after a while."""
        await asyncio.sleep(0.01)
        return sum(self.items)

    def each(self) -> Iterator[int]:
        """Yield the numbers."""
        yield from self.items

    async def each_later(self) -> AsyncIterator[int]:
        """Yield the numbers."""
        for item in self.items:
            await asyncio.sleep(0)
            yield item

    def takes_any(*args: Any, **kwargs: Any) -> tuple[int, list[str]]:
        """Have no parameter named self."""
        return len(args) - 1, sorted(kwargs)

    @staticmethod
    def double(number: int) -> int:
        """Double a number."""
        return 2 * number

    @classmethod
    def of_size(cls, size: int) -> Self:
        """Make a shelf."""
        return cls(size, "made")

    @classmethod
    async def of_size_later(cls, size: int) -> Self:
        """Make a shelf after a while."""
        await asyncio.sleep(0)
        return cls(size)

    @classmethod
    def wide(cls) -> WideShelf:
        """Make an object of a subclass."""
        return WideShelf(1)

    @property
    def total(self) -> int:
        """Return the sum."""
        return sum(self.items)

    @property
    def name_of_label(self) -> str:
        """Have a setter."""
        return self.label.upper()

    @name_of_label.setter
    def name_of_label(self, value: str) -> None:
        self.label = value.lower()

    @property
    def broken(self) -> int:
        """Raise the error of a mistake in here."""
        return self.nothing_of_this_name  # type: ignore[attr-defined, no-any-return]

    # -- operators ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __setitem__(self, index: int, value: int) -> None:
        self.items[index] = value

    def __delitem__(self, index: int) -> None:
        del self.items[index]

    def __contains__(self, number: object) -> bool:
        return number in self.items

    def __iter__(self) -> Iterator[int]:
        return iter(self.items)

    def __aiter__(self) -> AsyncIterator[int]:
        return self.each_later()

    def __call__(self, factor: int, *, plus: int = 0) -> list[int]:
        return [item * factor + plus for item in self.items]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shelf) and other.items == self.items

    def __hash__(self) -> int:
        return 7

    def __iadd__(self, number: int) -> Self:
        self.add(number)
        return self

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(self, *what: object) -> bool:
        self.opened -= 1
        return what[0] is KeyError

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *what: object) -> None:
        self.__exit__(*what)


class WideShelf(Shelf):
    """Be a subclass with a method of its own."""

    def width(self) -> int:
        """Return the width."""
        return 100


class Countdown:
    """Be an iterator, which goes on from where it stands."""

    def __init__(self, start: int) -> None:
        """Start from a number."""
        self.left = start

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        return next(self)


class Greedy:
    """Have names of its own for all that proxies have."""

    remote = "own remote"

    def __init__(self, name: str) -> None:
        """Have attributes of these names, which the class does not know."""
        self.name = name
        self.key = "own key"

    def fetch(self, what: str) -> str:
        """Have a method of this name."""
        return f"fetched {what}"

    def rename(self) -> str:
        """Have a method of this name."""
        return "renamed by itself"

    def to(self) -> str:
        """Have a method of this name."""
        return "to"

    def refresh(self) -> str:
        """Have a method of this name."""
        return "fresh"

    @property
    def local(self) -> str:
        """Have a property of this name."""
        return "own local"


class Tally(rh.Module):
    """Be a class that is made to be sent."""

    def __init__(self, size: int = 0) -> None:
        """Start from a number."""
        self.size = size

    def grow(self, by: int = 1) -> int:
        """Add to the size and return it."""
        self.size += by
        return self.size

    def pid(self) -> int:
        """Return the process that this runs in."""
        return os.getpid()

    @classmethod
    def factory_constructor(cls, size: int) -> Self:
        """Make a tally of another kind."""
        return cls(size * 2)


@dataclass
class Labelled(rh.Module):
    """Be a dataclass with a field that proxies have, too."""

    name: str
    key: int = 3


class Holder:
    """Hold another object, or its proxy."""

    def __init__(self, shelf: Any) -> None:
        """Store it."""
        self.shelf = shelf

    def add(self, number: int) -> int:
        """Add to what is held."""
        return int(self.shelf.add(number))


class Guarded:
    """Answer for attributes by itself."""

    def __init__(self, refused: bool = False) -> None:
        """Refuse to be made, if told so."""
        if refused:
            msg = "not made"
            raise ValueError(msg)

    def __getattr__(self, name: str) -> str:
        if name.startswith("made_"):
            return name.upper()
        msg = f"guarded: {name}"
        raise AttributeError(msg)


def add_to(shelf: Any, number: int) -> tuple[int, int]:
    """Add to a shelf; return how many there are, and the process that this runs in."""
    return shelf.add(number), os.getpid()


def add_to_all(shelves: dict[str, list[Any]], number: int) -> list[int]:
    """Add to several shelves."""
    return [shelf.add(number) for shelf in shelves["shelves"]]


def look_at(shelf: Any) -> tuple[str, list[int], int, str]:
    """Use a shelf in all ways; tell how it looks from where this runs."""
    shelf.label = "seen"
    return type(shelf).__name__, shelf.fetch("items"), len(shelf), shelf.remote._secret


def is_the_same(shelf: Any, very: Any) -> bool:
    """Tell whether a proxy stands for an object that is here."""
    return shelf.fetch() is very


def give_back(value: Any) -> Any:
    """Return the argument."""
    return value


def make_here(size: int) -> Any:
    """Make a shelf on the cluster that this runs on, and return its proxy."""
    return rh.module(Shelf).to(rh.here)(size, name="made-there")  # type: ignore[call-arg]
