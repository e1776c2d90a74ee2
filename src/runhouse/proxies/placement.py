"""Code on a cluster: the one way in which functions and classes are sent and called."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from runhouse.client.endpoint import Target
from runhouse.clusters.calls import Arguments, CallOptions, Calls, call_options
from runhouse.clusters.env_use import EnvUse
from runhouse.clusters.here import find_cluster
from runhouse.errors import ClusterLostError, ClusterNotUpError, ObjectNotFoundError
from runhouse.lazy import LazyModule
from runhouse.proxies.source import Source, find_source, source_of_name

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from runhouse.clusters.cluster import Cluster
    from runhouse.clusters.env_use import EnvLike
    from runhouse.wire.messages import Operation, RunInfo
else:
    asyncio = LazyModule("asyncio")

T = TypeVar("T")
_NO_OPTIONS = CallOptions()
_OLDER_OPTIONS = ("stream_logs", "run_name")


@dataclass(slots=True)
class Placement:
    """Hold a function or class that a worker knows under a key.

    Attributes:
        cluster: The cluster.
        calls: The way to its workers.
        target: The worker.
        source: Where the code comes from.
        directory: The project's directory on the host.
        name: Its public name.
        projects: Directories here that its env brings beside.
    """

    cluster: Cluster
    calls: Calls
    target: Target
    source: Source
    directory: str
    name: str
    projects: tuple[Path, ...] = ()

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickle without the connections: where it arrives, the cluster has its own."""
        return _rebuild, (
            *(self.cluster, self.target, self.source, self.directory, self.name),
            self.projects,
        )

    def define(self, worker_id: str = "") -> None:
        """Tell the worker about the code.

        Args:
            worker_id: Which one of those that share the env's calls; empty for any.
        """
        code = self.source.on_host(self.directory)
        source = self.source
        target = Target(worker_id=worker_id) if worker_id else self.target
        self.calls.define(target, source.key, code, source.pickled, self.name)

    def call(self, op: Operation, arguments: Arguments, options: CallOptions, **fields: Any) -> Any:
        """Call the code and wait for the end; see `Calls.call`."""

        def act(target: Target) -> Any:
            return self.calls.call(target, op, self.source.key, arguments, options, **fields)

        self._be_there()
        for _ in range(max(1, options.retries) if options.relaunch else 0):
            try:
                return self._told(act)
            except ClusterLostError:  # noqa: PERF203 - each launch may be lost
                self.relaunch()
        return self._told(act)

    def _be_there(self) -> None:
        """Bring the cluster up, and the code there, if it has given up the machines of before."""
        try:
            self.cluster.check_there()
        except ClusterNotUpError:
            self.relaunch()
        if self.calls is not self.cluster.calls:
            self._bring()

    def relaunch(self) -> None:
        """Launch a cluster whose machines are gone, and bring the code there.

        Raises:
            LaunchError: They did not come up.
        """
        self.cluster.up()
        self._bring()

    def _bring(self) -> None:
        """Bring the code to the machines that the cluster has now."""
        self.calls = self.cluster.calls
        source = self.source
        env = EnvUse(self.target.env, self.target.scope.env, self.projects)
        self.target, self.directory = self.calls.target(env, source.root, source.modules)
        self.define()

    def start(
        self, op: Operation, arguments: Arguments, options: CallOptions, **fields: Any
    ) -> RunInfo:
        """Start a recorded run of the code; see `Calls.start`."""
        self._be_there()
        return self._told(
            lambda target: self.calls.start(
                target, op, self.source.key, arguments, options, **fields
            )
        )

    def _told(self, act: Callable[[Target], T]) -> T:
        """Act; each worker that was started since is told about the code first."""
        target, told = self.target, set[str]()
        while True:
            try:
                return act(target)
            except ObjectNotFoundError as error:  # noqa: PERF203 - each worker may be new
                target = self._learn(error, told)

    def _learn(self, error: ObjectNotFoundError, told: set[str]) -> Target:
        """Tell a worker about the code that does not know it.

        Args:
            error: What it has said.
            told: Workers that were told before, which is noted here.

        Returns:
            Whom to ask now: that worker, which had been chosen for what it has to do.

        Raises:
            ObjectNotFoundError: It is about something else, or the worker was told before.
        """
        if error.key != self.source.key or error.worker_id in told:
            raise error
        told.add(error.worker_id)
        self.define(error.worker_id)
        return Target(worker_id=error.worker_id) if error.worker_id else self.target

    async def call_async(
        self, op: Operation, arguments: Arguments, options: CallOptions, **fields: Any
    ) -> Any:
        """Call the code without blocking the event loop."""
        if self.cluster.may_launch or self.calls is not self.cluster.calls:
            await asyncio.to_thread(self._be_there)
        for _ in range(max(1, options.retries) if options.relaunch else 0):
            try:
                return await self._call_once(op, arguments, options, fields)
            except ClusterLostError:  # noqa: PERF203 - each launch may be lost
                await asyncio.to_thread(self.relaunch)
        return await self._call_once(op, arguments, options, fields)

    async def _call_once(
        self, op: Operation, arguments: Arguments, options: CallOptions, fields: dict[str, Any]
    ) -> Any:
        key, target, told = self.source.key, self.target, set[str]()
        while True:
            try:
                return await self.calls.call_async(target, op, key, arguments, options, **fields)
            except ObjectNotFoundError as error:  # noqa: PERF203 - as above
                target = await asyncio.to_thread(self._learn, error, told)


