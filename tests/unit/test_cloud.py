"""What is asked of SkyPilot is checked before anything is launched."""

from __future__ import annotations

from typing import Any

import pytest

import runhouse as rh
from runhouse.clusters.cloud import Machines, Node, Wanted
from runhouse.clusters.on_demand import OnDemandCluster
from runhouse.errors import ClusterNotFoundError, InvalidNameError


@pytest.mark.parametrize(
    ("asked", "resources"),
    [
        ({}, {}),
        ({"instance_type": "m5.xlarge"}, {"instance_type": "m5.xlarge"}),
        ({"instance_type": "A100:4"}, {"accelerators": "A100:4"}),
        ({"instance_type": "H100-80GB:0.5"}, {"accelerators": "H100-80GB:0.5"}),
        ({"instance_type": "CPU:8"}, {"cpus": "8+"}),
        ({"instance_type": "cpu:8", "memory": "32"}, {"cpus": "8+", "memory": "32"}),
        ({"num_cpus": 4, "memory": 15.5}, {"cpus": "4+", "memory": "15.5+"}),
        ({"num_cpus": "4", "gpus": "T4:1"}, {"cpus": "4", "accelerators": "T4:1"}),
        ({"instance_type": "T4:1", "gpus": "T4:1"}, {"accelerators": "T4:1"}),
        ({"provider": "aws"}, {"infra": "aws"}),
        ({"provider": "cheapest"}, {}),
        ({"provider": "kubernetes"}, {"infra": "kubernetes"}),
        ({"provider": "gcp", "region": "us-central1"}, {"infra": "gcp/us-central1"}),
        ({"provider": "cheapest", "region": "eu-west-1"}, {"infra": "*/eu-west-1"}),
        ({"region": "eu-west-1"}, {"infra": "*/eu-west-1"}),
        ({"use_spot": True, "disk_size": 100}, {"use_spot": True, "disk_size": 100}),
        ({"image_id": "docker:python:3.11"}, {"image_id": "docker:python:3.11"}),
        ({"open_ports": 8080}, {"ports": ["8080"]}),
        ({"open_ports": ["9000-9010", 80]}, {"ports": ["9000-9010", "80"]}),
        ({"labels": {"team": "a"}}, {"labels": {"team": "a"}}),
    ],
)
def test_it_becomes_what_skypilot_takes(asked: dict[str, Any], resources: dict[str, Any]) -> None:
    for nodes in (None, 3):
        wanted = Wanted.checked(**asked, num_instances=nodes)
        assert wanted.resources() == resources
        assert wanted.num_instances == (nodes or 1)
        assert Wanted.checked(**wanted.to_record()) == wanted, "it comes back from its record"
        assert str(wanted).startswith(f"{nodes or 1}x ")


