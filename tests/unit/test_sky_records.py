"""What SkyPilot's records say becomes what we know about machines."""

from __future__ import annotations

import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runhouse.clusters.cloud import Node
from runhouse.clusters.sky_records import machines_of

KEY = "-----BEGIN PRIVATE KEY-----\n"


def record(status: str = "UP", **more: Any) -> dict[str, Any]:
    """Return a record as SkyPilot's server gives it, of a cluster of two machines."""
    launched = SimpleNamespace(
        cloud="AWS", region="us-east-1", zone=None, use_spot=True, instance_type="m6i.large",
        get_cost=lambda seconds: seconds / 3600 * 0.05,
    )  # fmt: skip
    handle = SimpleNamespace(
        stable_internal_external_ips=[("10.0.0.1", "1.2.3.4"), ("10.0.0.2", None)],
        stable_ssh_ports=[2222],
        launched_resources=launched,
        launched_nodes=2,
    )
    return {
        "name": "gpu",
        "status": SimpleNamespace(value=status),
        "handle": handle,
        "credentials": {"ssh_user": "ubuntu", "ssh_private_key_content": KEY},
        "cluster_hash": "abc",
        "nodes": 2,
        "launched_at": 1000,
        "autostop": 30,
        "to_down": True,
        **more,
    }


def test_machines_that_are_up_can_be_reached(rh_home: Path) -> None:
    machines = machines_of(record())
    assert (machines.state, machines.count, machines.identity) == ("up", 2, "abc")
    assert machines.nodes == (Node("1.2.3.4", "10.0.0.1", 2222), Node("10.0.0.2", "10.0.0.2", 22))
    assert machines.described == "2x m6i.large[spot] in AWS/us-east-1, $0.1 an hour"
    assert (machines.autostop_mins, machines.stops) == (30, "down")
    key = Path(machines.private_key)
    assert key.is_relative_to(rh_home)
    assert (key.read_text(), stat.S_IMODE(key.stat().st_mode)) == (KEY, 0o600)
    assert machines_of(record()).private_key == str(key), "it is copied once"


def test_a_key_that_is_here_is_used_where_it_is(tmp_path: Path, rh_home: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    machines = machines_of(record(credentials={"ssh_private_key": str(key)}))
    assert machines.ssh_creds() == {"ssh_private_key": str(key)}
    assert not rh_home.exists()


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PENDING", "launching"),
        ("INIT", "launching"),
        ("AUTOSTOPPING", "stopping"),
        ("STOPPED", "stopped"),
    ],
)
def test_machines_that_are_not_up_have_no_nodes(status: str, state: str, rh_home: Path) -> None:
    del rh_home
    machines = machines_of(record(status, to_down=False))
    assert (machines.state, machines.nodes, machines.stops) == (state, (), "stop")


def test_machines_without_addresses_are_not_up_yet(rh_home: Path) -> None:
    del rh_home
    fresh = record()
    fresh["handle"].stable_internal_external_ips = None
    assert machines_of(fresh).state == "launching"
    nothing = machines_of(record("INIT", handle=None, credentials=None, nodes=None))
    assert (nothing.state, nothing.resources, nothing.price_per_hour) == ("launching", "", None)


def test_a_price_that_nobody_knows(rh_home: Path) -> None:
    del rh_home

    def unknown(seconds: float) -> float:
        raise KeyError(seconds)

    given = record()
    given["handle"].launched_resources.get_cost = unknown
    assert machines_of(given).price_per_hour is None
