"""What the type of a proxy has: the methods, attributes and operators of a class."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runhouse.proxies.method import Method, Shape, is_method

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runhouse.proxies.stored import Stored

HELD = "_runhouse"
_BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or"
# What Python looks up on the type of an object, not on the object.
_OPERATORS = frozenset(
    f"__{word}__"
    for word in (
        "len length_hint getitem setitem delitem contains iter next reversed call "
        "enter exit aenter aexit aiter anext eq ne lt le gt ge bool int float complex index str "
        "bytes neg pos abs invert round trunc floor ceil "
        f"{_BINARY} {' '.join(f'r{word} i{word}' for word in _BINARY.split())}"
    ).split()
)
_EXITS = frozenset(("__exit__", "__aexit__"))
_ITERATIONS = {"__iter__": "__next__", "__aiter__": "__anext__"}


@dataclass(slots=True)
class Held:
    """Hold what a proxy stands for.

    Attributes:
        stored: Where the object is.
        cls: Its class.
        own_names: Public attributes that the object had when it was made, beside its class's.
        local: The object here from which the one there was made, or None.
    """

    stored: Stored
    cls: type
    own_names: frozenset[str] = frozenset()
    local: object = None


def held_by(proxy: object) -> Held | None:
    """Return what a proxy holds, or None when an object is no proxy."""
    try:
        held = object.__getattribute__(proxy, HELD)
    except AttributeError:
        return None
    return held if isinstance(held, Held) else None


@dataclass(frozen=True, slots=True)
class MethodMember:
    """Be a method in the type of a proxy."""

    shape: Shape

    def __get__(self, proxy: Any, owner: type | None = None) -> Any:
        """Return the method of a proxy's object; nothing is sent by this."""
        if proxy is None:
            return self.shape.code
        held: Held = proxy._runhouse
        return Method(self.shape, held.stored, proxy, held.local)


@dataclass(frozen=True, slots=True)
class DataMember:
    """Be a property or attribute in the type of a proxy."""

    cls: type
    name: str

    def __get__(self, proxy: Any, owner: type | None = None) -> Any:
        """Return the attribute of a proxy's object."""
        if proxy is None:
            return getattr(self.cls, self.name)
        held: Held = proxy._runhouse
        return held.stored.read(self.name)


def members(cls: type, base: type, own_names: Iterable[str]) -> dict[str, Any]:
    """Return what the type of proxies of a class has.

    Args:
        cls: The class.
        base: The public base of proxies, whose own members are not the class's.
        own_names: Attributes of the object itself that hide those of `base`.
    """
    names = {
        name
        for part in cls.__mro__
        if part not in (object, base)
        for name in vars(part)
        if not name.startswith("_")
    }
    found: dict[str, Any] = {name: DataMember(cls, name) for name in own_names}
    found |= {
        name: MethodMember(Shape(cls, name)) if is_method(cls, name) else DataMember(cls, name)
        for name in names
    }
    found |= {name: _operator(cls, name) for name in _OPERATORS if _defines(cls, name)}
    found["__hash__"] = _hash(cls)
    found["__class__"] = property(lambda _: cls)
    found |= {"__doc__": cls.__doc__, "__module__": cls.__module__}
    return found


def _defines(cls: type, name: str) -> bool:
    """Tell whether a class, not just `object`, has an operator."""
    own = inspect.getattr_static(cls, name, None)
    return own is not None and own is not inspect.getattr_static(object, name, None)


def _operator(cls: type, name: str) -> Callable[..., Any]:
    """Return an operator that is applied where the object is."""
    if name in _ITERATIONS and hasattr(cls, _ITERATIONS[name]):
        return lambda self: self  # an iterator: it goes on from where it stands
    shape = Shape(cls, name)

    def operate(self: Any, *args: Any, **kwargs: Any) -> Any:
        held: Held = self._runhouse
        if name in _EXITS and len(args) == 3:
            args = (*args[:2], None)  # a traceback cannot be sent
        return Method(shape, held.stored, self)(*args, **kwargs)

    operate.__name__, operate.__qualname__ = name, f"{cls.__qualname__}.{name}"
    return operate


def _hash(cls: type) -> Any:
    own = inspect.getattr_static(cls, "__hash__", None)
    return own if own is None or own is object.__hash__ else _operator(cls, "__hash__")
