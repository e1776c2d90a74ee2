"""The region itself: SkyPilot launches hosts in it, and runhouse can call on them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sky
from botocore.exceptions import ClientError

import runhouse as rh
from tests.integration import sample
from tests.rigs.cloudbox.box import HOST_USER, IMAGE_ID, ZONES, BoxError
from tests.rigs.cloudbox.refusals import Refusal
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.cloudbox.inside import Instance, Region

TYPE = "c6i.large"


def launch(region: Region, zone: str) -> None:
    """Launch an instance without SkyPilot."""
    wanted = [{"Name": "availability-zone", "Values": [zone]}, {"Name": "cidr", "Values": ["10.*"]}]
    (subnet,) = region.ec2.describe_subnets(Filters=wanted)["Subnets"]
    region.ec2.run_instances(
        ImageId=IMAGE_ID,
        InstanceType=TYPE,
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet["SubnetId"],
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": "skypilot-cluster-name", "Value": "plain"}],
            }
        ],
    )


@pytest.fixture
def instance(region: Region) -> Iterator[Instance]:
    """Give an instance whose host answers."""
    launch(region, ZONES[1].name)
    (made,) = region.instances("plain")
    wait_until(lambda: answers(made))
    yield made
    region.terminate(made)


def answers(instance: Instance) -> bool:
    """Tell whether the sshd of an instance's host listens."""
    with socket.socket() as probe:
        probe.settimeout(0.1)
        return probe.connect_ex((instance.ip, 22)) == 0


def record(name: str) -> Any:
    """Return what SkyPilot knows of a cluster."""
    (found,) = sky.get(sky.status([name], _include_credentials=True))
    return found


def test_an_instance_is_a_host_of_its_own(region: Region, instance: Instance) -> None:
    assert instance.zone == ZONES[1].name
    assert instance.ip.startswith(f"{ZONES[1].subnet}.")
    assert region.on_host(instance, "hostname").strip() == f"ip-{instance.ip.replace('.', '-')}"
    assert region.on_host(instance, "id", "--user") == "0\n"
    assert "sshd" in region.on_host(instance, "ps", "-e")
    assert "sky" not in region.on_host(instance, "ls", "/tmp")
    region.path(instance, "/etc/only-there").touch()
    assert not Path("/etc/only-there").exists()


def test_an_instance_knows_itself(region: Region, instance: Instance) -> None:
    def ask(path: str) -> str:
        return region.on_host(instance, "curl", "--fail", "--silent", f"169.254.169.254{path}")

    assert ask("/latest/meta-data/instance-id") == instance.id
    assert "SecretAccessKey" in ask("/latest/meta-data/iam/security-credentials/skypilot-v1")
    with pytest.raises(subprocess.CalledProcessError):
        ask("/latest/meta-data/public-ipv4")


def test_a_host_has_no_way_out(region: Region, instance: Instance) -> None:
    assert "default" not in region.on_host(instance, "ip", "route")


def test_a_stopped_instance_keeps_its_disk(region: Region, instance: Instance) -> None:
    (region.home(instance) / "kept").write_text("as it was")
    region.stop(instance)
    assert [one.state for one in region.instances("plain")] == ["stopped"]
    assert not answers(instance)
    with pytest.raises(BoxError, match="has no host"):
        region.on_host(instance, "true")
    region.ec2.start_instances(InstanceIds=[instance.id])
    (moved,) = region.instances("plain")
    assert (moved.id, moved.ip != instance.ip) == (instance.id, True), "as with public addresses"
    wait_until(lambda: answers(moved))
    assert (region.home(instance) / "kept").read_text() == "as it was"
    assert moved.ip in region.on_host(moved, "cat", "/etc/hosts")


def test_a_host_that_ends_by_itself_is_stopped(region: Region, instance: Instance) -> None:
    os.kill(region.host_pid(instance), signal.SIGKILL)
    wait_until(lambda: region.instances("plain")[0].state == "stopped")
    assert not answers(instance)


def test_a_full_cloud_refuses(region: Region) -> None:
    with (
        region.refusing(region.full(zone=ZONES[0].name), region.full("p3.2xlarge")),
        pytest.raises(ClientError, match="InsufficientInstanceCapacity"),
    ):
        launch(region, ZONES[0].name)
    assert region.instances("plain") == []
    with region.refusing(region.full(zone=ZONES[0].name), region.full("p3.2xlarge")):
        launch(region, ZONES[1].name)
    region.terminate(*region.instances("plain"))
    assert region.instances("plain") == []


def test_any_request_can_be_refused(region: Region) -> None:
    no = Refusal("DescribeVpcs", "UnauthorizedOperation", "You are not <authorized>")
    with region.refusing(no), pytest.raises(ClientError, match="You are not <authorized>"):
        region.ec2.describe_vpcs()
    assert region.ec2.describe_vpcs()["Vpcs"]


def test_another_user_has_a_machine_of_their_own(region: Region, instance: Instance) -> None:
    Path("~/mine").expanduser().touch()
    with region.other_home() as there:
        assert there.run("sh", "-c", "ls ~/mine || echo none") == "none\n"
        assert "testing" in there.run("sh", "-c", "cat ~/.aws/credentials")
        who = there.run("python", "-c", "import runhouse, os; print(os.path.expanduser('~'))")
        assert who == f"{Path.home()}\n"
        wait_until(lambda: answers(instance))
        there.run("timeout", "5", "bash", "-c", f": </dev/tcp/{instance.ip}/22")
        assert "10.231.250." in there.run("ip", "address")


def test_skypilot_launches_a_host(region: Region, skypilot_s_own: str) -> None:
    known = record(skypilot_s_own)
    (launched,) = region.instances(skypilot_s_own)
    assert known["status"] == sky.ClusterStatus.UP
    assert known["handle"].head_ip == launched.ip
    assert launched.state == "running"
    assert "raylet" in region.on_host(launched, "ps", "-e")


def test_runhouse_calls_on_a_host(region: Region, skypilot_s_own: str) -> None:
    (launched,) = region.instances(skypilot_s_own)
    key = record(skypilot_s_own)["credentials"]["ssh_private_key"]
    creds = {"ssh_user": HOST_USER, "ssh_private_key": key}
    cluster = rh.cluster("plain", host=launched.ip, ssh_creds=creds)
    try:
        assert rh.function(sample.add).to(cluster)(1, 2) == 3
        assert (region.home(launched) / ".rh").is_dir()
    finally:
        cluster.stop()
        cluster.disconnect()


def test_the_api_server_dies_and_comes_back(region: Region, skypilot_s_own: str) -> None:
    def is_up() -> bool:
        try:
            return bool(record(skypilot_s_own)["status"] == sky.ClusterStatus.UP)
        except OSError:  # SkyPilot believes for some seconds that its server is still there
            return False

    assert region.api_server.is_running
    region.api_server.kill()
    assert not region.api_server.is_running
    wait_until(is_up, timeout_s=60)
    assert region.api_server.is_running
