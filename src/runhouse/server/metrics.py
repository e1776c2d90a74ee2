"""Figures of a server in the text format of Prometheus.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format: lines of text, made
here rather than by a library that every host would have to be sent.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runhouse.wire.messages import RunInfo

MEDIA_TYPE = "text/plain; version=0.0.4"
_STATES = ("queued", "running", "done", "failed", "cancelled", "lost")

Labels = dict[str, str]


def render(
    status: Mapping[str, Any], runs: Iterable[RunInfo], cpu_seconds: tuple[float, float]
) -> str:
    """Return all metrics as one text.

    Args:
        status: What `GET /status` tells.
        runs: All runs that are known.
        cpu_seconds: For how long the CPUs were busy, and all in all.
    """
    (node, *_), workers = status["nodes"], status["workers"]
    states = Counter[str](info.status for info in runs)
    of_gpus = [({"gpu": str(i), "name": gpu["name"]}, gpu) for i, gpu in enumerate(node["gpus"])]
    of_workers = [
        ({"env": worker["env"], "worker": worker["id"], "pid": str(worker["pid"])}, worker)
        for worker in workers
    ]
    autostop = status["autostop"] or {}
    left_s = autostop.get("left_s")
    busy, total = cpu_seconds
    version: Labels = {"version": status["version"], "python": status["python_version"]}
    lines = [
        *_metric("info", "gauge", "Which versions run.", [(version, 1)]),
        *_metric("uptime_seconds", "gauge", "Since the server's start.", status["uptime_s"]),
        *_metric("memory_bytes", "gauge", "Memory of the server (PSS).", status["memory_bytes"]),
        *_metric("calls_running", "gauge", "Calls that go on now.", status["running"]),
        *_metric("objects", "gauge", "Objects in memory.", status["objects"]),
        *_metric(
            "runs",
            "gauge",
            "Runs that go on, and recorded ones that are kept, by state.",
            [({"status": state}, states[state]) for state in _STATES],
        ),
        *_of(of_workers, "worker_memory_bytes", "gauge", "Memory (PSS).", "memory_bytes"),
        *_of(of_workers, "worker_calls_running", "gauge", "Calls that go on now.", "running"),
        *_of(of_workers, "worker_calls_total", "counter", "Calls since its start.", "calls"),
        *_of(of_workers, "worker_objects", "gauge", "Objects that it holds.", "objects"),
        *_metric("node_cpus", "gauge", "Processors that may be used.", node["cpus"]),
        *_metric(
            "node_cpu_seconds_total",
            "counter",
            "Time of all processors since the start of the node.",
            [({"mode": "busy"}, busy), ({"mode": "idle"}, total - busy)],
        ),
        *_metric("node_load1", "gauge", "Load average of one minute.", node["load_1m"]),
        *_metric(
            "node_memory_bytes",
            "gauge",
            "Memory of the node.",
            [
                ({"kind": "total"}, node["memory_total_bytes"]),
                ({"kind": "available"}, node["memory_available_bytes"]),
            ],
        ),
        *_of(of_gpus, "gpu_memory_total_bytes", "gauge", "Its memory.", "memory_total_bytes"),
        *_of(of_gpus, "gpu_memory_used_bytes", "gauge", "In use.", "memory_used_bytes"),
        *_of(of_gpus, "gpu_utilization_percent", "gauge", "How busy.", "utilization_percent"),
    ]
    if left_s is not None:
        lines += _metric("autostop_left_seconds", "gauge", "Until the host is stopped.", left_s)
    return "\n".join([*lines, ""])


def _of(
    things: Iterable[tuple[Labels, Mapping[str, Any]]], name: str, kind: str, told: str, field: str
) -> list[str]:
    """Return the lines of a metric that several things have."""
    return _metric(name, kind, told, [(labels, thing[field]) for labels, thing in things])


def _metric(
    name: str, kind: str, told: str, values: float | Iterable[tuple[Labels, float]]
) -> list[str]:
    """Return the lines of one metric; none when it has no values."""
    given = [({}, values)] if isinstance(values, (int, float)) else list(values)
    samples = [f"runhouse_{name}{_labels(labels)} {float(value)!r}" for labels, value in given]
    head = [f"# HELP runhouse_{name} {told}", f"# TYPE runhouse_{name} {kind}"]
    return head + samples if samples else []


def _labels(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
