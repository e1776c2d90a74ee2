"""Classes and their instances on a cluster."""

from __future__ import annotations

import functools
import inspect
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from runhouse.client.endpoint import Target
from runhouse.proxies.placement import Arguments, Placement, place, signature_of, take_options
from runhouse.registry.names import check_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from runhouse.clusters.calls import CallOptions
    from runhouse.clusters.cluster import Cluster

P = ParamSpec("P")
T = TypeVar("T")


class Module(Generic[P, T]):
    """Be a class whose instances live on a cluster.

    Made by `runhouse.module`. Calling it constructs an instance there and returns a proxy with the
    same methods; the instance keeps its state between calls. Without a cluster it makes an
    ordinary instance here.

    Example:
        >>> import collections
        >>> import runhouse as rh
        >>> Counter = rh.module(collections.Counter).to(rh.here)
        >>> counts = Counter("banana")
        >>> counts.most_common(1)
        [('a', 3)]
    """

    def __init__(
        self,
        cls: Callable[P, T],
        name: str | None = None,
        placement: Placement | None = None,
    ) -> None:
        """Store the class; use `runhouse.module` instead."""
        self._cls = cls
        self._placement = placement
        self._signature = signature_of(cls)
        functools.update_wrapper(self, cls, updated=())
        self.name: str = name or str(getattr(cls, "__name__", "module"))

    def __repr__(self) -> str:
        """Return the class's name and where its instances live."""
        where = self._placement.cluster.name if self._placement is not None else "not on a cluster"
        return f"<runhouse.Module {self.name!r} ({where})>"

    def to(self, cluster: Cluster | str, env: str | None = None) -> Module[P, T]:
        """Send the class to a cluster; see `Function.to` for the arguments and errors.

        Returns:
            The class on the cluster; this one is unchanged. Instances made before keep their code.
        """
        return Module(self._cls, self.name, place(self._cls, cluster, env, self.name))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Construct an instance where the class is.

        Takes the constructor's arguments; `name=`, unless the constructor has such a parameter,
        is the key under which the instance is kept there.

        Returns:
            A proxy of the instance; typed as the class, so that editors know its methods.

        Raises:
            TypeError: The arguments do not fit the constructor; nothing was sent.
            InvalidNameError: The name cannot be used as a key.
            CallError: The call could not be made, or was lost.
            Exception: What the constructor itself raises.
        """
        if self._placement is None:
            return self._cls(*args, **kwargs)
        given, options = take_options(self._signature, cast("dict[str, Any]", kwargs))
        own = self._signature.parameters if self._signature is not None else {}
        key = given.pop("name", None) if "name" not in own else None
        if self._signature is not None:
            self._signature.bind(*args, **given)
        if key is not None:
            check_name(key)
        instance = self._construct(self._placement, (args, given), options, key)
        return cast("T", instance)

    def _construct(
        self, placement: Placement, arguments: Arguments, options: CallOptions, name: str | None
    ) -> Instance:
        key = name or f"{self.name}-{secrets.token_hex(4)}"
        worker_id = placement.calls.worker_id(placement.target)
        target = Target(placement.target.env, placement.target.scope, worker_id)
        there = replace(placement, target=target)
        there.call("new", arguments, options, new_key=key)
        return Instance(_Place(self._cls, there, key))


@dataclass(frozen=True, slots=True)
class _Place:
    """Say which instance a proxy stands for: its class, its worker, its key."""

    cls: Callable[..., Any]
    placement: Placement
    key: str


class Instance:
    """Be the proxy of an object that lives in a worker: the same methods, called there."""

    def __init__(self, place: _Place) -> None:
        """Store which object this stands for."""
        self._place = place

    @property
    def key(self) -> str:
        """Return the key under which the worker keeps the object."""
        return self._place.key

    def __repr__(self) -> str:
        """Return the key, the class and the cluster."""
        cls = getattr(self._place.cls, "__name__", "object")
        return f"<{cls} {self._place.key!r} on {self._place.placement.cluster.name}>"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method of the object.

        Raises:
            AttributeError: The class has no method of that name.
        """
        method = getattr(self._place.cls, name, None) if not name.startswith("__") else None
        if callable(method):
            return _method(self._place, name, method)
        cls = getattr(self._place.cls, "__name__", "object")
        msg = (
            f"{cls!r} has no method {name!r}. Only methods of the class can be called on the "
            "cluster. Add a method that returns what you want."
        )
        raise AttributeError(msg)


def _method(place: _Place, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that runs where the object is."""
    signature = signature_of(method)
    static = isinstance(inspect.getattr_static(place.cls, name), (staticmethod, classmethod))

    def start(*args: Any, **kwargs: Any) -> Any:
        given, options = take_options(signature, kwargs)
        if signature is not None:
            signature.bind(*(args if static else (place.key, *args)), **given)
        return _call(place, name, method, (args, given), options)

    functools.update_wrapper(start, method)
    return start


def _call(
    place: _Place, name: str, method: Callable[..., Any], arguments: Arguments, options: CallOptions
) -> Any:
    """Call a method in its manner: plain, coroutine or generator."""
    calls, target, key = place.placement.calls, place.placement.target, place.key

    def items() -> Generator[Any, None, Any]:
        return (yield from calls.call(target, "method", key, arguments, options, method=name))

    async def items_async() -> AsyncGenerator[Any, None]:
        got = await calls.call_async(target, "method", key, arguments, options, method=name)
        try:
            async for item in got:
                yield item
        finally:
            await got.aclose()

    if inspect.isasyncgenfunction(method):
        return items_async()
    if inspect.iscoroutinefunction(method):
        return calls.call_async(target, "method", key, arguments, options, method=name)
    if inspect.isgeneratorfunction(method):
        return items()
    return calls.call(target, "method", key, arguments, options, method=name)


def module(cls: Callable[P, T], name: str | None = None) -> Module[P, T]:
    """Make a class whose instances can live on a cluster.

    Also available as `runhouse.cls`. Nothing is sent before `.to(cluster)`.

    Args:
        cls: A class.
        name: Its name in messages; None for the class's own.

    Returns:
        The class, with the signature of its constructor.

    Raises:
        TypeError: `cls` is not a class.

    Example:
        >>> import fractions
        >>> import runhouse as rh
        >>> Fraction = rh.module(fractions.Fraction).to(rh.here)
        >>> Fraction(3, 4).limit_denominator(2)
        Fraction(1, 1)
    """
    if not isinstance(cls, type):
        hint = "Use runhouse.function for functions." if callable(cls) else "Pass a class."
        msg = f"{cls!r} is not a class. It is of type {type(cls).__name__}. {hint}"
        raise TypeError(msg)
    if name is not None and not isinstance(name, str):
        msg = f"The name must be a text, not {type(name).__name__}. Pass a text or leave it out."
        raise TypeError(msg)
    return Module(cls, name)
