"""Functions on a cluster."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from runhouse.proxies.placement import Arguments, Placement, place, signature_of, take_options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from runhouse.clusters.calls import CallOptions
    from runhouse.clusters.cluster import Cluster

P = ParamSpec("P")
R = TypeVar("R")


class Function(Generic[P, R]):
    """Be a function that runs on a cluster and is called as if it were here.

    Made by `runhouse.function`. Without a cluster it runs here. Calls return what the function
    returns: its value, a generator for a generator function, an awaitable for a coroutine function.
    Its output appears here while it runs, and its exceptions arrive in their own type.

    Example:
        >>> import math
        >>> import runhouse as rh
        >>> root = rh.function(math.sqrt).to(rh.here)
        >>> root(16.0)
        4.0
    """

    def __init__(
        self,
        code: Callable[P, R] | str,
        name: str | None = None,
        placement: Placement | None = None,
    ) -> None:
        """Store the function; use `runhouse.function` instead."""
        self._code = code
        self._placement = placement
        self._signature = signature_of(code) if callable(code) else None
        if callable(code):
            functools.update_wrapper(self, code)
        self.name = name or (
            code if isinstance(code, str) else getattr(code, "__name__", "function")
        )

    def __repr__(self) -> str:
        """Return the function's name and where it runs."""
        where = self._placement.cluster.name if self._placement is not None else "not on a cluster"
        return f"<runhouse.Function {self.name!r} ({where})>"

    def to(self, cluster: Cluster | str, env: str | None = None) -> Function[P, R]:
        """Send the function to a cluster and return it as a function that runs there.

        The project that it belongs to is synced first; calling `to` again after an edit puts the
        edit into effect. Safe to repeat. Blocks until the worker knows the function.

        Args:
            cluster: The cluster, or the name of a saved one.
            env: Name of the env in which it runs; None for the cluster's own. Each env has a
                worker process of its own.

        Returns:
            The function on the cluster; this one is unchanged.

        Raises:
            ClusterNotFoundError: No cluster is saved under the name.
            ConnectError: The host cannot be reached, or does not let us in.
            BootstrapError: The host was reached, but runhouse cannot start there.
            SyncError: The project could not be copied.
            NotSerializableError: The function must go by value and cannot be pickled.
            PythonMismatchError: It must go by value, and the host has another Python.
            Exception: What importing the function's module raises on the host.

        Example:
            >>> import runhouse as rh
            >>> rh.function("math:factorial").to(rh.here)(5)
            120
        """
        return Function(self._code, self.name, place(self._code, cluster, env))

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here, whatever cluster it is on.

        Raises:
            TypeError: It is known by name only, and so cannot run here.
        """
        if isinstance(self._code, str):
            msg = (
                f"{self.name} cannot run here. It is known by name only. Import it and pass the "
                "function itself, or call .to(cluster) first."
            )
            raise TypeError(msg)
        return self._code(*args, **kwargs)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function where it is.

        Raises:
            TypeError: The arguments do not fit the function; nothing was sent.
            CallError: The call could not be made, or was lost; for example `WorkerDiedError`.
            Exception: What the function itself raises.
        """
        if self._placement is None:
            return self.local(*args, **kwargs)
        given, options = take_options(self._signature, cast("dict[str, Any]", kwargs))
        if self._signature is not None:
            self._signature.bind(*args, **given)
        arguments: Arguments = (args, given)
        return cast("R", self._start(self._placement, arguments, options))

    def _start(self, placement: Placement, arguments: Arguments, options: CallOptions) -> Any:
        """Make the call in the manner of the function: plain, coroutine or generator."""
        if inspect.isasyncgenfunction(self._code):
            return _iterate_async(placement, arguments, options)
        if inspect.iscoroutinefunction(self._code):
            return placement.call_async("call", arguments, options)
        if inspect.isgeneratorfunction(self._code):
            return _iterate(placement, arguments, options)
        return placement.call("call", arguments, options)


def _iterate(
    placement: Placement, arguments: Arguments, options: CallOptions
) -> Generator[Any, None, Any]:
    """Begin the call with the first item that is asked for, as a generator does."""
    return (yield from placement.call("call", arguments, options))


async def _iterate_async(
    placement: Placement, arguments: Arguments, options: CallOptions
) -> AsyncGenerator[Any, None]:
    items = await placement.call_async("call", arguments, options)
    try:
        async for item in items:
            yield item
    finally:
        await items.aclose()


@overload
def function(fn: Callable[P, R], name: str | None = None) -> Function[P, R]: ...


@overload
def function(fn: str, name: str | None = None) -> Function[..., Any]: ...


def function(fn: Callable[..., Any] | str, name: str | None = None) -> Function[..., Any]:
    """Make a function that can be sent to a cluster.

    Also available as `runhouse.fn`. Nothing is sent before `.to(cluster)`.

    Args:
        fn: Any callable with a name: a function, a coroutine or generator function, a lambda; or
            the name of one that exists on the host, as `"module:name"`.
        name: Its name in messages; None for the function's own.

    Returns:
        The function, with the signature of the original.

    Raises:
        TypeError: `fn` is neither a function nor a text, or is a class (use `runhouse.module`).
        ValueError: The text does not have the form `"module:name"`.

    Example:
        >>> import runhouse as rh
        >>> double = rh.function(lambda x: 2 * x).to(rh.here)
        >>> double(21)
        42
    """
    if isinstance(fn, Function):
        return Function(fn._code, name or fn.name, fn._placement)
    if isinstance(fn, type) or not (isinstance(fn, str) or callable(fn)):
        hint = "Use runhouse.module for classes." if isinstance(fn, type) else "Pass a function."
        msg = f"{fn!r} is not a function. It is of type {type(fn).__name__}. {hint}"
        raise TypeError(msg)
    if isinstance(fn, str) and ":" not in fn:
        msg = (
            f"{fn!r} names no function. The form is 'module:name'. Correct it, or pass a function."
        )
        raise ValueError(msg)
    if name is not None and not isinstance(name, str):
        msg = f"The name must be a text, not {type(name).__name__}. Pass a text or leave it out."
        raise TypeError(msg)
    return Function(fn, name)
