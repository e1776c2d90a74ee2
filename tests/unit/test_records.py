"""Clusters become records and come back, and no secret goes with them."""

from __future__ import annotations

import gc
import json
import pickle
import stat
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

import runhouse as rh
from runhouse import settings
from runhouse.clusters import records
from runhouse.errors import (
    ClusterNotFoundError,
    InvalidNameError,
    RecordError,
)
from runhouse.registry import credentials

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2 'and' \"more\""

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True).filter(
    lambda name: name not in {"file", "s3", "gs", "azure", "here", "ssh", "sftp", "local"}
)
CREDS = st.fixed_dictionaries(
    {},
    optional={
        "ssh_user": NAMES,
        "ssh_private_key": st.sampled_from(["~/.ssh/id", "/keys/a b", "k"]),
        "ssh_host": NAMES,
        "ssh_proxy_command": st.sampled_from(["nc %h %p", "ssh -W '%h:%p' jump"]),
        "password": st.just(SECRET),
    },
)


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """Make arguments of `rh.cluster`."""
    hosts = draw(st.lists(NAMES, min_size=1, max_size=3))
    count = draw(st.sampled_from([0, 1, len(hosts)]))
    options = {
        "ssh_port": st.integers(1, 65535),
        "server_port": st.integers(1, 65535),
        "env": NAMES,
        "python": st.sampled_from(["python3.12", "/opt/a b/bin/python"]),
    }
    return {
        "name": draw(NAMES),
        "host": hosts,
        "ssh_creds": draw(st.lists(CREDS, min_size=count, max_size=count)),
        "ssh_port": draw(options["ssh_port"]),
        **draw(st.fixed_dictionaries({}, optional=options)),
    }


@given(definitions())
def test_the_round_trip_is_exact(arguments: dict[str, Any]) -> None:
    made = rh.cluster(**arguments, dryrun=True)
    config = made.config()
    assert json.loads(json.dumps(config)) == config == made.config_for_rns
    again = rh.Cluster.from_config(config)
    assert (type(again), again, hash(again)) == (type(made), made, hash(made))
    assert again.config() == config
    assert again.ips == made.ips
    sent = pickle.dumps(made)
    assert pickle.loads(sent) == made
    assert not any(SECRET in text for text in (str(config), repr(made), sent.decode("latin-1")))


def test_what_comes_back_to_a_process_is_the_cluster_that_was_sent() -> None:
    made = rh.cluster("box", host="ada@gate", ssh_creds={"password": SECRET})
    sent = pickle.dumps(made)
    assert pickle.loads(sent) is made
    other = rh.cluster("box", host="ada@elsewhere")
    assert pickle.loads(pickle.dumps(other)) is other
    del made
    gc.collect()
    assert SECRET not in str(vars(pickle.loads(sent)))


def test_this_machine_makes_the_round_trip_too() -> None:
    for made in (rh.here, rh.cluster("mine", host="localhost", env="tools", python="python3")):
        assert rh.Cluster.from_config(made.config()) == made == pickle.loads(pickle.dumps(made))


# -- saving --------------------------------------------------------------------------------------


def test_a_record_is_readable_and_private(rh_home: Path) -> None:
    box = rh.cluster("box", host=["ada@a", "b"], ssh_creds={"password": SECRET}, ssh_port=2222)
    assert box.save() is box
    file = rh_home / "clusters" / "box.json"
    assert file.read_text().startswith('{\n  "version": 1,\n  "kind": "byo",\n  "name": "box"')
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert SECRET not in file.read_text()
    kept = rh_home / "credentials" / "box"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert rh.Cluster.list() == ["box"]
    assert rh.cluster("box") == rh.Cluster.from_name("box") == box


def password_of(cluster: rh.Cluster, node: int = 0) -> str | None:
    """Return the password that a cluster would log in with."""
    return cluster._password(node)  # type: ignore[attr-defined, no-any-return]


def test_a_password_comes_back_for_the_same_login_only(rh_home: Path) -> None:
    creds = {"ssh_user": "ada", "password": SECRET}
    rh.cluster("box", host="a", ssh_creds=creds).save()
    assert password_of(rh.cluster("box")) == SECRET
    assert password_of(rh.cluster("box", host="a", ssh_creds={"ssh_user": "ada"})) == SECRET
    assert password_of(rh.cluster("box", host="evil", ssh_creds={"ssh_user": "ada"})) is None
    assert password_of(rh.cluster("box", host="a", ssh_creds={"ssh_user": "bob"})) is None
    assert password_of(rh.cluster("box", host="a", ssh_creds=creds, ssh_port=23)) == SECRET


def test_saving_anew_forgets_what_no_longer_belongs(rh_home: Path) -> None:
    rh.cluster("box", host="a", ssh_creds={"password": SECRET}).save()
    rh.cluster("box").save()
    assert password_of(rh.cluster("box")) == SECRET, "saved as it was loaded"
    rh.cluster("box", host="b").save()
    assert credentials.load_password("box") is None
    creds = [{"password": "1"}, {}, {"password": "3"}]
    rh.cluster("box", host=["a", "b", "c"], ssh_creds=creds).save()
    loaded = rh.cluster("box")
    assert [password_of(loaded, node) for node in range(3)] == ["1", None, "3"]
    rh.cluster("box", host="a", ssh_creds={"password": SECRET}).save()
    files = [path.name for path in (rh_home / "credentials").iterdir()]
    assert files == ["box"]


