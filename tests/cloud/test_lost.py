"""Machines that the cloud takes away while something runs on them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.errors import ClusterLostError
from tests.cloud import sample
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.rigs.cloudbox.inside import Instance, Region

MARK = "~/mark"


def machine_at_work(region: Region) -> Instance:
    """Return the machine as soon as a call has begun there."""
    (machine,) = region.instances("spot")
    mark = region.home(machine) / "mark"
    wait_until(lambda: mark.exists() and mark.read_text() == "begun", timeout_s=30)
    return machine


def test_a_call_is_told_what_was_lost(spot: rh.OnDemandCluster, region: Region) -> None:
    (launched,) = region.instances("spot")
    assert launched.is_spot
    assert launched.type == "c6i.large", "2 CPUs and just 4 GiB"
    spot.put("kept", [1, 2, 3])
    remote = rh.function(sample.work).to(spot)
    run = remote.run(600, MARK)
    machine = machine_at_work(region)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(remote, 600, "~/another")
        waiting = threads.submit(run.result)
        another = region.home(machine) / "another"
        wait_until(another.exists, timeout_s=30)
        region.terminate(machine)
        with pytest.raises(ClusterLostError, match="are gone") as error:
            call.result(timeout=120)
        with pytest.raises(ClusterLostError):
            waiting.result(timeout=120)
    assert "taken by the cloud, as spot machines may be" in str(error.value)
    assert (error.value.cluster, error.value.state) == ("spot", "gone")
    with pytest.raises(ClusterLostError, match=r"Bring it up again with cluster\.up\(\)"):
        spot.get("kept")
    assert not spot.is_up()
    assert spot.status().state == "down"
    assert region.instances("spot") == [], "being told launches nothing"


def test_a_call_can_have_them_launched_again(spot: rh.OnDemandCluster, region: Region) -> None:
    spot.up()
    remote = rh.function(sample.work_once).to(spot).options(relaunch=True)
    taken: list[Instance] = []

    def take() -> None:
        machine = machine_at_work(region)
        region.terminate(machine)
        taken.append(machine)
        wait_until(lambda: region.instances("spot"), timeout_s=120)
        (fresh,) = region.instances("spot")
        wait_until(lambda: is_there(region, fresh), timeout_s=120)
        (region.home(fresh) / "second").touch()

    thread = threading.Thread(target=take)
    thread.start()
    assert remote(MARK).startswith("ip-")
    thread.join()
    (fresh,) = region.instances("spot")
    assert fresh.id != taken[0].id
    assert fresh.is_spot
    assert (region.home(fresh) / "mark").read_text() == "ended"


def is_there(region: Region, machine: Instance) -> bool:
    """Tell whether the host of a machine has a home directory."""
    try:
        return region.home(machine).is_dir()
    except Exception:  # noqa: BLE001 - it has not begun yet
        return False


def test_who_was_away_is_told_and_goes_on(spot: rh.OnDemandCluster, region: Region) -> None:
    away = rh.ondemand_cluster("spot")
    assert away.run(["echo hello"], stream_logs=False) == [(0, "hello\n", "")]
    region.terminate(*region.instances("spot"))
    with pytest.raises(ClusterLostError):
        away.run(["echo hello"])
    spot.up_if_not()
    assert rh.function(sample.host).to(away)().startswith("ip-"), "the new machine is found"
    away.disconnect()
