"""What a server tells about itself becomes a `ClusterStatus`."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from runhouse.clusters.status import read_status

GPU = {
    "name": "A100",
    "memory_total_bytes": 80,
    "memory_used_bytes": 8,
    "utilization_percent": 50.0,
}
NODE = {
    "hostname": "box",
    "platform": "Linux x86_64",
    "cpus": 4,
    "load_1m": 0.5,
    "memory_total_bytes": 100,
    "memory_available_bytes": 60,
    "gpus": [GPU],
}
WORKER = {
    "id": "w1",
    "env": "default",
    "pid": 12,
    "python": "3.11.7",
    "project": "",
    "memory_bytes": 5,
    "uptime_s": 1.0,
    "running": 1,
    "objects": 2,
    "calls": 3,
}
ANSWER: dict[str, Any] = {
    "version": "0.1.0",
    "python_version": "3.12.1",
    "pid": 11,
    "uptime_s": 9.0,
    "memory_bytes": 7,
    "running": 1,
    "objects": 2,
    "nodes": [NODE],
    "workers": [WORKER],
}


def test_an_answer_is_read() -> None:
    status = read_status("box", ANSWER)
    assert (status.name, status.pid, status.autostop_mins) == ("box", 11, None)
    assert status.nodes[0].gpus[0].utilization_percent == 50.0
    assert status.workers[0].calls == 3
    with pytest.raises(FrozenInstanceError):
        status.name = "other"  # type: ignore[misc]


def test_it_goes_back_to_json() -> None:
    told = json.loads(json.dumps(read_status("box", ANSWER).to_json()))
    assert told == {**ANSWER, "name": "box", "autostop_mins": None, "state": "up", "cloud": None}


def test_what_only_a_newer_server_tells_is_left_out() -> None:
    newer = {
        **ANSWER,
        "mood": "good",
        "name": "its own",
        "nodes": [{**NODE, "disks": 1, "gpus": [{**GPU, "fans": 2}]}],
        "workers": [{**WORKER, "threads": 3}],
    }
    assert read_status("box", newer) == read_status("box", ANSWER)
