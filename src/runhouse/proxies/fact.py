"""What a module knows of itself, unless its class has something else under the name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")


class Fact(Generic[V]):
    """Be a property that gives way to attributes of the same name, also of dataclasses."""

    def __init__(self, give: Callable[[Any], V]) -> None:
        """Store what gives it."""
        self._give = give
        self.__doc__ = give.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Note where it is defined."""
        self._owner, self._name = owner, name

    @overload
    def __get__(self, module: None, owner: type) -> Fact[V]: ...

    @overload
    def __get__(self, module: object, owner: type) -> V: ...

    def __get__(self, module: object, owner: type) -> Fact[V] | V:
        """Return what it gives; of the class that defines it, itself.

        Raises:
            AttributeError: It was asked of a class that is derived from that one.
        """
        if module is not None:
            return self._give(module)
        if owner is self._owner:
            return self
        msg = f"type object {owner.__name__!r} has no attribute {self._name!r}"
        raise AttributeError(msg)
