"""Clusters of machines that SkyPilot launches: calls, objects, files, stop and start, cost."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sky

import runhouse as rh
from runhouse.errors import ClusterNotUpError
from tests.cloud import sample
from tests.cloud.fleet import PRICE, TYPE
from tests.rigs.cli import Cli, on_terminal

if TYPE_CHECKING:
    from tests.rigs.cloudbox.inside import Region


def autostop_of(name: str) -> tuple[int, bool]:
    """Return SkyPilot's own setting: minutes, and whether the machines go down or stop."""
    (record,) = sky.get(sky.status([name]))
    return record["autostop"], record["to_down"]


# -- one machine ----------------------------------------------------------------------------------


def test_it_is_like_any_other_cluster(
    life: rh.OnDemandCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert life.is_up()
    assert life.up_if_not() is life
    remote = rh.function(sample.count).to(life)
    assert list(remote(3)) == [0, 1, 2]
    assert capsys.readouterr().out == "counting 0\ncounting 1\ncounting 2\n"
    tallies: Any = rh.module(sample.Tally).to(life)
    tally = tallies(name="tally")
    assert (tally.add(40), tally.add(2), tally.remote.total) == (40, 42, 42)
    life.put("limits", {"steps": 10})
    assert life.get("limits") == {"steps": 10}
    assert sorted(life.keys()) == ["limits", "tally"]
    assert life.call("tally", "add", 1) == 43
    run = rh.function(sample.host).to(life).options(run_name="nightly").run()
    assert rh.run.attach("nightly", life).result() == run.result()
    assert life.run(["echo one", "echo two"], stream_logs=False) == [
        (0, "one\n", ""),
        (0, "two\n", ""),
    ]
    assert not life.on_this_cluster()
    life.clear()
    assert life.keys() == []


def test_its_host_is_reached_by_what_skypilot_knows(
    life: rh.OnDemandCluster, region: Region
) -> None:
    (machine,) = region.instances("life")
    assert life.ips == [machine.ip]
    creds = life.ssh_creds()
    key = Path(creds["ssh_private_key"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert life.cluster_ssh_key() == key.read_text()
    assert life.cluster_ssh_key(str(key)).startswith("-----BEGIN")
    with pytest.raises(FileNotFoundError, match="no file /nowhere"):
        life.cluster_ssh_key("/nowhere")
    own = rh.cluster("own", host=machine.ip, ssh_creds=creds)
    assert rh.function(sample.host).to(own)() == region.on_host(machine, "hostname").strip()
    own.disconnect()


def test_what_it_costs_is_told(life: rh.OnDemandCluster) -> None:
    status = life.status()
    assert (status.name, status.state, len(status.nodes)) == ("life", "up", 1)
    assert status.cloud is not None
    assert status.cloud.resources.startswith(f"1x {TYPE} in AWS/us-east-1")
    assert status.cloud.price_per_hour == pytest.approx(PRICE)
    assert status.cloud.up_s > 0
    assert status.cloud.cost is not None
    assert 0 < status.cloud.cost < PRICE
    believed = life.status(refresh=False)
    assert (believed.state, believed.pid) == ("up", status.pid)


def test_autostop_is_changed_and_restored(life: rh.OnDemandCluster) -> None:
    assert autostop_of("life") == (60, True)
    assert life.status(refresh=False).autostop_mins == 60
    assert life.keep_warm() is life
    assert autostop_of("life")[0] == -1
    left = life.status(refresh=False).autostop
    assert left is not None
    assert left.left_s is None
    life.keep_warm(90)
    assert autostop_of("life") == (90, True)
    with life.pause_autostop():
        assert autostop_of("life")[0] == -1
    assert autostop_of("life") == (90, True)

    def fail_within() -> None:
        with life.pause_autostop():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_within()
    assert autostop_of("life") == (90, True)
    status = life.status(refresh=False)
    assert status.autostop_mins == 90
    assert status.autostop is not None
    assert status.autostop.left_s is not None
    assert 89 * 60 < status.autostop.left_s <= 90 * 60
    for wrong, error in ((0, ValueError), (-2, ValueError), (1.5, TypeError)):
        with pytest.raises(error):
            life.keep_warm(wrong)  # type: ignore[arg-type]


def test_stopped_machines_keep_their_files_and_come_back_elsewhere(
    life: rh.OnDemandCluster, region: Region
) -> None:
    assert rh.function(sample.write).to(life)("~/kept", "as it was") == 9
    other = rh.ondemand_cluster("life")
    remote = rh.function(sample.host).to(other)
    name = remote()
    result = rh.function(sample.host).to(life).options(run_name="before").run().result()
    (machine,) = region.instances("life")
    assert life.stop()
    assert not life.stop()
    assert [one.state for one in region.instances("life")] == ["stopped"]
    assert not life.is_up()
    stopped = life.status()
    assert (stopped.state, stopped.nodes) == ("stopped", ())
    with pytest.raises(ClusterNotUpError, match=r"says that it is stopped\. Bring it up"):
        life.keep_warm()
    with pytest.raises(ClusterNotUpError), life.pause_autostop():
        pytest.fail("it cannot be paused")
    for question in (life.keys, life.runs, lambda: life.get("limits"), lambda: life.get_run("a")):
        with pytest.raises(ClusterNotUpError, match=r"says that it is stopped\. Bring it up"):
            question()
    assert [one.state for one in region.instances("life")] == ["stopped"], "asking starts nothing"

    assert life.start() is life
    (moved,) = region.instances("life")
    assert (moved.id, moved.state) == (machine.id, "running")
    assert moved.ip != machine.ip
    assert life.ips == [moved.ip]
    assert life.run(["cat kept"], stream_logs=False) == [(0, "as it was", "")]
    assert life.get_run("before").result() == result
    assert rh.function(sample.host).to(life)() == result
    assert remote() == name, "who has used it before follows it, without sending anything again"
    assert other.ips == [moved.ip]
    other.disconnect()


def test_a_shell_is_opened_on_it(life: rh.OnDemandCluster, region: Region) -> None:
    (machine,) = region.instances("life")
    home = {"RH_HOME": os.environ["RH_HOME"]}
    rh_command = Cli(Path(home["RH_HOME"]), environ={**os.environ, **home})
    code, shown = on_terminal(rh_command, ["ssh", "life"], "echo $((40 + 2)) $(hostname)\nexit 3\n")
    assert code == 3
    assert f"42 {region.on_host(machine, 'hostname').strip()}" in shown
    assert life.is_connected()


# -- two machines ---------------------------------------------------------------------------------


def test_all_machines_are_as_asked_for(pair: rh.OnDemandCluster, region: Region) -> None:
    machines = region.instances("pair")
    assert [one.type for one in machines] == ["p3.2xlarge"] * 2, "accelerators, on each of two"
    assert {one.tags["team"] for one in machines} == {"vision"}
    volumes = region.ec2.describe_volumes()["Volumes"]
    owners = {one.id for one in machines}
    sizes = [each["Size"] for each in volumes if each["Attachments"][0]["InstanceId"] in owners]
    assert sizes == [77, 77]
    assert pair.num_instances == 2
    (record,) = sky.get(sky.status(["pair"]))
    assert record["handle"].launched_resources.ports == ["8080", "9000-9010"]
    groups = region.ec2.describe_security_groups()["SecurityGroups"]
    open_ = {
        (rule.get("FromPort"), rule.get("ToPort"))
        for group in groups
        for rule in group["IpPermissions"]
        if {"CidrIp": "0.0.0.0/0"} in rule["IpRanges"]
    }
    assert {(8080, 8080), (9000, 9010)} <= open_, "in the firewall of the cloud"
    assert sorted(pair.ips) == sorted(one.ip for one in machines)
    status = pair.status(refresh=False)
    assert status.cloud is not None
    assert status.cloud.price_per_hour == pytest.approx(2 * 3.06)
    assert status.cloud.resources.startswith("2x p3.2xlarge in AWS/")


def test_each_machine_is_reached(pair: rh.OnDemandCluster, region: Region, tmp_path: Path) -> None:
    names = {one.ip: region.on_host(one, "hostname") for one in region.instances("pair")}
    in_order = [names[ip] for ip in pair.ips]
    said = pair.run(["hostname"], node="all", stream_logs=False)
    assert [out for _, out, _ in said] == in_order
    ((_, second, _),) = pair.run(["hostname"], node=1, stream_logs=False)
    assert second == in_order[1]
    assert rh.function(sample.host).to(pair)() == in_order[0].strip(), "functions run on the head"
    (tmp_path / "data.txt").write_text("for all")
    pair.rsync(str(tmp_path / "data.txt"), "data.txt", node="all")
    read = pair.run(["cat data.txt"], node="all", stream_logs=False)
    assert [out for _, out, _ in read] == ["for all", "for all"]
    inside = pair.run([f"ping -c 1 -W 5 {pair.ips[1]} || echo >/dev/tcp/{pair.ips[1]}/22"])
    assert inside[0][0] == 0


# -- what is there is found -----------------------------------------------------------------------


def test_a_cluster_is_found_by_its_name_alone(life: rh.OnDemandCluster) -> None:
    found = rh.ondemand_cluster("life")
    assert found.ips == life.ips
    assert found.autostop_mins == life.autostop_mins
    assert rh.function(sample.host).to(found)() == rh.function(sample.host).to(life)()
    found.disconnect()
    assert "PRIVATE" not in str(life.config())
    assert "ssh_private_key" not in life.config()


def test_what_skypilot_has_launched_by_itself_is_taken_over(skypilot_s_own: str) -> None:
    taken = rh.ondemand_cluster(skypilot_s_own)
    assert taken.is_up() is False, "its machines are up, and no server runs there yet"
    assert rh.function(sample.host).to(taken)().startswith("ip-")
    assert taken.is_up()
    assert taken.autostop_mins == -1
    taken.disconnect()
