"""Machines go when nothing was computed on them, and stay while something is.

Minutes cannot be shortened here: they are SkyPilot's. The waiting is done while other tests run,
so what is expected is begun first and looked at last.
"""

from __future__ import annotations

import shlex
import socket
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from tests.cloud import sample
from tests.cloud.fleet import begin, script
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.cloudbox.inside import Region

# Longer than a minute of idleness and the minute in which SkyPilot's agent looks once.
BUSY_S = 150
MARK = "mark"
_LOOK_S = 0.5
# A notebook whose cell has run, and whose page is still open: a kernel, and a client of it.
_NOTEBOOK = """
from pathlib import Path
from jupyter_client.manager import start_new_kernel
kernel, page = start_new_kernel()
assert page.execute_interactive("print(6 * 7)", timeout=60)["content"]["status"] == "ok"
Path("notebook").write_text("idle")
while True:
    page.get_iopub_msg(timeout=None)
"""


@dataclass
class Watch:
    """Watch a cluster's machine until it is not running any more.

    Attributes:
        cluster: Name of the cluster.
        states: What was seen, with the time at which it was first seen.
    """

    cluster: str
    states: dict[str, float] = field(default_factory=dict)

    def follow(self, region: Region, end: threading.Event) -> None:
        """Note when the state of the machine and of the work on it changes."""
        while not end.wait(_LOOK_S):
            machine = next(iter(region.instances(self.cluster)), None)
            state = machine.state if machine is not None else "gone"
            if "begun" in self.states or state == "running":
                self.see(state)
            if machine is None or state != "running":
                if "begun" in self.states:
                    return
                continue
            try:
                self.see((region.home(machine) / MARK).read_text())
            except OSError:  # nothing was begun, or the host has just gone
                continue

    def see(self, state: str) -> None:
        """Note the time of what is seen for the first time."""
        self.states.setdefault(state, time.monotonic())


@contextmanager
def watching(cluster: str, region: Region) -> Iterator[Watch]:
    """Watch a cluster for as long as the block lasts."""
    end = threading.Event()
    watch = Watch(cluster)
    thread = threading.Thread(target=watch.follow, args=(region, end))
    thread.start()
    try:
        yield watch
    finally:
        end.set()
        thread.join()


def open_a_notebook(cluster: rh.OnDemandCluster) -> None:
    """Start a kernel that has run a cell, and goes on with nothing to do."""
    python = f"~/skypilot-runtime/bin/python -c {shlex.quote(_NOTEBOOK)}"
    begun = cluster.run([f"setsid {python} </dev/null >notebook.log 2>&1 &"], stream_logs=False)
    assert begun == [(0, "", "")]
    wait = "timeout 60 sh -c 'until [ -s notebook ]; do sleep 0.2; done' || cat notebook.log"
    assert cluster.run([wait, "cat notebook"], stream_logs=False) == [(0, "", ""), (0, "idle", "")]


@pytest.fixture(scope="session")
def held_on(held: rh.OnDemandCluster, region: Region) -> Iterator[Watch]:
    """Begin a plain call over a connection that stays, beside a tunnel and an idle notebook."""
    with watching("held", region) as watch:
        held.up()  # it may have been idle for a minute while others were launched
        tunnel, port = held.ssh_tunnel(0, 22)
        with closing(tunnel), closing(socket.create_connection(("127.0.0.1", port))) as through:
            assert through.recv(4) == b"SSH-", "it leads to the host, and stays open"
            open_a_notebook(held)
            remote = rh.function(sample.work).to(held).options(stream_logs=False)
            threading.Thread(target=remote, args=(BUSY_S, f"~/{MARK}"), daemon=True).start()
            wait_until(lambda: "begun" in watch.states, timeout_s=10)
            yield watch


@pytest.fixture(scope="session")
def left_behind(region: Region) -> Iterator[Watch]:
    """Begin a run on a cluster of its own, and end the program that has begun it."""
    lines = f"""
cluster = rh.ondemand_cluster("left", instance_type="CPU:2", autostop_mins=1)
remote = rh.function(sample.work).to(cluster)
print(remote.options(run_name="nightly").run({BUSY_S}, "~/{MARK}").key)
"""
    with watching("left", region) as watch:
        client = begin(*script(lines))
        out, err = client.communicate(timeout=240)
        assert (client.returncode, out) == (0, "nightly\n"), err
        wait_until(lambda: "begun" in watch.states, timeout_s=10)
        yield watch


def test_a_client_holds_on(held: rh.OnDemandCluster, held_on: Watch) -> None:
    assert list(held_on.states)[-1] == "begun"
    kernels = held.run(["pgrep --count --full ipykernel_launcher"], stream_logs=False)
    assert int(kernels[0][1]) >= 1, "the notebook is there, and stays there"
    status = held.status(refresh=False)
    assert status.autostop is not None
    assert (status.autostop.in_use, status.autostop.why) == (True, "1 call running")
    assert (status.autostop_mins, status.autostop.stops) == (1, "stop")


def test_a_client_leaves_a_run_behind(left_behind: Watch) -> None:
    assert list(left_behind.states)[-1] == "begun"


def check(watch: Watch, end: str, timeout_s: float) -> None:
    """Check that the machine has outlived the work by a minute or more, and then went."""
    wait_until(lambda: end in watch.states, timeout_s=timeout_s)
    assert list(watch.states)[-3:] == ["begun", "ended", end], watch.states
    assert watch.states["ended"] - watch.states["begun"] >= BUSY_S - 2
    idle_s = watch.states[end] - watch.states["ended"]
    assert 55 <= idle_s <= 240, watch.states


@pytest.mark.last
@pytest.mark.timeout(420)
def test_idle_machines_go_although_their_client_is_gone(left_behind: Watch) -> None:
    check(left_behind, "gone", timeout_s=400)
    assert rh.ondemand_cluster("left", instance_type="CPU:2").status().state == "down"


@pytest.mark.last
@pytest.mark.timeout(420)
def test_idle_machines_stop_although_a_client_is_there(
    held: rh.OnDemandCluster, held_on: Watch, region: Region
) -> None:
    seen = held_on.states
    wait_until(lambda: {"stopping", "stopped"} & seen.keys(), timeout_s=400)
    seen["stopped"] = seen.get("stopping", seen.get("stopped", 0.0))
    seen.pop("stopping", None)
    check(held_on, "stopped", timeout_s=1)
    wait_until(lambda: region.instances("held")[0].state == "stopped", timeout_s=30)
    assert held.status().state == "stopped"
    with pytest.raises(
        rh.errors.ClusterLostError, match=r"were stopped \(after 1 idle minutes"
    ) as e:
        held.run(["true"])
    assert (e.value.cluster, e.value.state) == ("held", "stopped")
    held.up()
    assert held.run([f"cat {MARK}"], stream_logs=False) == [(0, "ended", "")]
