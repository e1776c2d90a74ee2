"""Clusters for the tests: each behaviour is written once and shown on every kind."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from tests.rigs.cut_line import CutLine
from tests.rigs.fixtures import (
    bare_machine as bare_machine,
    client as client,
    client_settings as client_settings,
    default_spec,
    inner_machine as inner_machine,
    machine as machine,
    make_machine as make_machine,
    no_ssh_is_left as no_ssh_is_left,
    password_machine as password_machine,
    running,
    ssh_config as ssh_config,
)
from tests.rigs.sagemaker_user import (
    sagemaker_box as sagemaker_box,
    sagemaker_user as sagemaker_user,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rigs.client import Client

PASSWORD = "pass 'word' \"$HOME\""


@contextmanager
def local_cluster() -> Iterator[rh.Cluster]:
    """Give this machine."""
    yield rh.here
    rh.here.disconnect()
    rh.here.stop()


@contextmanager
def key_cluster(client: Client) -> Iterator[rh.Cluster]:
    """Give a host with a key and the tests' own Python, whose home has a space in its name."""
    spec = dataclasses.replace(default_spec(client), name="by-key", home="/home/ada lovelace")
    with running(client, spec), client.used_by_this_process():
        cluster = rh.cluster("by-key", host="by-key", python=sys.executable)
        yield cluster
        cluster.disconnect()


@contextmanager
def password_cluster(client: Client) -> Iterator[rh.Cluster]:
    """Give a host with a password, given by address and port, without rsync."""
    spec = dataclasses.replace(
        default_spec(client),
        name="by-password",
        authorized_key=None,
        password=PASSWORD,
        rsync=False,
    )
    with running(client, spec) as machine, client.used_by_this_process():
        creds = {"ssh_user": machine.spec.user, "password": PASSWORD}
        cluster = rh.cluster("by-password", f"{machine.host}:{machine.port}", ssh_creds=creds)
        yield cluster
        cluster.disconnect()


@contextmanager
def jump_cluster(client: Client) -> Iterator[rh.Cluster]:
    """Give a host that only another one can reach."""
    spec = default_spec(client)
    with (
        running(client, dataclasses.replace(spec, name="jump")) as jump,
        running(client, dataclasses.replace(spec, name="inner"), jump) as inner,
        client.used_by_this_process(),
    ):
        creds = {"ssh_proxy_jump": "jump", "ssh_user": inner.spec.user, "ssh_port": inner.port}
        cluster = rh.cluster("inner", host=inner.host, ssh_creds=creds)
        yield cluster
        cluster.disconnect()


@pytest.fixture(scope="module", params=["local", "byo-key", "byo-password", "proxy-jump"])
def cluster(request: pytest.FixtureRequest, session_home: object) -> Iterator[rh.Cluster]:
    """Give a cluster of each kind in turn; the tests of a module share it."""
    del session_home  # only its settings are needed, and they must be there first
    if request.param == "local":
        with local_cluster() as made:
            yield made
        return
    make = {"byo-key": key_cluster, "byo-password": password_cluster, "proxy-jump": jump_cluster}
    with make[request.param](request.getfixturevalue("client")) as made:
        yield made


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[CutLine]:
    """Give calls over a line that can be cut; the server ends with the test."""
    made = CutLine(tmp_path)
    yield made
    made.close()
