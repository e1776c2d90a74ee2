"""Code on a cluster: the one way in which functions and classes are sent and called."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runhouse.clusters.calls import CallOptions, Calls
from runhouse.clusters.factory import find_cluster
from runhouse.errors import ObjectNotFoundError
from runhouse.proxies.source import Source, find_source, source_of_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runhouse.client.endpoint import Target
    from runhouse.clusters.cluster import Cluster
    from runhouse.wire.messages import Operation

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_OLDER_OPTIONS = ("stream_logs", "run_name")


@dataclass(frozen=True, slots=True)
class Placement:
    """Hold a function or class that a worker knows under a key.

    Attributes:
        cluster: The cluster.
        calls: The way to its workers.
        target: The worker.
        source: Where the code comes from.
        directory: The project's directory on the host.
    """

    cluster: Cluster
    calls: Calls
    target: Target
    source: Source
    directory: str

    def define(self) -> None:
        """Tell the worker about the code."""
        code = self.source.on_host(self.directory)
        self.calls.define(self.target, self.source.key, code, self.source.pickled)

    def call(self, op: Operation, arguments: Arguments, options: CallOptions, **names: str) -> Any:
        """Call the code; a worker that was started since is told about it first."""
        try:
            return self.calls.call(self.target, op, self.source.key, arguments, options, **names)
        except ObjectNotFoundError as error:
            if error.key != self.source.key:
                raise
        self.define()
        return self.calls.call(self.target, op, self.source.key, arguments, options, **names)

    async def call_async(self, op: Operation, arguments: Arguments, options: CallOptions) -> Any:
        """Call the code without blocking the event loop."""
        key = self.source.key
        try:
            return await self.calls.call_async(self.target, op, key, arguments, options)
        except ObjectNotFoundError as error:
            if error.key != key:
                raise
        self.define()
        return await self.calls.call_async(self.target, op, key, arguments, options)


def place(code: Callable[..., Any] | str, to: Cluster | str, env: str | None) -> Placement:
    """Bring a function or class, with its project, to a cluster.

    Args:
        code: The function or class, or `"module:name"`.
        to: The cluster, or the name of a saved one.
        env: Name of the env; None for the cluster's own.
    """
    cluster = find_cluster(to)
    source = source_of_name(code) if isinstance(code, str) else find_source(code)
    target, directory = cluster.calls.target(cluster.env_name(env), source.root)
    placement = Placement(cluster, cluster.calls, target, source, directory)
    placement.define()
    return placement


def take_options(
    signature: inspect.Signature | None, kwargs: dict[str, Any]
) -> tuple[dict[str, Any], CallOptions]:
    """Separate the older spelling of options (`stream_logs=`) from a function's own arguments."""
    own: Mapping[str, Any] = signature.parameters if signature is not None else {}
    if not any(name in kwargs and name not in own for name in _OLDER_OPTIONS):
        return kwargs, CallOptions()
    rest = {
        name: value for name, value in kwargs.items() if name in own or name not in _OLDER_OPTIONS
    }
    logs = kwargs.get("stream_logs", True) if "stream_logs" not in own else True
    return rest, CallOptions(logs=bool(logs))


def signature_of(code: object) -> inspect.Signature | None:
    """Return a callable's signature, or None when it has none that can be read."""
    try:
        return inspect.signature(code)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
