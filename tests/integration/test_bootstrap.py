"""From a bare host to a running server, over a real SSH connection."""

from __future__ import annotations

import shlex
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from runhouse import settings as settings_module
from runhouse.bootstrap import runtime
from runhouse.bootstrap.probe import probe
from runhouse.bootstrap.ssh_host import SshHost
from runhouse.ssh.session import Session
from runhouse.ssh.target import Target
from tests.rigs.sshd import Sshd, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runhouse.ssh.command import Completed


@dataclass
class Box:
    """Hold an sshd whose user has an empty home of its own, with a space in its name."""

    sshd: Sshd
    home: Path

    def host(self) -> SshHost:
        return SshHost(Target.parse(f"127.0.0.1:{self.sshd.port}"), self.sshd.settings())


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """Give a host on which nothing of ours has ever been."""
    home = tmp_path / "home of ada"
    home.mkdir()
    with running_sshd(f'SetEnv "HOME={home}"') as sshd:
        for name, value in sshd.environment().items():
            if name.startswith("RH_"):
                monkeypatch.setenv(name, value)
        settings_module.load.cache_clear()
        box = Box(sshd, home)
        yield box
        box.host().stop_server()
        box.host().disconnect()
    settings_module.load.cache_clear()


def test_a_bare_host_gets_runtime_and_server(box: Box) -> None:
    host = box.host()
    info = host.up()
    assert info.digest == runtime.digest()
    unpacked = box.home / ".rh" / "runtime" / runtime.digest()
    assert (unpacked / ".complete").is_file()
    token = box.home / ".rh" / "hosts" / info.hostname / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert host.server_running()
    facts = probe(host._run_with_input, host="box", digest=runtime.digest())
    assert (facts.server, facts.token) == (info, token.read_text().strip())
    assert facts.has_runtime


def test_a_second_client_finds_the_server_in_one_round_trip(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = box.host().up()
    commands: list[object] = []
    run = Session.run

    def watch(self: Session, command: str, **options: object) -> Completed:
        commands.append(command)
        return run(self, command, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "run", watch)
    assert box.host().up() == info
    assert commands == [f"sh -s -- {runtime.digest()} ''"]


def test_several_clients_at_once_end_with_one_server(box: Box) -> None:
    found: list[str] = []
    clients = [
        threading.Thread(target=lambda: found.append(box.host().up().server_id)) for _ in range(3)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    runtimes = [path.name for path in (box.home / ".rh" / "runtime").iterdir()]
    assert runtimes == [runtime.digest()]


def test_a_killed_server_is_not_taken_for_a_running_one(box: Box) -> None:
    host = box.host()
    first = host.up()
    host.run(shlex.join(["kill", "-9", str(first.pid)]))
    assert not host.server_running()
    assert host.up().server_id != first.server_id
