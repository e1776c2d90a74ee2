"""What commands show about machines of a cloud, and how they ask."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.cli import clusters
from runhouse.cli.clusters import show_status
from runhouse.cli.machines import show_costs
from runhouse.cli.output import Exit, confirm, counted, dollars, exit_code, span
from runhouse.clusters.cloud import Machines
from runhouse.clusters.saved import Seen
from runhouse.clusters.status import CloudStatus, ClusterStatus
from runhouse.errors import (
    CapacityError,
    ClusterLostError,
    ClusterNotFoundError,
    InvalidNameError,
    RecordError,
    ResourcesError,
)

if TYPE_CHECKING:
    Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "-"),
        (0, "$0.00"),
        (0.0000001, "<$0.001"),
        (0.001, "$0.001"),
        (0.096, "$0.096"),
        (0.19234, "$0.192"),
        (1, "$1.00"),
        (32.7726, "$32.77"),
        (12345.678, "$12,345.68"),
    ],
)
def test_money_is_read_at_a_glance(amount: float | None, shown: str) -> None:
    assert dollars(amount) == shown


@pytest.mark.parametrize(
    ("length_s", "shown"),
    [(-5, "0 s"), (0, "0 s"), (0.5, "500 ms"), (59, "59 s"), (120, "2 min"), (200_000, "2 d")],
)
def test_times_are_read_at_a_glance(length_s: float, shown: str) -> None:
    assert span(length_s) == shown


@pytest.mark.parametrize(("number", "shown"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_things_are_counted_in_their_number(number: int, shown: str) -> None:
    assert counted(number, "file") == shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImportError("no SkyPilot"), Exit.USAGE),
        (InvalidNameError("taken"), Exit.USAGE),
        (ValueError("no amount"), Exit.USAGE),
        (ClusterNotFoundError("none", name="gpu"), Exit.NOT_FOUND),
        (ClusterLostError("gone", cluster="gpu"), Exit.NOT_UP),
        (ResourcesError("no such machine", cluster="gpu"), Exit.FAILED),
        (CapacityError("none free", cluster="gpu"), Exit.FAILED),
        (OSError("disk full"), Exit.FAILED),
        (ZeroDivisionError(), Exit.FAILED),
    ],
)
def test_each_error_has_its_code(error: Exception, code: Exit) -> None:
    assert exit_code(error) == code


# -- status --------------------------------------------------------------------------------------

UP = CloudStatus("2x m6i.large in AWS/us-east-1", 0.192, 0.0512, 960.0)


def status(state: str, cloud: CloudStatus | None) -> ClusterStatus:
    version = "0.1.0" if state == "up" else ""
    return ClusterStatus(name="gpu", version=version, state=state, cloud=cloud)


def test_machines_that_are_up_are_shown_with_their_cost(capsys: Capture) -> None:
    show_status(status("up", UP), as_json=False)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("gpu is up: runhouse 0.1.0")
    assert second == (
        "Machines: 2x m6i.large in AWS/us-east-1, $0.192 an hour, $0.0512 until now, up for 16 min"
    )


@pytest.mark.parametrize(
    ("state", "cloud", "lines"),
    [
        (
            "stopped",
            CloudStatus("1x m5.large in AWS", 0.1, 2.5),
            [
                "gpu is stopped. Start it with: rh start gpu",
                "Machines: 1x m5.large in AWS, $0.1 an hour, $2.50 until now",
            ],
        ),
        ("down", CloudStatus(), ["gpu is down. Start it with: rh up gpu"]),
        (
            "launching",
            CloudStatus("1x m5.large in AWS"),
            ["gpu is launching. Start it with: rh up gpu", "Machines: 1x m5.large in AWS"],
        ),
    ],
)
def test_machines_that_are_not_up_are_shown_with_what_to_do(
    capsys: Capture, state: str, cloud: CloudStatus, lines: list[str]
) -> None:
    show_status(status(state, cloud), as_json=False)
    assert capsys.readouterr().out.splitlines() == lines
    show_status(status(state, cloud), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["up"], told["state"], told["cloud"]["price_per_hour"]) == (
        False,
        state,
        cloud.price_per_hour,
    )


def test_hosts_of_your_own_cost_nothing_that_is_known(capsys: Capture) -> None:
    show_status(status("up", None), as_json=False)
    assert "Machines" not in capsys.readouterr().out
    show_status(status("up", None), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["up"], told["cloud"]) == (True, None)


# -- list and cost -------------------------------------------------------------------------------

RUNNING = Machines("gpu", "hash", "up", resources="1x g5.xlarge in AWS", price_per_hour=1.006)
OTHER = Machines("theirs", "hash2", "stopped", resources="1x n2 in GCP", price_per_hour=None)


@pytest.mark.parametrize(
    ("seen", "row", "facts"),
    [
        (Seen("here", rh.here), ["local", "-", "-", "localhost"], {"saved": True}),
        (
            Seen("box", rh.cluster("box", host=["a", "b"])),
            ["byo", "-", "-", "a, b"],
            {"host": ["a", "b"], "saved": True},
        ),
        (
            Seen("gpu", rh.ondemand_cluster("gpu", "A10G:1")),
            ["on-demand", "down", "-", "1x accelerators=A10G:1"],
            {"state": "down", "resources": "", "price_per_hour": None, "saved": True},
        ),
        (
            Seen("gpu", rh.ondemand_cluster("gpu", "A10G:1"), RUNNING),
            ["on-demand", "up", "$1.01", "1x g5.xlarge in AWS"],
            {"state": "up", "resources": "1x g5.xlarge in AWS", "price_per_hour": 1.006},
        ),
        (
            Seen("theirs", machines=OTHER),
            ["on-demand", "stopped", "-", "1x n2 in GCP"],
            {"kind": "on-demand", "saved": False, "state": "stopped"},
        ),
        (
            Seen("bad", error=RecordError("It is broken.")),
            ["unusable", "-", "-", "-"],
            {"error": "RecordError", "message": "It is broken.", "saved": True},
        ),
    ],
)
def test_a_line_of_the_list(seen: Seen, row: list[str], facts: dict[str, Any]) -> None:
    assert clusters._row(seen, everything=True) == [seen.name, *row]
    assert clusters._row(seen, everything=False)[1] == row[0]
    entry = clusters._entry(seen, everything=True)
    assert entry.items() >= facts.items()
    assert not clusters._entry(seen, everything=False).keys() & {"saved", "state", "resources"}


def test_costs_are_added_up(capsys: Capture) -> None:
    found = [
        {"name": "gpu", "seconds": 7200, "machines": "1x A", "cost": 2.012, "state": "up"},
        {"name": "old", "seconds": 60, "machines": "2x B", "cost": 0.0004, "state": "gone"},
    ]
    show_costs(found, 7, as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["NAME", "STATE", "UP", "FOR", "COST", "MACHINES"],
        ["gpu", "up", "2", "h", "$2.01", "1x", "A"],
        ["old", "gone", "1", "min", "<$0.001", "2x", "B"],
        ["Total:", "$2.01"],
    ]
    show_costs(found, 7, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["days"], told["clusters"]) == (7, found)
    assert told["total"] == pytest.approx(2.0124)


def test_nothing_costs_nothing(capsys: Capture) -> None:
    show_costs([], 30, as_json=False)
    assert capsys.readouterr().out.splitlines()[-1] == "Total: $0.00"


# -- asking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("as_json", "why"), [(True, "--json cannot"), (False, "no terminal")])
def test_where_nobody_can_be_asked_it_is_refused(
    as_json: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(ValueError, match=f"^Kept. .*{why}.* Add --yes.$"):
        confirm("Remove?", "Kept.", yes=False, as_json=as_json)
    confirm("Remove?", "Kept.", yes=True, as_json=as_json)
