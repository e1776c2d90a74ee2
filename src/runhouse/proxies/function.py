"""Functions on a cluster."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from runhouse.clusters.here import here
from runhouse.proxies.callee import Callee
from runhouse.proxies.placement import place
from runhouse.proxies.source import split_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.clusters.cluster import Cluster
    from runhouse.clusters.env_use import EnvLike
    from runhouse.proxies.callee import Where

P = ParamSpec("P")
R = TypeVar("R")


class Function(Callee[P, R]):
    """Be a function that runs on a cluster and is called as if it were here.

    Made by `runhouse.function`. On no cluster it runs here: a call in this process; runs, maps and
    calls with options in a worker of this machine. Calls return what the function returns: its
    value, a generator for a generator function, an awaitable for a coroutine function. Its output
    appears here while it runs, and its exceptions arrive in their own type.

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
        where: Where | None = None,
    ) -> None:
        """Store the function; use `runhouse.function` instead."""
        own_name = code if isinstance(code, str) else getattr(code, "__name__", "function")
        super().__init__(code, name or str(own_name), where)
        self._here: Where | None = None
        if callable(code):
            functools.update_wrapper(self, code)

    def __repr__(self) -> str:
        """Return the function's name and where it runs."""
        where = self._where.cluster.name if self._where is not None else "not on a cluster"
        return f"<runhouse.Function {self.name!r} ({where})>"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickle as a proxy: sent to a worker, it calls the function where it is."""
        return Function, (self._code, self.name, self._where)

    def to(self, cluster: Cluster | str, env: EnvLike = None) -> Function[P, R]:
        """Send the function to a cluster and return it as a function that runs there.

        The project that it belongs to is synced first; calling `to` again after an edit puts the
        edit into effect. Safe to repeat. Blocks until the worker knows the function.

        Args:
            cluster: The cluster, or the name of a saved one.
            env: The env in which it runs, as `runhouse.env` returned it, its name, or a list of
                packages; None for the cluster's own. Each env has worker processes of its own.

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
        return Function(self._code, self.name, place(self._code, cluster, env, self.name))

    def _placed(self, what: str) -> Where:
        """Return where it is; on no cluster, it runs on this machine's own."""
        del what
        if self._where is not None:
            return self._where
        if self._here is None:
            self._here = place(self._code, here, None, self.name)
        return self._here

    def _in_env(self, env: EnvLike) -> Function[P, R]:
        return self.to(here if self._where is None else self._where.cluster, env)


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
        return Function(fn._code, name or fn.name, fn._where)
    if isinstance(fn, type) or not (isinstance(fn, str) or callable(fn)):
        hint = "Use runhouse.module for classes." if isinstance(fn, type) else "Pass a function."
        msg = f"{fn!r} is not a function. It is of type {type(fn).__name__}. {hint}"
        raise TypeError(msg)
    if isinstance(fn, str):
        split_name(fn)
    if name is not None and not isinstance(name, str):
        msg = f"The name must be a text, not {type(name).__name__}. Pass a text or leave it out."
        raise TypeError(msg)
    return Function(fn, name)