def _rebuild(
    cluster: Cluster,
    target: Target,
    source: Source,
    directory: str,
    name: str,
    projects: tuple[Path, ...],
) -> Placement:
    return Placement(cluster, cluster.calls, target, source, directory, name, projects)


def place(code: Callable[..., Any] | str, to: Cluster | str, env: EnvLike, name: str) -> Placement:
    """Bring a function or class, with its project, to a cluster.

    Args:
        code: The function or class, or `"module:name"`.
        to: The cluster, or the name of a saved one.
        env: The env, its name, or packages; None for the cluster's own.
        name: Its public name there, for those who know it by name only.
    """
    cluster = find_cluster(to)
    source = source_of_name(code) if isinstance(code, str) else find_source(code)
    modules = {*source.modules, *filter(None, [source.module or getattr(code, "__module__", "")])}
    use = cluster.env_use(env, source.root, modules)
    target, directory = cluster.calls.target(use, source.root, source.modules)
    calls = cluster.calls
    placement = Placement(cluster, calls, target, source, directory, name, use.projects)
    placement.define()
    return placement


def take_options(
    signature: inspect.Signature | None,
    kwargs: dict[str, Any],
    options: CallOptions = _NO_OPTIONS,
) -> tuple[dict[str, Any], CallOptions]:
    """Separate the older spelling of options (`stream_logs=`) from a function's own arguments."""
    own: Mapping[str, Any] = signature.parameters if signature is not None else {}
    if not any(name in kwargs and name not in own for name in _OLDER_OPTIONS):
        return kwargs, options
    rest = dict(kwargs)
    given = {name: rest.pop(name) for name in _OLDER_OPTIONS if name in kwargs and name not in own}
    checked = call_options(**given)
    named = {"stream_logs": "logs", "run_name": "run_name"}
    return rest, replace(options, **{named[n]: getattr(checked, named[n]) for n in given})


def signature_of(code: object) -> inspect.Signature | None:
    """Return a callable's signature, or None when it has none that can be read."""
    try:
        return inspect.signature(code)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def check_fit(
    name: str, signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """See that arguments fit a callable, before anything is sent.

    Raises:
        TypeError: They do not.
    """
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        msg = (
            f"{name}() was not called: {error}. Nothing was sent. It takes {signature}; correct "
            "the arguments."
        )
        raise TypeError(msg) from None
