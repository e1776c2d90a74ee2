"""Metrics are what a reader of Prometheus' text format finds them to be."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as read

from runhouse.server import metrics
from runhouse.wire.messages import RunInfo, RunStatus

GPU: dict[str, Any] = {
    "name": 'Tesla "T4"\\\n',
    "memory_total_bytes": 16,
    "memory_used_bytes": 4,
    "utilization_percent": 37.0,
}


def status(**changes: Any) -> dict[str, Any]:
    """Return what a server tells about itself."""
    node = {
        "cpus": 8,
        "load_1m": 0.5,
        "memory_total_bytes": 100,
        "memory_available_bytes": 60,
        "gpus": [GPU],
    }
    worker = {"id": "w1", "env": "default", "pid": 7, "memory_bytes": 5, "running": 1}
    told = {
        "version": "1.2",
        "python_version": "3.11.7",
        "uptime_s": 12.5,
        "memory_bytes": 1e9,
        "running": 1,
        "objects": 2,
        "autostop": {"left_s": 90.0},
        "nodes": [node],
        "workers": [worker | {"objects": 2, "calls": 40}],
    }
    return told | changes


def run(state: RunStatus) -> RunInfo:
    """Return a run in a state."""
    return RunInfo(state, "", "f", state, "default", "w1", True, 1.0)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return the values in a text by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in read(text)
        for sample in family.samples
    }


def test_a_reader_finds_each_figure() -> None:
    text = metrics.render(status(), [run("done"), run("done"), run("running")], (30.0, 100.0))
    assert text.endswith("\n")
    found = samples(text)
    expected = {
        ("runhouse_info", "1.2", "3.11.7"): 1,
        ("runhouse_uptime_seconds",): 12.5,
        ("runhouse_memory_bytes",): 1e9,
        ("runhouse_calls_running",): 1,
        ("runhouse_objects",): 2,
        ("runhouse_runs", "done"): 2,
        ("runhouse_runs", "running"): 1,
        ("runhouse_runs", "failed"): 0,
        ("runhouse_worker_calls_total", "default", "w1", "7"): 40,
        ("runhouse_node_cpu_seconds_total", "busy"): 30,
        ("runhouse_node_cpu_seconds_total", "idle"): 70,
        ("runhouse_node_memory_bytes", "available"): 60,
        ("runhouse_gpu_utilization_percent", "0", GPU["name"]): 37,
        ("runhouse_autostop_left_seconds",): 90,
    }
    assert {key: found[key] for key in expected} == expected


def test_each_figure_says_what_it_is() -> None:
    families = list(read(metrics.render(status(), [], (0.0, 0.0))))
    assert all(family.documentation for family in families)
    assert {family.type for family in families} == {"gauge", "counter"}
    assert all(family.name.startswith("runhouse_") for family in families)


@pytest.mark.parametrize("autostop", [None, {"left_s": None}])
def test_what_there_is_not_is_left_out(autostop: Any) -> None:
    told = status(autostop=autostop, workers=[])
    told["nodes"][0]["gpus"] = []
    text = metrics.render(told, [], (0.0, 0.0))
    assert not [word for word in ("worker_", "gpu", "autostop") if word in text]
    assert list(read(text))