@pytest.mark.parametrize(
    ("asked", "error", "text"),
    [
        ({"instance_type": "A100:4", "gpus": "T4:1"}, ValueError, "Leave one of them out"),
        ({"instance_type": "CPU:8", "num_cpus": 4}, ValueError, "cannot be used with num_cpus=4"),
        ({"instance_type": ""}, ValueError, "instance_type"),
        ({"instance_type": 8}, TypeError, "instance_type cannot be used. It is of type int"),
        ({"num_instances": 0}, ValueError, "num_instances cannot be 0"),
        ({"num_instances": "2"}, TypeError, "num_instances"),
        ({"num_cpus": "many"}, ValueError, "num_cpus cannot be 'many'. It is no amount"),
        ({"memory": -1}, ValueError, "memory cannot be -1"),
        ({"memory": True}, ValueError, "memory cannot be True"),
        ({"disk_size": 1.5}, TypeError, "disk_size"),
        ({"open_ports": "all"}, ValueError, "open_ports cannot hold 'all'"),
        ({"open_ports": [0]}, ValueError, "open_ports cannot be 0"),
        ({"open_ports": "80-90000"}, ValueError, "open_ports cannot be 90000"),
        ({"labels": ["a"]}, TypeError, "labels cannot be used. It is of type list"),
        ({"labels": {1: "a"}}, TypeError, "whose keys are texts"),
        ({"sky_kwargs": "x"}, TypeError, "sky_kwargs cannot be used"),
    ],
)
def test_what_cannot_be_asked_for_is_told(
    asked: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        rh.ondemand_cluster("gpu", **asked)
    if "sky_kwargs" not in asked and "labels" not in asked:
        with pytest.warns(UserWarning, match="ondemand_cluster"), pytest.raises(error, match=text):
            rh.cluster("gpu", **asked)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"autostop_mins": 0}, ValueError, "autostop_mins cannot be 0. The machines would go"),
        ({"autostop_mins": -2}, ValueError, "autostop_mins cannot be -2"),
        ({"autostop_mins": 1.5}, TypeError, "autostop_mins"),
        ({"autostop": "sleep"}, ValueError, "autostop cannot be 'sleep'"),
        ({"env": "a b"}, InvalidNameError, "'a b' cannot be used as a name"),
        ({"python": ""}, ValueError, "python"),
    ],
)
def test_when_machines_go_is_checked(
    given: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        rh.ondemand_cluster("gpu", "CPU:2", **given)


def test_all_arguments_survive_the_record_and_the_registry(rh_home: object) -> None:
    made = rh.ondemand_cluster(
        "gpu",
        "A100:8",
        num_instances=2,
        provider="cheapest",
        autostop_mins=45,
        use_spot=True,
        image_id="docker:nvidia/cuda",
        region="us-east-1",
        memory="64+",
        num_cpus=16,
        disk_size=500,
        open_ports=[8080, "9000-9010"],
        labels={"team": "vision"},
        sky_kwargs={"disk_tier": "high", "retry_until_up": True},
        autostop="stop",
        env="train",
        python="/usr/bin/python3",
    )
    again = rh.Cluster.from_config(made.config())
    assert isinstance(again, OnDemandCluster)
    assert again == made
    made.save()
    for loaded in (rh.ondemand_cluster("gpu"), rh.cluster("gpu")):
        assert loaded == made
        assert isinstance(loaded, OnDemandCluster)
        assert (loaded.autostop_mins, loaded.num_instances) == (45, 2)
    made.delete_configs()
    with pytest.raises(ClusterNotFoundError, match="gpu"):
        rh.ondemand_cluster("gpu")


def test_a_saved_cluster_of_another_kind_is_told(rh_home: object) -> None:
    rh.cluster("box", host="example.org").save()
    with pytest.raises(TypeError, match=r"Its kind is byo. Load it with runhouse.cluster\('box'\)"):
        rh.ondemand_cluster("box")


def test_cluster_hands_over_everything() -> None:
    with pytest.warns(UserWarning, match="This is what ondemand_cluster"):
        made = rh.cluster(
            "gpu", instance_type="A100:1", autostop_mins=9, num_instances=2, env="e", python="py"
        )
    direct = rh.ondemand_cluster(
        "gpu", "A100:1", autostop_mins=9, num_instances=2, env="e", python="py"
    )
    assert made == direct


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (
            {"host": "h"},
            ValueError,
            "host is of hosts that you have, and instance_type of machines",
        ),
        ({"ssh_creds": {}}, ValueError, "ssh_creds is of hosts"),
        ({"ssh_port": 22}, ValueError, "ssh_port"),
        ({"server_port": 1000}, ValueError, "server_port"),
        ({"instance_typo": "x"}, TypeError, r"'instance_typo' \(did you mean 'instance_type'\?\)"),
    ],
)
def test_kinds_are_not_mixed(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rh.cluster("gpu", instance_type="A100:1", **given)


def test_machines_tell_how_to_log_in_without_a_key() -> None:
    machines = Machines(
        "gpu",
        "hash",
        "up",
        count=2,
        nodes=(Node("1.2.3.4", "10.0.0.1"), Node("1.2.3.5", "10.0.0.2", 10022)),
        ssh_user="ubuntu",
        private_key="/home/u/.sky/key",
        resources="2x m6i.large in AWS/us-east-1",
        price_per_hour=0.192,
    )
    assert machines.ssh_creds() == {"ssh_user": "ubuntu", "ssh_private_key": "/home/u/.sky/key"}
    assert machines.described == "2x m6i.large in AWS/us-east-1, $0.192 an hour"


def test_a_private_key_is_read_from_its_file(tmp_path: Any) -> None:
    made = rh.ondemand_cluster("gpu", "CPU:2")
    key = tmp_path / "key"
    key.write_text("the key\n")
    assert made.cluster_ssh_key(str(key)) == "the key\n"
    with pytest.raises(FileNotFoundError, match="There is no file .*missing. Give the path"):
        made.cluster_ssh_key(str(tmp_path / "missing"))


def test_without_skypilot_every_action_says_how_to_get_it() -> None:
    made = rh.ondemand_cluster("gpu", "CPU:2")
    actions = (
        made.up, made.is_up, made.status, made.stop, made.start, made.teardown, made.ssh_creds,
        made.keep_warm, lambda: made.ips, lambda: made.run("true"), made.cluster_ssh_key,
    )  # fmt: skip
    for act in actions:
        with pytest.raises(ImportError, match=r"pip install 'runhouse\[sky\]'"):
            act()
    with pytest.raises(ImportError), made.pause_autostop():
        pytest.fail("it was not paused")
