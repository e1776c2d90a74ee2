"""Launches that cannot be, that fail, that are interrupted, and that are made twice."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import sky

import runhouse as rh
from runhouse.errors import (
    CapacityError,
    ClusterNotFoundError,
    InvalidNameError,
    LaunchError,
    QuotaError,
    ResourcesError,
)
from tests.cloud import sample
from tests.cloud.fleet import begin, script
from tests.rigs.cli import RH
from tests.rigs.cloudbox.box import ZONES
from tests.rigs.cloudbox.refusals import Refusal
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rigs.cloudbox.inside import Region

NO_QUOTA = "You have requested more vCPU capacity than your current vCPU limit of 0 allows"


@pytest.fixture(scope="module")
def name(region: Region) -> Iterator[str]:
    """Give the name of a cluster that is removed afterwards, and that processes launch."""
    del region
    yield "begun"
    rh.ondemand_cluster("begun", instance_type="CPU:2").teardown()


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"instance_type": "m99.large"}, "Invalid instance type 'm99.large'"),
        ({"instance_type": "H100:8"}, "does not contain any instances satisfying"),
        ({"instance_type": "CPU:4", "provider": "gcp"}, "gcp which is not enabled"),
        ({"instance_type": "CPU:4", "provider": "nowhere"}, "'nowhere' is not a valid cloud"),
        ({"instance_type": "CPU:4", "region": "eu-west-1"}, "Invalid region 'eu-west-1'"),
        ({"instance_type": "m6i.large", "num_cpus": "4"}, "m6i.large"),
        ({"sky_kwargs": {"disk_tierr": "high"}}, "Did you mean 'disk_tier'"),
        ({"sky_kwargs": {"disk_tier": "highest"}}, "Invalid disk_tier 'highest'"),
    ],
)
def test_what_cannot_be_is_refused_with_skypilot_s_reason(
    asked: dict[str, Any], text: str, region: Region
) -> None:
    before = region.instances()
    with pytest.raises(ResourcesError, match=text) as error:
        rh.ondemand_cluster("never", **asked).up()
    assert error.value.cluster == "never"
    assert region.instances() == before
    assert rh.ondemand_cluster("never", **asked).status(refresh=False).state == "down"


def test_a_name_that_the_cloud_does_not_take(region: Region) -> None:
    del region
    with pytest.raises(InvalidNameError, match=r"cannot be used\..* Choose another one"):
        rh.ondemand_cluster("ends-with-a-dot.", instance_type="CPU:2").up()


@pytest.mark.parametrize(
    ("code", "message", "error", "advice"),
    [
        ("InsufficientInstanceCapacity", "no capacity", CapacityError, "Try again later"),
        ("VcpuLimitExceeded", NO_QUOTA, QuotaError, "Ask the cloud for a higher quota"),
    ],
)
def test_a_cloud_that_refuses_is_told_in_its_words(
    code: str, message: str, error: type[LaunchError], advice: str, region: Region
) -> None:
    before = region.instances()
    with (
        region.refusing(Refusal("RunInstances", code, message, "m6i.2xlarge")),
        pytest.raises(error, match=advice) as raised,
    ):
        rh.ondemand_cluster("never", instance_type="m6i.2xlarge").up()
    assert type(raised.value) is error
    assert code in raised.value.reason
    assert message in str(raised.value)
    assert region.instances() == before


def test_a_full_zone_is_left_for_another_one(region: Region) -> None:
    cluster = rh.ondemand_cluster("elsewhere", instance_type="T4:1", provider="cheapest")
    cluster.save()
    try:
        with region.refusing(region.full("g4dn.xlarge", zone=ZONES[0].name)):
            cluster.up()
        (machine,) = region.instances("elsewhere")
        assert (machine.type, machine.zone) == ("g4dn.xlarge", ZONES[1].name)
        assert cluster.autostop_mins == 30, "unless something else is said"
        (record,) = sky.get(sky.status(["elsewhere"]))
        assert (record["autostop"], record["to_down"]) == (30, True)
    finally:
        cluster.teardown_and_delete()
    assert region.instances("elsewhere") == []
    with pytest.raises(ClusterNotFoundError):
        rh.ondemand_cluster("elsewhere")
    assert cluster.status().state == "down"
    cluster.teardown()  # safe to repeat


def test_a_launch_goes_on_when_another_one_has_made_the_same_group(region: Region) -> None:
    cluster = rh.ondemand_cluster("raced", instance_type="CPU:2", open_ports=[8080])
    action, text = "AuthorizeSecurityGroupIngress", "The specified rule already exists"
    try:
        with region.refusing(Refusal(action, "InvalidPermission.Duplicate", text, times=1)):
            cluster.up()
        assert cluster.run(["echo up"], stream_logs=False) == [(0, "up\n", "")]
    finally:
        cluster.teardown()


def test_an_api_server_that_is_not_there_is_told() -> None:
    lines = """
try:
    rh.ondemand_cluster("never", instance_type="CPU:2").up()
except rh.errors.SkyServerError as error:
    print(error)
"""
    client = begin(*script(lines), SKYPILOT_API_SERVER_ENDPOINT="http://127.0.0.1:9")
    out, err = client.communicate(timeout=120)
    assert client.returncode == 0, err
    assert "SkyPilot's API server ended or does not answer" in out
    assert "http://127.0.0.1:9" in out


def test_ctrl_c_tells_what_exists_and_the_next_ones_go_on(
    region: Region, name: str, tmp_path: Path
) -> None:
    home = {"RH_HOME": str(tmp_path / "rh")}
    client = begin(RH, "up", name, "--instance-type", "CPU:2", **home)
    wait_until(lambda: region.instances(name), timeout_s=120)
    client.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, err = client.communicate(timeout=60)
    assert client.returncode == 130, err
    assert f"Machines of {name} may exist, and cost" in err
    assert f"Remove them with: rh down {name}" in err
    assert "Traceback" not in err
    assert time.monotonic() - begun < 30

    others = [begin(RH, "up", name, "--json", **home) for _ in range(2)]
    for other in others:
        out, err = other.communicate(timeout=240)
        assert other.returncode == 0, err
        assert json.loads(out) == {"name": name, "up": True}
    (machine,) = region.instances(name)
    assert machine.state == "running"
    same = rh.ondemand_cluster(name)
    assert rh.function(sample.host).to(same)() == region.on_host(machine, "hostname").strip()
    same.disconnect()
    down = begin(RH, "down", name, "--yes", **home)
    assert down.wait(timeout=60) == 0
    down.communicate()
    assert region.instances(name) == []


@pytest.mark.last
@pytest.mark.timeout(900)  # the clusters of all tests are removed after it
def test_an_api_server_that_dies_in_mid_launch(region: Region, name: str) -> None:
    """Begin a launch, kill the server as soon as there is a machine, and launch again."""
    cluster = rh.ondemand_cluster(name, instance_type="CPU:2")
    lines = f"""
try:
    rh.ondemand_cluster({name!r}, instance_type="CPU:2").up()
except rh.errors.SkyServerError as error:
    print(error)
"""
    client = begin(*script(lines))
    wait_until(lambda: region.instances(name), timeout_s=120)
    region.api_server.kill()
    out, err = client.communicate(timeout=240)
    assert client.returncode == 0, err
    assert "SkyPilot's API server ended or does not answer" in out
    assert f"remove them with `sky down {name}`" in out
    cluster.up()
    (machine,) = region.instances(name)
    assert machine.state == "running"
    assert rh.function(sample.host).to(cluster)().startswith("ip-")
    cluster.disconnect()
