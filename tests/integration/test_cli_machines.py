"""The command line stops and starts hosts, and asks before it removes machines.

What it does with machines of a cloud is tested in tests/cloud.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.rigs.cli import Cli, environment, on_terminal, record
from tests.rigs.clusters import private_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)
without_skypilot = pytest.mark.skipif(
    find_spec("sky") is not None, reason="SkyPilot is installed, and would look for clouds"
)

PIP = "pip install 'runhouse[sky]'"


@pytest.fixture(scope="module")
def hosts() -> Iterator[Cli]:
    """Give a command line that knows `box`, a real host."""
    with private_sshd() as sshd:
        home = sshd.folder / "rh"
        home.mkdir(mode=0o700)
        environ = environment(home)
        environ |= {"RH_SSH_CONFIG": str(sshd.config), "RH_SSH_PERSIST_S": "1"}
        creds = [{"ssh_private_key": str(sshd.key)}]
        record(home, "box", host=[sshd.address], ssh_creds=creds, python=sys.executable)
        cli = Cli(home, sshd.address, environ)
        yield cli
        cli("stop", "box")
        cli("stop", "local")


@pytest.mark.parametrize("name", ["box", "local"])
def test_the_server_of_a_host_is_stopped_and_started(hosts: Cli, name: str) -> None:
    assert hosts.json("start", name) == {"name": name, "up": True}
    first = hosts.json("status", name)
    assert (first["up"], first["state"], first["cloud"]) == (True, "up", None)
    assert hosts("start", name).stdout == f"{name} is up.\n"
    assert hosts.json("status", name)["pid"] == first["pid"], "it is safe to repeat"
    assert hosts("stop", name).stdout == f"{name} was stopped.\n"
    assert hosts.json("status", name, code=3) == {"name": name, "up": False}
    assert hosts.json("up", name) == {"name": name, "up": True}
    assert hosts.json("status", name)["pid"] != first["pid"]
    assert "Machines:" not in hosts("status", name).stdout
    assert hosts.json("stop", name) == {"name": name, "stopped": True}


@pytest.mark.parametrize("name", ["box", "local"])
def test_hosts_of_your_own_are_always_warm(hosts: Cli, name: str) -> None:
    file = hosts.home / "clusters" / "box.json"
    before = file.read_text()
    assert hosts.json("keep-warm", name) == {"name": name, "autostop_mins": -1}
    assert hosts("keep-warm", name, "--mins", "5").stdout == f"{name} does not go by itself.\n"
    told = hosts.json("keep-warm", name, "--mins", "-2", code=2)
    assert "autostop_mins cannot be -2" in told["message"]
    assert file.read_text() == before
    assert hosts("keep-warm").returncode == 2


@without_skypilot
@pytest.mark.parametrize(("typed", "code"), [("n\n", 1), ("\n", 1), ("y\n", 2)])
def test_on_a_terminal_it_is_asked(tmp_path: Path, typed: str, code: int) -> None:
    record(tmp_path, "gpu", "on-demand", instance_type="A100:1")
    rh = Cli(tmp_path, environ=environment(tmp_path))
    ended, shown = on_terminal(rh, ["down", "gpu"], typed)
    assert "Remove the machines of gpu, with all that is on them? [y/N]" in shown
    assert (ended, PIP in shown) == (code, code == 2), "SkyPilot is asked after a yes only"


@without_skypilot
def test_as_a_process_it_ends_with_the_code_of_wrong_use(tmp_path: Path) -> None:
    rh = Cli(tmp_path, environ=environment(tmp_path))
    told = rh.json("up", "gpu", "--instance-type", "A100:1", "--label", "a=b", code=2)
    assert (told["error"], PIP in told["message"]) == ("ImportError", True)
    assert rh.json("list")[1]["labels"] == {"a": "b"}
