"""What `cluster.status()` returns."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from runhouse.server.nodes import GpuStatus, NodeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """Hold one worker process.

    Attributes:
        id: Its identity; another process in its place has another one.
        env: The env that it runs in.
        pid: Its process id on the host.
        python: Its Python version.
        project: The project directory that it works in; empty for none.
        memory_bytes: Its memory, shared pages counted by share (PSS).
        uptime_s: Seconds since it started.
        running: How many calls are running in it.
        objects: How many objects it holds.
        calls: How many calls it has had.
        gpus: Indices of the GPUs that were chosen for it; empty when it sees all.
    """

    id: str
    env: str
    pid: int
    python: str
    project: str
    memory_bytes: int
    uptime_s: float
    running: int
    objects: int
    calls: int
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CloudStatus:
    """Hold what is known about the machines that were launched for a cluster.

    Attributes:
        resources: How many of which type, and where; empty when there are none.
        price_per_hour: US dollars for all of them; None when unknown.
        cost: What they have cost until now in US dollars, as estimated; None when unknown.
        up_s: Seconds since they were launched or started.
    """

    resources: str = ""
    price_per_hour: float | None = None
    cost: float | None = None
    up_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AutostopStatus:
    """Hold how it stands with stopping a cluster that nobody uses.

    A running call, a named run or a worker that computes is use; a connection alone is not.

    Attributes:
        autostop_mins: Idle minutes after which it is stopped; -1: never.
        stops: What is then done to it: `"down"` (it is removed) or `"stop"`.
        in_use: Whether it is in use now.
        why: What it is in use for, for a person; empty when it is not.
        idle_s: Seconds since its last use.
        left_s: Seconds until it is stopped if nobody uses it; None: it never is.
        pulsed_at: When whoever stops it was last told of its use, in seconds since the epoch; None:
            not yet.
        pulse_error: Why that has failed the last time; empty when it has not. While it fails, the
            cluster may be stopped in mid-use.
    """

    autostop_mins: int
    stops: str
    in_use: bool
    why: str
    idle_s: float
    left_s: float | None
    pulsed_at: float | None
    pulse_error: str


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Hold the state of a cluster.

    Attributes:
        name: The cluster's name.
        version: Version of runhouse on the host.
        python_version: Python version of the server.
        pid: Process id of the server.
        uptime_s: Seconds since the server started.
        memory_bytes: Memory of the server (PSS).
        running: How many calls are running.
        objects: How many objects are held.
        nodes: The machines, the head first.
        workers: The worker processes.
        autostop_mins: Idle minutes after which the cluster is stopped; -1 or None: it never is.
        autostop: How it stands with that; None when the server was told nothing about it.
        state: `"up"`, or for machines of a cloud also `"launching"`,
            `"stopping"`, `"stopped"` and `"down"`.
        cloud: What was launched and what it costs; None for hosts of your own.
    """

    name: str
    version: str = ""
    python_version: str = ""
    pid: int = 0
    uptime_s: float = 0.0
    memory_bytes: int = 0
    running: int = 0
    objects: int = 0
    nodes: tuple[NodeStatus, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    autostop_mins: int | None = None
    state: str = "up"
    cloud: CloudStatus | None = None
    autostop: AutostopStatus | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the status as a JSON object."""
        return asdict(self)


def read_status(name: str, answer: Mapping[str, Any]) -> ClusterStatus:
    """Make a status from what the server's `GET /status` says; what only a newer one tells is left.

    Args:
        name: The cluster's name.
        answer: The JSON object.
    """
    nodes = [
        _known(NodeStatus, node, gpus=tuple(_known(GpuStatus, gpu) for gpu in node["gpus"]))
        for node in answer["nodes"]
    ]
    workers = tuple(
        _known(WorkerStatus, worker, gpus=tuple(worker.get("gpus", ())))
        for worker in answer["workers"]
    )
    told = answer.get("autostop")
    autostop = _known(AutostopStatus, told) if told is not None else None
    return _known(
        ClusterStatus,
        answer,
        name=name,
        nodes=tuple(nodes),
        workers=workers,
        autostop=autostop,
        autostop_mins=autostop.autostop_mins if autostop is not None else None,
    )


def _known(kind: Callable[..., T], values: Mapping[str, Any], **others: object) -> T:
    """Make a dataclass of the values that it has fields for."""
    names = inspect.signature(kind).parameters
    return kind(**{key: values[key] for key in names if key in values} | others)
