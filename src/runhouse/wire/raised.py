"""How exceptions are pickled, wherever they are: in a group, in a result, in an attribute.

A constructor of their own is never called again, since its signature is unknown.
"""

from __future__ import annotations

from contextlib import suppress
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAKERS = ("__new__", "__init__")
_SETTERS = ("__setstate__", "__reduce__", "__reduce_ex__")
_IN_PYTHON = (FunctionType, staticmethod)


def reduce_error(error: BaseException) -> Any:
    """Return what to pickle for an exception; `NotImplemented` when it knows that by itself."""
    cls = type(error)
    knows = any(isinstance(_found(cls, name), _IN_PYTHON) for name in _SETTERS)
    if knows or not any(isinstance(_found(cls, name), _IN_PYTHON) for name in _MAKERS):
        return NotImplemented
    args, *state = cast("tuple[Any, ...]", error.__reduce__())[1:]
    return rebuild, (cls, args), state[0] if state else None, None, None, set_state


def _found(cls: type, name: str) -> Any:
    """Return a method of a class as it is defined there or in a base."""
    return next(vars(base)[name] for base in cls.__mro__ if name in vars(base))


def _builtin(cls: type, name: str) -> Callable[..., Any]:
    """Return the first method of this name in a class's bases that is not written in Python."""
    found = (vars(base)[name] for base in cls.__mro__ if name in vars(base))
    return cast("Callable[..., Any]", next(f for f in found if not isinstance(f, _IN_PYTHON)))


def rebuild(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """Make an exception again without calling what its class has of its own."""
    error = cast("BaseException", _builtin(cls, "__new__")(cls, *args))
    object.__setattr__(error, "args", args)
    with suppress(TypeError):  # its fields are then what its state says
        _builtin(cls, "__init__")(error, *args)
    return error


def set_state(error: BaseException, state: Mapping[str, Any]) -> None:
    """Give an exception its attributes back, also one that does not let them be set."""
    for name, value in state.items():
        try:
            object.__setattr__(error, name, value)
        except AttributeError:  # noqa: PERF203 - each has its own way
            error.__dict__[name] = value
