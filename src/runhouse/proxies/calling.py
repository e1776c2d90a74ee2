"""Calls that are made in a manner of their own: with options, or one for each item."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from runhouse.clusters.arguments import iterable
from runhouse.clusters.calls import CallOptions
from runhouse.errors import CallError, ConnectError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runhouse.client.reference import Reference
    from runhouse.client.run import Run
    from runhouse.clusters.cluster import Cluster
    from runhouse.proxies.callee import Callee

P = ParamSpec("P")
R = TypeVar("R")
_NO_OPTIONS = CallOptions()


class Calling(Generic[P, R]):
    """Be a function with options for its calls; made by its `options`.

    Example:
        >>> import runhouse as rh
        >>> patient = rh.function("math:factorial").to(rh.here).options(timeout=60, retries=2)
        >>> patient(5)
        120
    """

    def __init__(self, callee: Callee[P, R], options: CallOptions) -> None:
        """Store both."""
        self._callee = callee
        self._options = options
        functools.update_wrapper(self, callee)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function; see `Function.__call__`.

        Args:
            *args: The function's positional arguments.
            **kwargs: The function's keyword arguments.

        Returns:
            What the function returns, in its manner.

        Raises:
            RunTimeoutError: It took longer than its `timeout`.
            Exception: See `Function.__call__`.
        """
        given = self._callee._bound(args, cast("dict[str, Any]", kwargs))
        return cast("R", self._callee._begin(given, self._options))

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Run:
        """Start the function in the background; see `Function.run`.

        Args:
            *args: The function's positional arguments.
            **kwargs: The function's keyword arguments.

        Returns:
            The run, as soon as the worker has it.

        Example:
            >>> import runhouse as rh
            >>> silent = rh.function("math:factorial").to(rh.here).options(stream_logs=False)
            >>> silent.run(5).result()
            120
        """
        return self._callee._run(args, cast("dict[str, Any]", kwargs), self._options)

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> Reference:
        """Start the function, and keep its result where it is made; see `Function.remote`.

        Args:
            *args: The function's positional arguments.
            **kwargs: The function's keyword arguments.

        Returns:
            A reference to the result, as soon as the worker has the call.

        Example:
            >>> import runhouse as rh
            >>> silent = rh.function("math:factorial").to(rh.here).options(stream_logs=False)
            >>> silent.remote(5).fetch()
            120
        """
        return self._callee._remote(args, cast("dict[str, Any]", kwargs), self._options)


class ItemCaller:
    """Call a function with the arguments in each item; see `spread`."""

    def __init__(self, callee: Callee[..., Any], cluster: Cluster) -> None:
        """Store what is called, and where."""
        self._callee = callee
        self._cluster = cluster

    def call(self, item: Iterable[Any], run_id: str) -> Any:
        """Call with the arguments in an item, and wait for the result."""
        given = self._callee._bound(tuple(iterable("an item of starmap", item)), {})
        return self._callee._call(given, _NO_OPTIONS, run_id=run_id)

    def cancel(self, run_id: str) -> None:
        """Stop a call."""
        with contextlib.suppress(CallError, ConnectError):  # it has ended, or cannot be reached
            self._cluster.cancel(run_id)
