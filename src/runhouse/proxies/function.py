"""Functions on a cluster."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from runhouse.client.reference import Reference
from runhouse.client.run import Run
from runhouse.clusters.arguments import number
from runhouse.clusters.calls import CallOptions, call_options, new_key
from runhouse.errors import CallError, ConnectError, RunNotFoundError
from runhouse.proxies.placement import Arguments, Placement, place, signature_of, take_options
from runhouse.proxies.spread import spread
from runhouse.registry.names import check_key

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Sequence

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
        own_name = code if isinstance(code, str) else getattr(code, "__name__", "function")
        self.name: str = name or str(own_name)

    def __repr__(self) -> str:
        """Return the function's name and where it runs."""
        where = self._placement.cluster.name if self._placement is not None else "not on a cluster"
        return f"<runhouse.Function {self.name!r} ({where})>"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickle as a proxy: sent to a worker, it calls the function where it is."""
        return Function, (self._code, self.name, self._placement)

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
        return Function(self._code, self.name, place(self._code, cluster, env, self.name))

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
        return cast("R", self._start(self._placement, self._bound(args, given), options))

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """Return the arguments.

        Raises:
            TypeError: They do not fit the function.
        """
        if self._signature is not None:
            self._signature.bind(*args, **kwargs)
        return args, kwargs

    def _start(self, placement: Placement, arguments: Arguments, options: CallOptions) -> Any:
        """Make the call in the manner of the function: plain, coroutine or generator."""
        if inspect.isasyncgenfunction(self._code):
            return _iterate_async(placement, arguments, options)
        if inspect.iscoroutinefunction(self._code):
            return placement.call_async("call", arguments, options)
        if inspect.isgeneratorfunction(self._code):
            return _iterate(placement, arguments, options)
        return placement.call("call", arguments, options)

    def _placed(self, what: str) -> Placement:
        """Return where the function is.

        Raises:
            TypeError: It is on no cluster.
        """
        if self._placement is None:
            msg = (
                f"{self.name}.{what}() needs a cluster. The function is on none, where it just "
                "runs. Send it with .to(cluster) first, for example .to(runhouse.here)."
            )
            raise TypeError(msg)
        return self._placement

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Run:
        """Start the function in the background; it goes on whatever becomes of this process.

        The run, its output and its result are recorded on the host's disk. `run_name=`, unless the
        function has such a parameter, gives it a name.

        Returns:
            The run, as soon as the worker has it.

        Raises:
            TypeError: The arguments do not fit the function, or it is on no cluster.
            RunExistsError: A run of this name is going on.
            QueueFullError: Too many calls are waiting.

        Example:
            >>> import math
            >>> import runhouse as rh
            >>> rh.function(math.factorial).to(rh.here).run(5).result()
            120
        """
        return self._run(args, cast("dict[str, Any]", kwargs), CallOptions())

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions) -> Run:
        placement = self._placed("run")
        given, options = take_options(self._signature, kwargs, options)
        info = placement.start("call", self._bound(args, given), options)
        return Run(placement.cluster, info)

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> Reference:
        """Start the function in the background, and keep its result where it is made.

        Returns:
            A reference to the result, as soon as the worker has the call. Passed to other calls on
            the cluster, it arrives there as the value, which they wait for.

        Raises:
            TypeError: The arguments do not fit the function, or it is on no cluster.

        Example:
            >>> import math
            >>> import runhouse as rh
            >>> root = rh.function(math.sqrt).to(rh.here)
            >>> root(root.remote(16.0))
            2.0
        """
        return self._remote(args, cast("dict[str, Any]", kwargs), CallOptions())

    def _remote(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions
    ) -> Reference:
        placement = self._placed("remote")
        given, options = take_options(self._signature, kwargs, options)
        keep = new_key(options, self.name)
        info = placement.start("call", self._bound(args, given), options, keep=keep)
        return Reference(placement.cluster, keep, Run(placement.cluster, info))

    def options(
        self,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: type[Exception] | Sequence[type[Exception]] = (),
        backoff: float = 0.0,
        run_name: str | None = None,
        stream_logs: bool = True,
        env: str | None = None,
    ) -> Calling[P, R]:
        """Say more about calls: returns the function with options, to be called as usual.

        Args:
            timeout: End a call after so many seconds with `RunTimeoutError`; None: never.
            retries: How often a call is repeated when it raises; a generator's is not, once it has
                given an item.
            retry_on: The exceptions that are worth a repetition; none: all.
            backoff: Seconds before the first repetition; each further pause is twice as long.
            run_name: Record the run on the host under this name.
            stream_logs: Show the output here while the call runs.
            env: The env in which it runs; None for the one that the function is in.

        Returns:
            The function with these options; this one is unchanged.

        Raises:
            TypeError: An option is of the wrong type, or the function is on no cluster.
            ValueError: A number is out of range.

        Example:
            >>> import math
            >>> import runhouse as rh
            >>> root = rh.function(math.sqrt).to(rh.here)
            >>> root.options(timeout=10, retries=2, retry_on=OSError)(16.0)
            4.0
        """
        placement = self._placed("options")
        chosen = call_options(
            stream_logs=stream_logs,
            run_name=run_name,
            timeout=timeout,
            retries=retries,
            retry_on=retry_on,
            backoff=backoff,
        )
        function = self if env is None else self.to(placement.cluster, env)
        return Calling(function, chosen)

    def get_or_call(self, run_name: str, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result of the run of a name; call the function if there is none.

        A run of the name that goes on is waited for. One that failed, was cancelled or lost does
        not count.

        Raises:
            TypeError: The arguments do not fit the function, or it is on no cluster.
            InvalidNameError: The name cannot be used.
            Exception: What the function itself raises.
        """
        placement = self._placed("get_or_call")
        check_key(run_name)
        with contextlib.suppress(RunNotFoundError):
            run = placement.cluster.get_run(run_name)
            if run.status in ("queued", "running", "done"):
                return cast("R", run.result())
        return self.options(run_name=run_name)(*args, **kwargs)

    def map(
        self, items: Iterable[Any], *, concurrency: int = 8, ordered: bool = True
    ) -> Iterator[Any]:
        """Call the function for each item, several at once; give the results as they come.

        Args:
            items: The arguments, one for each call. They are taken as they are needed: at most
                `2 * concurrency` ahead of the results that were taken.
            concurrency: How many calls run at once.
            ordered: Give the results in the order of the items; False: as soon as each is there.

        Returns:
            An iterator over the results. Closing it stops what still runs.

        Raises:
            TypeError: The function is on no cluster, or `concurrency` is no whole number.
            ValueError: `concurrency` is less than 1.
            Exception: What a call raises, in the place of its result; the others are stopped.

        Example:
            >>> import math
            >>> import runhouse as rh
            >>> list(rh.function(math.sqrt).to(rh.here).map([1.0, 4.0, 9.0]))
            [1.0, 2.0, 3.0]
        """
        return self.starmap(((item,) for item in items), concurrency=concurrency, ordered=ordered)

    def starmap(
        self, items: Iterable[Iterable[Any]], *, concurrency: int = 8, ordered: bool = True
    ) -> Iterator[Any]:
        """Call the function with the arguments in each item; see `map`.

        Example:
            >>> import math
            >>> import runhouse as rh
            >>> list(rh.function(math.pow).to(rh.here).starmap([(2, 3), (3, 2)]))
            [8.0, 9.0]
        """
        number("concurrency", concurrency, least=1)
        caller = _Caller(self._placed("starmap"), self._signature)
        return spread(caller, items, concurrency, ordered=ordered)


