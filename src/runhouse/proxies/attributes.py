"""Attributes of an object by name: those there, and those that its class has here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runhouse.proxies.method import Method, Shape, is_method

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runhouse.proxies.members import Held


def private(cls: type, name: str) -> AttributeError:
    """Return the error for a name that a proxy does not pass on."""
    hint = (
        f"Use .remote.{name} for the object's own."
        if not name.startswith("__")
        else "Add a method to the class that does what you want."
    )
    msg = (
        f"{cls.__name__!r} has no attribute {name!r} here. Proxies pass on public names only. "
        f"{hint}"
    )
    return AttributeError(msg, name=name)


class RemoteAttributes:
    """Be the attributes of an object on a cluster, private ones too; made by `obj.remote`."""

    __slots__ = ("_held", "_proxy")

    def __init__(self, proxy: object, held: Held) -> None:
        """Store the object's proxy, and what that holds."""
        object.__setattr__(self, "_proxy", proxy)
        object.__setattr__(self, "_held", held)

    def __repr__(self) -> str:
        """Return the object whose attributes these are."""
        return f"<remote attributes of {self._proxy!r}>"

    def __getattr__(self, name: str) -> Any:
        """Return a copy of an attribute, or a method.

        Raises:
            AttributeError: The object has none of this name.
        """
        held: Held = object.__getattribute__(self, "_held")
        if name.startswith("__") and name.endswith("__"):
            raise private(held.cls, name)
        if is_method(held.cls, name):
            return Method(Shape(held.cls, name), held.stored, self._proxy, held.local)
        return held.stored.read(name)

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute.

        Raises:
            AttributeError: It cannot be set.
        """
        held: Held = object.__getattribute__(self, "_held")
        held.stored.write(name, value)

    def __delattr__(self, name: str) -> None:
        """Delete an attribute.

        Raises:
            AttributeError: The object has none of this name, or it cannot be deleted.
        """
        held: Held = object.__getattribute__(self, "_held")
        held.stored.remove(name)

    def __dir__(self) -> Iterable[str]:
        """Return the names of the class."""
        held: Held = object.__getattribute__(self, "_held")
        return sorted({*dir(held.cls), *held.own_names})


class LocalClass:
    """Be the attributes that the class of an object has here; made by `obj.local`."""

    __slots__ = ("_cls",)

    def __init__(self, cls: type) -> None:
        """Store the class."""
        self._cls = cls

    def __repr__(self) -> str:
        """Return the class whose attributes these are."""
        return f"<local attributes of the class {self._cls.__name__!r}>"

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the class.

        Raises:
            AttributeError: It has none of this name, or needs an object.
        """
        cls = object.__getattribute__(self, "_cls")
        if is_method(cls, name) and Shape(cls, name).takes_self:
            what = "It is a method, which needs an object"
        elif isinstance(getattr(cls, name, None), property) or not hasattr(cls, name):
            what = "The class has no such attribute"
        else:
            return getattr(cls, name)
        msg = (
            f"{cls.__name__!r} has no attribute {name!r} here. {what}, and the object was made on "
            f"the cluster. Use .remote.{name}, or a copy of the object: .fetch()."
        )
        raise AttributeError(msg, name=name)
