"""What can be called where it is: the ways to call that functions and methods share."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast

from runhouse.client.reference import Reference
from runhouse.client.run import Run
from runhouse.clusters.arguments import iterable, number
from runhouse.clusters.calls import Arguments, CallOptions, call_options, new_key
from runhouse.proxies.calling import Calling, ItemCaller
from runhouse.proxies.placement import check_fit, signature_of, take_options
from runhouse.proxies.results import result_or
from runhouse.proxies.spread import spread
from runhouse.registry.names import check_key

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Sequence

    from runhouse.clusters.cluster import Cluster
    from runhouse.clusters.env_use import EnvLike
    from runhouse.wire.messages import Operation, RunInfo

P = ParamSpec("P")
R = TypeVar("R")
Manner = Literal["value", "coroutine", "items", "items_async"]
NO_OPTIONS = CallOptions()


class Where(Protocol):
    """Be the place of what is called: of code (`Placement`), or of an object (`Stored`)."""

    @property
    def cluster(self) -> Cluster:
        """Return the cluster."""

    def call(self, op: Operation, arguments: Arguments, options: CallOptions, **fields: Any) -> Any:
        """Make a call and wait for its end."""

    async def call_async(
        self, op: Operation, arguments: Arguments, options: CallOptions, **fields: Any
    ) -> Any:
        """Make a call without blocking the event loop."""

    def start(
        self, op: Operation, arguments: Arguments, options: CallOptions, **fields: Any
    ) -> RunInfo:
        """Start a recorded run."""


def manner_of(code: object) -> Manner:
    """Tell what calling a function gives."""
    if inspect.isasyncgenfunction(code):
        return "items_async"
    if inspect.iscoroutinefunction(code):
        return "coroutine"
    return "items" if inspect.isgeneratorfunction(code) else "value"


class Callee(Generic[P, R]):
    """Be the common base of what is called where it is: functions, and methods of objects.

    Use `runhouse.function` and the methods of `runhouse.module` instead.
    """

    _op: Operation = "call"
    _method = ""

    def __init__(self, code: Callable[P, R] | str, name: str, where: Where | None) -> None:
        """Store what is called, its name, and where it is; None: here."""
        self._code = code
        self._where = where
        self._signature = signature_of(code) if callable(code) else None
        self._manner = manner_of(code)
        self.name = name

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it here, whatever cluster it is on.

        Args:
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Returns:
            What the function returns.

        Raises:
            TypeError: It is known by name only, and so cannot run here.

        Example:
            >>> import runhouse as rh
            >>> rh.function(len).to(rh.here).local("abc")
            3
        """
        if isinstance(self._code, str):
            msg = (
                f"{self.name} cannot run here. It is known by name only. Import it and pass the "
                "function itself, or call .to(cluster) first."
            )
            raise TypeError(msg)
        return self._code(*args, **kwargs)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it where it is.

        Args:
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Returns:
            What the function returns, in its manner.

        Raises:
            TypeError: The arguments do not fit; nothing was sent.
            CallError: The call could not be made, or was lost; for example `WorkerDiedError`.
            Exception: What the function itself raises.
        """
        if self._where is None:
            return self.local(*args, **kwargs)
        given, options = take_options(self._signature, cast("dict[str, Any]", kwargs))
        return cast("R", self._begin(self._bound(args, given), options))

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """Return the arguments.

        Raises:
            TypeError: They do not fit.
        """
        check_fit(self.name, self._signature, args, kwargs)
        return args, kwargs

    def _begin(self, arguments: Arguments, options: CallOptions) -> Any:
        """Make the call in the manner of the function: plain, coroutine or generator."""
        if self._manner == "value":
            return self._call(arguments, options)
        if self._manner == "coroutine":
            return self._call_async(arguments, options)
        if self._manner == "items":
            return self._iterate(arguments, options)
        return self._iterate_async(arguments, options)

    def _call(self, arguments: Arguments, options: CallOptions, **fields: Any) -> Any:
        where = self._placed("__call__")
        return where.call(self._op, arguments, options, method=self._method, **fields)

    async def _call_async(self, arguments: Arguments, options: CallOptions) -> Any:
        where = self._placed("__call__")
        return await where.call_async(self._op, arguments, options, method=self._method)

    def _iterate(self, arguments: Arguments, options: CallOptions) -> Generator[Any, None, Any]:
        """Begin the call with the first item that is asked for, as a generator does."""
        return (yield from self._call(arguments, options))

    async def _iterate_async(
        self, arguments: Arguments, options: CallOptions
    ) -> AsyncGenerator[Any, None]:
        items = await self._call_async(arguments, options)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    def _placed(self, what: str) -> Where:
        """Return where it is.

        Raises:
            TypeError: It is on no cluster.
        """
        if self._where is None:
            msg = (
                f"{self.name}.{what}() needs a cluster. It is on none, where it just runs. "
                "Send it with .to(cluster) first, for example .to(runhouse.here)."
            )
            raise TypeError(msg)
        return self._where

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Run:
        """Start it in the background; it goes on whatever becomes of this process.

        The run, its output and its result are recorded on the host's disk. `run_name=`, unless the
        function has such a parameter, gives it a name.

        Args:
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

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
        return self._run(args, cast("dict[str, Any]", kwargs), NO_OPTIONS)

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions) -> Run:
        where = self._placed("run")
        given, options = take_options(self._signature, kwargs, options)
        info = where.start(self._op, self._bound(args, given), options, method=self._method)
        return Run(where.cluster, info)

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> Reference:
        """Start it in the background, and keep its result where it is made.

        Args:
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

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
        return self._remote(args, cast("dict[str, Any]", kwargs), NO_OPTIONS)

    def _remote(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions
    ) -> Reference:
        where = self._placed("remote")
        given, options = take_options(self._signature, kwargs, options)
        keep, arguments = new_key(options, self.name), self._bound(args, given)
        info = where.start(self._op, arguments, options, method=self._method, keep=keep)
        return Reference(where.cluster, keep, Run(where.cluster, info))

    def options(
        self,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: type[Exception] | Sequence[type[Exception]] = (),
        backoff: float = 0.0,
        relaunch: bool = False,
        run_name: str | None = None,
        stream_logs: bool = True,
        env: EnvLike = None,
    ) -> Calling[P, R]:
        """Say more about calls: returns the function with options, to be called as usual.

        Args:
            timeout: End a call after so many seconds with `RunTimeoutError`; None: never.
            retries: How often a call is repeated when it raises; a generator's is not, once it has
                given an item.
            retry_on: The exceptions that are worth a repetition; none: all.
            backoff: Seconds before the first repetition; each further pause is twice as long.
            relaunch: When the machines of an on-demand cluster are lost during a call of a
                function, launch others and call it there, at most as often as `retries` says, but
                at least once. What was kept on the lost ones stays lost.
            run_name: Record the run on the host under this name.
            stream_logs: Show the output here while the call runs.
            env: The env, or its name, in which a function runs; None for the one that it is in.
                Methods run where their object is.

        Returns:
            The function with these options; this one is unchanged.

        Raises:
            TypeError: An option is of the wrong type, or a method is on no cluster.
            ValueError: A number is out of range.

        Example:
            >>> import math
            >>> import runhouse as rh
            >>> root = rh.function(math.sqrt).to(rh.here)
            >>> root.options(timeout=10, retries=2, retry_on=OSError)(16.0)
            4.0
        """
        self._placed("options")
        chosen = call_options(
            stream_logs=stream_logs,
            run_name=run_name,
            timeout=timeout,
            retries=retries,
            retry_on=retry_on,
            backoff=backoff,
            relaunch=relaunch,
        )
        return Calling(self if env is None else self._in_env(env), chosen)

    def _in_env(self, env: EnvLike) -> Callee[P, R]:
        """Return the same in another env.

        Raises:
            TypeError: It cannot be there.
        """
        msg = (
            f"{self.name} cannot run in the env {env!r}. A method runs where its object is. Leave "
            "out env=, or make the object in that env with .to(cluster, env)."
        )
        raise TypeError(msg)

    def get_or_call(self, run_name: str, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result of the run of a name; call the function if there is none.

        A run of the name that goes on is waited for. One that failed, was cancelled or lost does
        not count.

        Args:
            run_name: The name of the run.
            *args: The function's positional arguments.
            **kwargs: The function's keyword arguments.

        Returns:
            The result, in the manner of the function.

        Raises:
            TypeError: The arguments do not fit the function, or it is on no cluster.
            InvalidNameError: The name cannot be used.
            Exception: What the function itself raises.

        Example:
            >>> import runhouse as rh
            >>> double = rh.function(lambda x: 2 * x).to(rh.here)
            >>> double.get_or_call("doubled", 21), double.get_or_call("doubled", 0)
            (42, 42)
        """
        where = self._placed("get_or_call")
        check_key(run_name)
        again = self.options(run_name=run_name)
        found = result_or(where.cluster, run_name, self._manner, lambda: again(*args, **kwargs))
        return cast("R", found)

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
        several = iterable("items", items)
        return self.starmap(((item,) for item in several), concurrency=concurrency, ordered=ordered)

    def starmap(
        self, items: Iterable[Iterable[Any]], *, concurrency: int = 8, ordered: bool = True
    ) -> Iterator[Any]:
        """Call the function with the arguments in each item; see `map`.

        Args:
            items: The arguments of each call, as tuples or other iterables.
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
            >>> list(rh.function(math.pow).to(rh.here).starmap([(2, 3), (3, 2)]))
            [8.0, 9.0]
        """
        number("concurrency", concurrency, least=1)
        iterable("items", items)
        caller = ItemCaller(self, self._placed("starmap").cluster)
        return spread(caller, items, concurrency, ordered=ordered)
