"""Clusters for the tests: each behaviour is written once and shown on every kind."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse import settings
from tests.rigs.box import Machine, MachineSpec
from tests.rigs.fixtures import bare_machine as bare_machine
from tests.rigs.fixtures import client as client
from tests.rigs.fixtures import client_settings as client_settings
from tests.rigs.fixtures import inner_machine as inner_machine
from tests.rigs.fixtures import machine as machine
from tests.rigs.fixtures import no_ssh_is_left as no_ssh_is_left
from tests.rigs.fixtures import password_machine as password_machine
from tests.rigs.fixtures import ssh_config as ssh_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PASSWORD = "pass 'word' \"$HOME\""


@contextmanager
def client_of(*machines: Machine, persist_s: int = 2) -> Iterator[None]:
    """Let this process, and those that it starts, know machines by their names."""
    config = "\n".join(machine.config.read_text() for machine in machines)
    merged = machines[0].config.with_name("merged_config")
    merged.write_text(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RH_SSH_CONFIG", str(merged))
        patch.setenv("RH_SSH_PERSIST_S", str(persist_s))
        settings.load.cache_clear()
        yield
    settings.load.cache_clear()


@pytest.fixture
def make_machine() -> Iterator[Callable[[MachineSpec], Machine]]:
    """Make machines of one test, known to the client by their names and stopped at its end."""
    with ExitStack() as stack:
        made: list[Machine] = []

        def make(spec: MachineSpec) -> Machine:
            machine = stack.enter_context(Machine(spec))
            made.append(machine)
            stack.enter_context(client_of(*made))
            return machine

        yield make


@contextmanager
def local_cluster() -> Iterator[rh.Cluster]:
    """Give this machine."""
    yield rh.here
    rh.here.disconnect()
    rh.here.stop()


@contextmanager
def key_cluster() -> Iterator[rh.Cluster]:
    """Give a host with a key, whose home has a space in its name."""
    spec = MachineSpec(name="by-key", home="/home/ada lovelace")
    with Machine(spec) as machine, client_of(machine):
        cluster = rh.cluster("by-key", host="by-key")
        yield cluster
        cluster.disconnect()


@contextmanager
def password_cluster() -> Iterator[rh.Cluster]:
    """Give a host with a password, given by address and port, without rsync."""
    spec = MachineSpec(name="by-password", password=PASSWORD, setup="rm -f /usr/bin/rsync")
    with Machine(spec) as machine, client_of(machine):
        creds = {"ssh_user": "ada", "password": PASSWORD}
        cluster = rh.cluster("by-password", f"127.0.0.1:{machine.port}", ssh_creds=creds)
        yield cluster
        cluster.disconnect()


@contextmanager
def jump_cluster() -> Iterator[rh.Cluster]:
    """Give a host behind a jump host."""
    with (
        Machine(MachineSpec(name="jump", private_network=False, pythons=())) as jump,
        Machine(MachineSpec(name="inner")) as inner,
        client_of(jump, inner),
    ):
        cluster = rh.cluster("inner", host="inner", ssh_creds={"ssh_proxy_jump": "jump"})
        yield cluster
        cluster.disconnect()


KINDS = {
    "local": local_cluster,
    "byo-key": key_cluster,
    "byo-password": password_cluster,
    "proxy-jump": jump_cluster,
}


@pytest.fixture(scope="module", params=list(KINDS))
def cluster(request: pytest.FixtureRequest, session_home: Path) -> Iterator[rh.Cluster]:
    """Give a cluster of each kind in turn; the tests of a module share it."""
    del session_home  # only its settings are needed, and they must be there first
    with KINDS[request.param]() as made:
        yield made
