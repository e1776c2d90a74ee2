"""Servers of other versions on a host are replaced when nobody needs them, and never silently."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.bootstrap import runtime, ssh_host
from runhouse.clusters import checkup
from runhouse.errors import ServerBusyError, ServerStartError
from tests.integration import sample
from tests.rigs.fixtures import default_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.client import Client
    from tests.rigs.fixtures import MakeMachine
    from tests.rigs.machine import Machine

pytestmark = [pytest.mark.timeout(60), pytest.mark.root]


@pytest.fixture
def box(make_machine: MakeMachine, client_settings: Client) -> Iterator[tuple[rh.Cluster, Machine]]:
    """Give a cluster, and the machine that it is."""
    spec = dataclasses.replace(default_spec(client_settings), name="box")
    machine = make_machine(spec)
    cluster = rh.cluster("box", host="box")
    yield cluster, machine
    cluster.disconnect()


def as_version(patch: pytest.MonkeyPatch, version: str) -> rh.Cluster:
    """Return the cluster as a client of another version sees it."""
    patch.setattr(ssh_host, "__version__", version)
    patch.setattr(runtime, "digest", lambda: f"digest-of-{version}")
    return rh.cluster("box", host="box")


def servers(machine: Machine) -> int:
    """Return how many servers run on a machine."""
    return len(machine.processes("import serve"))


def test_a_newer_client_replaces_an_idle_server(
    box: tuple[rh.Cluster, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, machine = box
    first = cluster.up().status()
    newer = as_version(monkeypatch, "99.0.0")
    second = newer.up().status()
    assert second.version == "99.0.0"
    assert second.pid != first.pid
    assert servers(machine) == 1
    assert rh.function(sample.add).to(newer)(1, 2) == 3


def test_a_newer_client_asks_before_it_replaces_a_busy_server(
    box: tuple[rh.Cluster, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, machine = box
    counter = rh.module(sample.Counter).to(cluster)(1)
    newer = as_version(monkeypatch, "99.0.0")
    with pytest.raises(ServerBusyError, match=r"0 running calls, 1 objects") as caught:
        newer.up()
    assert "cluster.restart_server()" in str(caught.value)
    assert (caught.value.host, caught.value.calls, caught.value.objects) == ("box", 0, 1)
    assert counter.add() == 2, "nothing was lost by asking"
    newer.restart_server()
    assert newer.status().version == "99.0.0"
    assert servers(machine) == 1


def test_an_older_client_uses_a_newer_server_as_it_is(
    box: tuple[rh.Cluster, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, _ = box
    pid = cluster.up().status().pid
    older = as_version(monkeypatch, "0.0.1")
    assert older.up().status().pid == pid
    assert rh.function(sample.add).to(older)(1, 2) == 3


def test_a_server_that_does_not_come_up_shows_the_end_of_its_log(
    box: tuple[rh.Cluster, Machine],
) -> None:
    cluster, machine = box
    cluster.up()
    info: dict[str, Any] = json.loads(
        next((machine.home / ".rh" / "hosts").glob("*/server.json")).read_text()
    )
    assert info["hostname"] == "box"
    cluster.stop()
    (file,) = (machine.home / ".rh" / "runtime").glob("*/worker/runhouse/server/daemon.py")
    kept = file.read_text()
    file.write_text("raise RuntimeError('broken on purpose')\n")
    with pytest.raises(ServerStartError, match="broken on purpose") as caught:
        cluster.up()
    assert "broken on purpose" in caught.value.log_tail
    assert caught.value.host == "box"
    file.write_text(kept)
    assert cluster.up().is_up()


def test_logs_of_the_host_can_be_read_from_here(box: tuple[rh.Cluster, Machine]) -> None:
    cluster, _ = box
    rh.function(sample.speak).to(cluster)("heard on the host")
    text = cluster.logs()
    assert "heard on the host" in text
    assert "is up: pid" in text
    assert cluster.stop()
    assert not cluster.stop()
    assert "stops" in cluster.logs()


def test_a_check_tells_of_a_server_of_another_version(
    box: tuple[rh.Cluster, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, machine = box
    cluster.up()
    monkeypatch.setattr(checkup, "__version__", "99.0.0")
    server = list(checkup.check_cluster(cluster))[-1]
    assert (server.name, server.state) == ("server", "warning")
    assert "cluster.restart_server(), for 99.0.0" in server.advice
    assert servers(machine) == 1