class Calling(Generic[P, R]):
    """Be a function with options for its calls; made by `Function.options`."""

    def __init__(self, function: Function[P, R], options: CallOptions) -> None:
        """Store both."""
        self._function = function
        self._options = options
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function; see `Function.__call__`."""
        function = self._function
        given = function._bound(args, cast("dict[str, Any]", kwargs))
        return cast("R", function._start(function._placed("options"), given, self._options))

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Run:
        """Start the function in the background; see `Function.run`."""
        return self._function._run(args, cast("dict[str, Any]", kwargs), self._options)

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> Reference:
        """Start the function, and keep its result where it is made; see `Function.remote`."""
        return self._function._remote(args, cast("dict[str, Any]", kwargs), self._options)


class _Caller:
    """Call a function with the arguments in each item."""

    def __init__(self, placement: Placement, signature: inspect.Signature | None) -> None:
        self._placement = placement
        self._signature = signature

    def call(self, item: Iterable[Any], run_id: str) -> Any:
        args = tuple(item)
        if self._signature is not None:
            self._signature.bind(*args)
        return self._placement.call("call", (args, {}), CallOptions(), run_id=run_id)

    def cancel(self, run_id: str) -> None:
        with contextlib.suppress(CallError, ConnectError):  # it has ended, or cannot be reached
            self._placement.cluster.cancel(run_id)


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
