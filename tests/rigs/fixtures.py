"""Fixtures: machines to log in to, and the client that knows them. A conftest imports them.

Machines of the session are shared by all tests of a process: a test leaves them as they were, or
makes its own with `make_machine`.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from runhouse import settings
from tests.rigs import interpreters, namespaces
from tests.rigs.client import PERSIST_S, Client
from tests.rigs.machine import Machine, MachineSpec
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "open 'sesame' $x"


class MakeMachine(Protocol):
    """Start a machine that ends with the test."""

    def __call__(
        self, spec: MachineSpec | None = None, *, network_of: Machine | None = None
    ) -> Machine:
        """Return a running machine which has its name as alias.

        Args:
            spec: What it is like; None for the spec of `machine`.
            network_of: The machine through which alone it can be reached.
        """


def ssh_processes(text: str) -> list[int]:
    """Return the ids of ssh processes with a text in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_text(errors="replace").split("\0")
            program = os.path.basename(words[0].partition(":")[0])
            if program == "ssh" and any(text in word for word in words):
                found.append(int(path.parent.name))
    return found


@pytest.fixture(scope="session", autouse=True)
def no_ssh_is_left(session_home: Path) -> Iterator[None]:
    """Check that every ssh process of this session's connections has ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RH_SSH_PERSIST_S", str(PERSIST_S))
        settings.load.cache_clear()
        yield
    try:
        wait_until(lambda: not ssh_processes(str(session_home)), timeout_s=PERSIST_S + 5)
    except AssertionError:
        left = ssh_processes(str(session_home))
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        pytest.fail(f"ssh processes were left behind, and have been ended: {left}")


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """Give the key and the configuration with which machines are reached."""
    namespaces.require()
    folder = Path(tempfile.mkdtemp(prefix="rh-client-"))
    yield Client(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def ssh_config(client: Client) -> Path:
    """Give the OpenSSH configuration that has an alias for each machine."""
    return client.config


@pytest.fixture
def client_settings(client: Client) -> Iterator[Client]:
    """Let runhouse in this process use the client's configuration for one test."""
    with client.used_by_this_process():
        yield client


def default_spec(client: Client) -> MachineSpec:
    """Describe a machine with key login that has the Python of the tests.

    `python3` in PATH is without packages; the virtual environment of the tests, if they run in
    one, is at its own place.
    """
    own = {interpreters.own_version(): None, sys.executable: None}
    return MachineSpec(authorized_key=client.public_key, pythons=tuple(own))


@contextmanager
def running(
    client: Client, spec: MachineSpec, network_of: Machine | None = None
) -> Iterator[Machine]:
    with Machine(spec, network_of=network_of) as machine:
        alias = client.add(machine)
        yield machine
        client.remove(alias)


@pytest.fixture(scope="session")
def machine(client: Client) -> Iterator[Machine]:
    """Give a machine with key login, rsync and the Python of the tests; alias `machine`."""
    with running(client, default_spec(client)) as started:
        yield started


@pytest.fixture(scope="session")
def password_machine(client: Client) -> Iterator[Machine]:
    """Give the same, but with login by `machine.spec.password` only; alias `password-machine`."""
    spec = dataclasses.replace(
        default_spec(client), name="password-machine", authorized_key=None, password=PASSWORD
    )
    with running(client, spec) as started:
        yield started


@pytest.fixture(scope="session")
def bare_machine(client: Client) -> Iterator[Machine]:
    """Give a machine with no Python in PATH, only under `~/.pyenv`, and without rsync."""
    spec = MachineSpec(
        name="bare-machine",
        authorized_key=client.public_key,
        pythons=(interpreters.own_version(),),
        python_in_path=False,
        rsync=False,
    )
    with running(client, spec) as started:
        yield started


@pytest.fixture(scope="session")
def inner_machine(client: Client, machine: Machine) -> Iterator[Machine]:
    """Give a machine that only `machine` can reach: a jump host; alias `inner-machine`."""
    spec = dataclasses.replace(default_spec(client), name="inner-machine")
    client.ssh(machine.spec.name, "true").check_returncode()  # a jump accepts no new host keys
    with running(client, spec, machine) as started:
        yield started


@pytest.fixture
def make_machine(client: Client) -> Iterator[MakeMachine]:
    """Give a function that starts machines, which end with the test."""
    with ExitStack() as stack:

        def make(spec: MachineSpec | None = None, *, network_of: Machine | None = None) -> Machine:
            spec = spec or dataclasses.replace(default_spec(client), name="made-machine")
            return stack.enter_context(running(client, spec, network_of))

        yield make