def test_another_name_takes_the_password_along(rh_home: Path) -> None:
    rh.cluster("box", host="a", ssh_creds={"password": SECRET}).save()
    box = rh.cluster("box")
    assert box.save("crate").name == "crate"
    assert password_of(rh.cluster("crate")) == SECRET
    with pytest.raises(InvalidNameError):
        box.save("no good")
    assert box.name == "crate", "nothing changes when saving fails"
    assert rh.Cluster.list() == ["box", "crate"]


def test_deleting_takes_record_and_passwords_and_may_be_repeated(rh_home: Path) -> None:
    creds = [{"password": "1"}, {"password": "2"}]
    box = rh.cluster("box", host=["a", "b"], ssh_creds=creds).save()
    box.delete_configs()
    box.delete_configs()
    assert not [path for path in rh_home.rglob("*") if path.is_file()]
    rh.here.delete_configs()
    with pytest.raises(ClusterNotFoundError, match="None is saved"):
        rh.cluster("box")


def test_a_credential_elsewhere_in_a_definition_is_not_saved(rh_home: Path) -> None:
    creds = {"ssh_proxy_command": "connect -H http://me:hunter2@proxy %h %p"}
    with pytest.raises(RecordError, match="looks like a credential") as caught:
        rh.cluster("box", host="a", ssh_creds=creds).save()
    assert "hunter2" not in str(caught.value)
    assert rh.Cluster.list() == []


def test_a_traceback_has_no_password(rh_home: Path) -> None:
    creds = {"password": SECRET, "ssh_port": -1}
    with pytest.raises(ValueError, match="out of range") as caught:
        rh.cluster("box", host="a", ssh_creds=creds)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


# -- records that are not ours -------------------------------------------------------------------

BOX = {"version": 1, "kind": "byo", "name": "box", "host": ["a"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "teapot"}, "no kind of cluster 'teapot'"),
        ({"colour": "red"}, "has no colour; it has host"),
        ({"version": 2}, "Upgrade runhouse"),
        ({"host": None}, "host cannot be used"),
        ({"host": 3}, "host cannot be used"),
        ({"host": []}, "at least one host"),
        ({"ssh_port": "x"}, "ssh_port cannot be used"),
        ({"ssh_creds": [{"user": "x"}]}, "'user'"),
        ({"ssh_creds": "ada"}, "ssh_creds cannot be used"),
        ({"python": 3}, "python cannot be used"),
        ({"name": "other"}, "definition of 'other'"),
    ],
)
def test_a_record_that_cannot_be_used_is_told(
    rh_home: Path, changes: dict[str, Any], words: str
) -> None:
    folder = rh_home / "clusters"
    folder.mkdir(parents=True)
    (folder / "box.json").write_text(json.dumps({**BOX, **changes}))
    with pytest.raises(RecordError, match=words):
        rh.cluster("box")
    records.forget("box")
    assert rh.Cluster.list() == []


def test_a_key_file_that_is_not_here_does_not_keep_a_record_from_loading(rh_home: Path) -> None:
    creds = {"ssh_private_key": "/not/here"}
    rh.cluster("box", host="a", ssh_creds=creds, dryrun=True).save()
    assert rh.cluster("box").ssh_creds() == creds
    with pytest.raises(ValueError, match="/not/here"):
        rh.cluster("box").up()


@pytest.mark.parametrize("config", [None, 3, "box", [], {}, {"name": "box"}, {"kind": "byo"}])
def test_what_is_no_config_is_refused(config: Any) -> None:
    with pytest.raises(RecordError, match=r"This is not the definition of a resource\."):
        rh.Cluster.from_config(config)


@pytest.mark.parametrize("name", ["no good", "local", "s3", ""])
def test_a_config_needs_a_good_name(name: str) -> None:
    with pytest.raises(InvalidNameError):
        rh.Cluster.from_config({"kind": "byo", "name": name, "host": ["a"]})


# -- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["file", "memory"])
def test_records_can_be_kept_elsewhere(
    rh_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    shared = tmp_path / "team records"
    monkeypatch.setenv("RH_REGISTRY", f"{protocol}://{shared}")
    settings.load.cache_clear()
    box = rh.cluster("box", host="a", ssh_creds={"password": SECRET}).save()
    assert rh.Cluster.list() == ["box"]
    assert rh.cluster("box") == box
    assert password_of(rh.cluster("box")) == SECRET
    assert not (rh_home / "clusters").exists()
    assert (protocol == "file") == (shared / "box.json").exists()
    assert (rh_home / "credentials" / "box").exists(), "passwords stay on this machine"
    rh.cluster("box").delete_configs()
    assert rh.Cluster.list() == []


def test_several_processes_save_at_once(rh_home: Path) -> None:
    program = """
import sys, runhouse as rh
for turn in range(30):
    rh.cluster("same", host=f"host-{sys.argv[1]}-{turn}" + "x" * turn).save()
    rh.cluster(f"own-{sys.argv[1]}", host="a").save()
    assert rh.cluster("same").address.startswith("host-")
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(number)]) for number in range(3)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert rh.Cluster.list() == ["own-0", "own-1", "own-2", "same"]
    assert rh.cluster("same").address.partition("x")[0].endswith("-29")
    assert len(list((rh_home / "clusters").iterdir())) == 4, "nothing is left beside them"
