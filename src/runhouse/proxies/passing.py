"""What all proxies have in common: they pass on what concerns attributes to the object's worker."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from runhouse.proxies.attributes import private
from runhouse.proxies.members import HELD, DataMember, Held, MethodMember, held_by

if TYPE_CHECKING:
    from collections.abc import Iterable


class Passing:
    """Pass on what the type of a proxy does not answer by itself."""

    def __repr__(self) -> str:
        """Return the key, the class and the cluster."""
        held: Held = object.__getattribute__(self, HELD)
        return f"<{held.cls.__name__} {held.stored.key!r} on {held.stored.cluster.name}>"

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that the object has and its class has not.

        Raises:
            AttributeError: It has none of this name, or the name is private.
        """
        held = held_by(self)
        if held is None or name.startswith("_"):
            raise private(type(self) if held is None else held.cls, name)
        return held.stored.read(name)

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute of the object.

        Raises:
            AttributeError: It cannot be set, or the name is private or one of `runhouse.Module`.
        """
        _of_object(self, name, "set", f"Use .remote.{name} = ...").stored.write(name, value)

    def __delattr__(self, name: str) -> None:
        """Delete an attribute of the object.

        Raises:
            AttributeError: It cannot be deleted, or is private, or a name of `runhouse.Module`.
        """
        _of_object(self, name, "deleted", f"Use del .remote.{name}").stored.remove(name)

    def __dir__(self) -> Iterable[str]:
        """Return the names of the class, of the object and of `runhouse.Module`."""
        held: Held = object.__getattribute__(self, HELD)
        return sorted({*dir(held.cls), *dir(type(self)), *held.own_names})


def _of_object(proxy: object, name: str, done: str, hint: str) -> Held:
    """Return what a proxy holds, if a name is passed on to the object.

    Raises:
        AttributeError: The name is private or one of `runhouse.Module`.
    """
    held: Held = object.__getattribute__(proxy, HELD)
    if name.startswith("_"):
        raise private(held.cls, name)
    known = inspect.getattr_static(type(proxy), name, None)
    if known is not None and not isinstance(known, (DataMember, MethodMember)):
        msg = (
            f"{name!r} was not {done}. It is a name of runhouse.Module. {hint} for an attribute of "
            "the object that has this name."
        )
        raise AttributeError(msg, name=name)
    return held
