"""Arguments of `rh.cluster` become a cluster of the right kind, or are refused with a reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.clusters.byo import ByoCluster
from runhouse.clusters.here import find_cluster
from runhouse.clusters.local import LocalCluster
from runhouse.errors import ClusterNotFoundError, InvalidNameError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("rh_home")


def test_a_host_makes_a_cluster_of_hosts() -> None:
    box = rh.cluster("box", host="ada@gpu-box:2222")
    assert type(box) is ByoCluster
    assert (box.name, box.address, box.ips, box.ssh_creds()) == ("box", "gpu-box", ["gpu-box"], {})
    assert repr(box) == "<runhouse.ByoCluster 'box'>"


@pytest.mark.parametrize(
    ("host", "ips"),
    [
        ("10.0.0.1", ["10.0.0.1"]),
        ("::1", ["::1"]),
        ("ada@[::1]:22", ["::1"]),
        (["a", "ada@b:1"], ["a", "b"]),
        (("a",), ["a"]),
    ],
)
def test_hosts_are_taken_in_every_form(host: Any, ips: list[str]) -> None:
    assert rh.cluster("box", host=host).ips == ips


def test_credentials_are_one_for_all_or_one_for_each() -> None:
    one = rh.cluster("one", host=["a", "b"], ssh_creds={"ssh_user": "ada"})
    assert one.config()["ssh_creds"] == [{"ssh_user": "ada"}]
    each = rh.cluster("each", host=["a", "b"], ssh_creds=[{"ssh_user": "a"}, {"ssh_host": "c"}])
    assert (each.ssh_creds(), each.ips) == ({"ssh_user": "a"}, ["a", "c"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "local"},
        {"name": "local", "host": "localhost"},
        {"name": "mine", "host": "localhost"},
        {"name": "mine", "host": ["localhost"]},
        {"name": "mine", "host": "localhost", "ssh_creds": {}},
        {"name": "local", "python": "/usr/bin/python3"},
    ],
)
def test_this_machine_needs_no_ssh(arguments: dict[str, Any]) -> None:
    made = rh.cluster(**arguments)
    assert type(made) is LocalCluster
    assert (made.name, made.ips, made.ssh_creds()) == (arguments["name"], ["localhost"], {})


def test_localhost_with_credentials_is_reached_by_ssh() -> None:
    assert type(rh.cluster("me", host="localhost", ssh_creds={"ssh_user": "ada"})) is ByoCluster
    assert type(rh.cluster("me", host="localhost", ssh_port=2222)) is ByoCluster


def test_a_key_must_be_there_unless_this_is_a_dry_run(tmp_path: Path) -> None:
    missing = {"ssh_private_key": tmp_path / "no key"}
    with pytest.raises(ValueError, match=r"There is no such file on this machine\. Correct"):
        rh.cluster("box", host="box", ssh_creds=missing)
    box = rh.cluster("box", host="box", ssh_creds=missing, dryrun=True)
    assert box.ssh_creds() == {"ssh_private_key": str(tmp_path / "no key")}
    assert (box.address, rh.Cluster.from_config(box.config())) == ("box", box)


def test_a_name_alone_loads_what_is_saved() -> None:
    saved = rh.cluster("box", host="gpu-box", env="tools", python="~/bin/python").save()
    assert rh.cluster("box") == saved == find_cluster("box")
    assert rh.cluster("box").env_name(None) == "tools"
    assert rh.cluster("box", host="other") != saved, "anything else is a new definition"
    with pytest.raises(ClusterNotFoundError, match="Did you mean 'box'") as caught:
        rh.cluster("bos")
    assert (caught.value.name, caught.value.near) == ("bos", ("box",))


def test_a_cluster_is_found_by_what_stands_for_it() -> None:
    assert find_cluster("here") is find_cluster("local") is find_cluster(rh.here) is rh.here
    with pytest.raises(TypeError, match="is not a cluster"):
        find_cluster(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": 3}, InvalidNameError, "3 cannot be used as a name"),
        ({"name": None, "host": "a"}, InvalidNameError, "as a name"),
        ({"name": "", "host": "a"}, InvalidNameError, "as a name"),
        ({"name": "a b", "host": "a"}, InvalidNameError, "as a name"),
        ({"name": "../a", "host": "a"}, InvalidNameError, "as a name"),
        ({"name": "s3", "host": "a"}, InvalidNameError, "reserved"),
        ({"name": "here", "host": "a"}, InvalidNameError, "reserved"),
        ({"name": "ssh", "host": "localhost"}, InvalidNameError, "reserved"),
        ({"host": 3}, TypeError, "host cannot be used. It is of type int"),
        ({"host": b"box"}, TypeError, "of type bytes"),
        ({"host": []}, ValueError, "at least one host"),
        ({"host": ["a", None]}, TypeError, r"host\[1\]"),
        ({"host": ""}, ValueError, "host cannot be ''"),
        ({"host": "a\nb"}, ValueError, "host cannot be"),
        ({"host": "a b"}, ValueError, "has a character no host has"),
        ({"host": "-oProxyCommand=x"}, ValueError, "has a character no host has"),
        ({"host": "ssh://box"}, ValueError, "looks like a URL"),
        ({"host": "box:0"}, ValueError, "out of range"),
        ({"host": "box:22", "ssh_port": 23}, ValueError, "Two different ones"),
        ({"ssh_creds": {"ssh_user": "ada"}}, TypeError, "host cannot be used"),
        ({"env": "x"}, TypeError, "host cannot be used"),
        ({"host": "a", "ssh_creds": "ada"}, TypeError, "ssh_creds cannot be used"),
        ({"host": "a", "ssh_creds": ["ada"]}, TypeError, r"ssh_creds\[0\]"),
        ({"host": "a", "ssh_creds": {"user": "ada"}}, TypeError, "'user'"),
        ({"host": "a", "ssh_creds": {"ssh_user": 3}}, TypeError, "ssh_user"),
        ({"host": "a", "ssh_creds": {"password": 3}}, TypeError, "password"),
        ({"host": "a", "ssh_creds": {"ssh_port": "x"}}, ValueError, "ssh_port"),
        ({"host": "a", "ssh_creds": {"ssh_private_key": 3}}, TypeError, "ssh_private_key"),
        ({"host": "a", "ssh_creds": {"ssh_private_key": ""}}, ValueError, "ssh_private_key"),
        ({"host": ["a", "b"], "ssh_creds": [{}, {}, {}]}, ValueError, "3 of them for 2 hosts"),
        ({"host": "a", "ssh_port": "22"}, TypeError, "ssh_port cannot be used"),
        ({"host": "a", "ssh_port": True}, TypeError, "of type bool"),
        ({"host": "a", "ssh_port": 65536}, ValueError, "ssh_port cannot be 65536"),
        ({"host": "a", "server_port": 0}, ValueError, "server_port cannot be 0"),
        ({"host": "a", "python": 3.11}, TypeError, "python cannot be used"),
        ({"host": "a", "python": ""}, ValueError, "python cannot be ''"),
        ({"host": "a", "env": "no good"}, InvalidNameError, "'no good' cannot be used"),
        ({"host": "a", "hots": 1}, TypeError, "did you mean 'host'"),
        ({"host": "a", "ssh_cred": 1}, TypeError, "did you mean 'ssh_creds'"),
        ({"name": "local", "host": "box"}, ValueError, "It stands for this machine"),
        ({"name": "local", "ssh_port": 22}, ValueError, "needs no ssh_port"),
        ({"name": "mine", "host": "localhost", "server_port": 80}, ValueError, "no server_port"),
        ({"name": "local", "env": 3}, TypeError, "It is of type int. Give the name of an env"),
    ],
)
def test_bad_input_is_refused_with_a_reason(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        rh.cluster(**{"name": "box", **arguments})
    assert re.search(r"\. .+\. .+", str(caught.value)), "three sentences"


def test_a_password_in_the_host_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="Pass a password as ssh_creds") as caught:
        rh.cluster("box", host="ada:hunter2@box")
    assert "hunter2" not in str(caught.value)
