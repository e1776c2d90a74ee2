"""Methods of objects and classes on a cluster, and their attributes by name."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from runhouse.proxies.callee import Callee, Manner, manner_of
from runhouse.proxies.placement import signature_of, take_options
from runhouse.proxies.stored import ABSENT, Stored
from runhouse.wire.messages import Itself, Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.clusters.calls import Arguments, CallOptions
    from runhouse.proxies.callee import Where

_ASYNC_ITERATION = "__aiter__"


@dataclass(frozen=True)
class Shape:
    """Hold what is known of a method before it is called; one for all objects of a class.

    Attributes:
        cls: The class.
        name: The method's name.
        bound: Whether `self` is not among the arguments that a caller gives.
    """

    cls: type
    name: str
    bound: bool = True

    @cached_property
    def code(self) -> Callable[..., Any]:
        """Return the function."""
        return cast("Callable[..., Any]", getattr(self.cls, self.name))

    @cached_property
    def manner(self) -> Manner:
        """Tell what calling it gives."""
        return "items_async" if self.name == _ASYNC_ITERATION else manner_of(self.code)

    @cached_property
    def signature(self) -> inspect.Signature | None:
        """Return its signature as its caller sees it, or None when it has none."""
        signature = signature_of(self.code)
        if signature is None or not self.bound or not self.takes_self:
            return signature
        first, *rest = signature.parameters.values()
        if first.kind is inspect.Parameter.VAR_POSITIONAL:
            return signature
        return signature.replace(parameters=rest)

    @cached_property
    def takes_self(self) -> bool:
        """Tell whether the function that the class gives wants an object first."""
        static = inspect.getattr_static(self.cls, self.name)
        if isinstance(static, (staticmethod, classmethod)):
            return False
        return getattr(self.code, "__self__", None) is None

    @cached_property
    def looks(self) -> dict[str, Any]:
        """Return the attributes that make a method look like the original."""
        named = {name: getattr(self.code, name, None) for name in functools.WRAPPER_ASSIGNMENTS}
        looks: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        if self.signature is not None:
            looks["__signature__"] = self.signature
        return {**looks, "_code": self.code, "name": f"{self.cls.__name__}.{self.name}"}


class Method(Callee[..., Any]):
    """Be a method of an object, or a function of a class, that runs where that is.

    Called as usual; `run`, `remote`, `options`, `map`, `starmap` and `get_or_call` are those of
    `runhouse.Function`.
    """

    _op: Operation = "method"

    def __init__(self, shape: Shape, where: Where, owner: object, local: object = None) -> None:
        """Store the method.

        Args:
            shape: What is known of it.
            where: Where its object is, or its class.
            owner: The proxy, which must live as long as its object is needed.
            local: The object here from which the one there was made, if there is one.
        """
        self.__dict__.update(shape.looks)
        self._cls = shape.cls
        self._where = where
        self._signature = shape.signature
        self._manner = shape.manner
        self._method = shape.name
        self._owner = owner
        self._local = local

    def __repr__(self) -> str:
        """Return the method's name and its object."""
        return f"<method {self.name} of {self._owner!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method; in the worker that holds its object, directly."""
        where = self._where
        if isinstance(where, Stored):
            found = where.here()
            if found is not ABSENT:
                given, _ = take_options(self._signature, kwargs)
                return getattr(found, self._method)(*args, **given)
        return super().__call__(*args, **kwargs)

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method of the object here from which the one on the cluster was made.

        Raises:
            TypeError: There is none.
        """
        if self._local is None:
            msg = (
                f"{self.name} cannot run here. Its object was made on the cluster, and there is no "
                "other one here. Call it without .local, or get a copy of the object with .fetch()."
            )
            raise TypeError(msg)
        return getattr(self._local, self._method)(*args, **kwargs)

    def _call(self, arguments: Arguments, options: CallOptions, **fields: Any) -> Any:
        where = self._placed("__call__")
        fields |= {"method": self._method, "itself": not options.run_name}
        result = where.call(self._op, arguments, options, **fields)
        return self._owner if result is Itself.ITSELF else result

    async def _call_async(self, arguments: Arguments, options: CallOptions) -> Any:
        where = self._placed("__call__")
        fields = {"method": self._method, "itself": not options.run_name}
        result = await where.call_async(self._op, arguments, options, **fields)
        return self._owner if result is Itself.ITSELF else result


def is_method(cls: type, name: str) -> bool:
    """Tell whether a class has a method or another function under a name."""
    static = inspect.getattr_static(cls, name, None)
    if isinstance(static, (property, cached_property, type)):
        return False
    return callable(getattr(cls, name, None))
