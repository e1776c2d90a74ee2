"""What a server tells about itself becomes a `ClusterStatus`."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from runhouse.cli.clusters import show_status
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
    "gpus": [0],
}
AUTOSTOP: dict[str, Any] = {
    "autostop_mins": 30,
    "stops": "down",
    "in_use": True,
    "why": "2 calls running",
    "idle_s": 0.0,
    "left_s": 1800.0,
    "pulsed_at": 1.5e9,
    "pulse_error": "",
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
    own = {"name": "box", "autostop_mins": None, "autostop": None, "state": "up", "cloud": None}
    assert told == {**ANSWER, **own}


def test_what_is_told_about_autostop_is_read() -> None:
    answer = {**ANSWER, "autostop": {**AUTOSTOP, "mood": "tired"}}
    status = read_status("box", answer)
    assert status.autostop is not None
    assert status.autostop.why == "2 calls running"
    assert status.autostop_mins == status.autostop.autostop_mins == 30
    assert json.loads(json.dumps(status.to_json()))["autostop"] == AUTOSTOP
    assert read_status("box", {**ANSWER, "autostop": None}).autostop is None


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({}, "in use: 2 calls running"),
        (
            {"pulse_error": "exit code 1: no sky"},
            "in use: 2 calls running (whoever stops it cannot be told of use: exit code 1: no sky)",
        ),
        ({"in_use": False, "left_s": 1681.0}, "down in 29 min unless used"),
        ({"in_use": False, "left_s": 59.0, "stops": "stop"}, "stops in 1 min unless used"),
        ({"in_use": False, "left_s": 0.0}, "down in 0 min unless used"),
        ({"autostop_mins": -1, "left_s": None}, "never"),
    ],
)
def test_autostop_is_shown_in_one_line(
    told: dict[str, object], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {**ANSWER, "autostop": {**AUTOSTOP, **told}}
    show_status(read_status("box", answer), as_json=False)
    assert capsys.readouterr().out.splitlines()[1] == f"Autostop: {shown}"


def test_nothing_is_shown_of_an_autostop_that_nobody_has_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_status(read_status("box", ANSWER), as_json=False)
    assert "Autostop" not in capsys.readouterr().out


def test_what_only_a_newer_server_tells_is_left_out() -> None:
    newer = {
        **ANSWER,
        "mood": "good",
        "name": "its own",
        "nodes": [{**NODE, "disks": 1, "gpus": [{**GPU, "fans": 2}]}],
        "workers": [{**WORKER, "threads": 3}],
    }
    assert read_status("box", newer) == read_status("box", ANSWER)
