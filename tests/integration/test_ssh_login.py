"""Every way to reach a host and to be refused by it, with real sshds."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runhouse.errors import (
    AuthenticationError,
    ConnectError,
    HostKeyChangedError,
    HostUnreachableError,
    SettingsError,
)
from runhouse.ssh.session import Session
from runhouse.ssh.target import Target
from tests.rigs.sshd import PASSWORD, Sshd, free_port, processes, running_sshd
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_THREE_SENTENCES = r"(?s).+\. .+\. .+"


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running_sshd() as running:
        yield running


@pytest.fixture(scope="module")
def sshd_with_password() -> Iterator[Sshd]:
    with running_sshd("PasswordAuthentication yes", password=True) as running:
        yield running


def _says_hello(session: Session) -> bool:
    return session.run("echo hello", check=True).stdout == "hello\n"


@pytest.mark.parametrize("host", ["box", "box6"])
def test_an_alias_is_enough(sshd: Sshd, host: str) -> None:
    with sshd.session(host) as session:
        assert _says_hello(session)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "[::1]:{port}", "localhost:{port}"])
def test_an_address_with_a_port_and_a_key_is_enough(sshd: Sshd, host: str) -> None:
    text = f"{sshd.user}@{host.format(port=sshd.port)}"
    with sshd.session(text, ssh_private_key=sshd.key) as session:
        assert _says_hello(session)


def test_a_password_logs_in_and_is_seen_nowhere(sshd_with_password: Sshd) -> None:
    sshd = sshd_with_password
    with sshd.session("box", password=PASSWORD) as session:
        assert "sesame" not in session.run("env; ps axeww", check=True).stdout
        assert not processes("sesame")
        assert not [path for path in sshd.folder.rglob("secret-*")]
        master = processes(f"{sshd.folder}/ssh/")[0]
        assert b"sesame" not in Path(f"/proc/{master}/environ").read_bytes()
        assert "sesame" not in repr(session) + repr(session.target)


def test_twenty_commands_at_once_work_with_a_password(sshd_with_password: Sshd) -> None:
    gate = sshd_with_password.folder / "gate"
    command = ["sh", "-c", 'until [ -e "$1" ]; do sleep 0.05; done', "the-twenty", str(gate)]
    with (
        sshd_with_password.session("box", password=PASSWORD) as session,
        ThreadPoolExecutor(20) as pool,
    ):
        runs = [pool.submit(session.run, command, timeout_s=15) for _ in range(20)]
        wait_until(lambda: len(processes("\0the-twenty\0")) >= 20)
        gate.touch()
        assert [run.result().exit_code for run in runs] == [0] * 20


def test_a_wrong_password_is_told(sshd_with_password: Sshd) -> None:
    session = Session(Target("box", password="wrong one"), sshd_with_password.settings())
    with pytest.raises(AuthenticationError, match=_THREE_SENTENCES) as caught:
        session.connect()
    assert "password" in caught.value.methods
    assert "wrong one" not in str(caught.value)
    assert not session.is_connected()


def test_a_key_is_tried_before_the_password(sshd_with_password: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    sshd_with_password.configure("Host box\n  IdentityFile none\n")
    with sshd_with_password.session("box", password=PASSWORD, ssh_private_key=key) as session:
        assert _says_hello(session)
    sshd_with_password.configure()


def test_a_stranger_s_key_is_refused_and_named(sshd: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    target = Target("127.0.0.1", "nobody-of-that-name", sshd.port, private_key=key)
    with pytest.raises(AuthenticationError, match=_THREE_SENTENCES) as caught:
        Session(target, sshd.settings()).connect()
    assert f"publickey {key}" in caught.value.methods


def test_a_jump_host_and_a_proxy_command_lead_there(sshd: Sshd) -> None:
    with sshd.session("127.0.0.1", ssh_port=sshd.port, ssh_proxy_jump="box") as session:
        assert _says_hello(session)
    command = f"ssh -F '{sshd.config}' -W 127.0.0.1:%p box"
    with sshd.session("far", ssh_port=sshd.port, ssh_proxy_command=command) as session:
        assert _says_hello(session)


def test_a_jump_host_does_not_get_the_target_s_password(sshd_with_password: Sshd) -> None:
    sshd = sshd_with_password
    alone = "Host hop\n  HostName 127.0.0.1\n  PubkeyAuthentication no\n  IdentityFile none\n"
    sshd.configure(alone + f"  Port {sshd.port}\n")
    target = Target("127.0.0.1", port=sshd.port, password=PASSWORD, proxy_jump="hop")
    with pytest.raises(HostUnreachableError, match="goes through hop"):
        Session(target, sshd.settings()).connect()
    sshd.configure()
    with sshd.session(
        "127.0.0.1", ssh_port=sshd.port, password=PASSWORD, ssh_proxy_jump="box"
    ) as session:
        assert _says_hello(session)


def test_a_proxy_command_that_fails_is_named(sshd: Sshd) -> None:
    with pytest.raises(HostUnreachableError, match="goes through false"):
        Session(Target("far", proxy_command="false"), sshd.settings()).connect()


def test_a_new_host_key_is_remembered_and_a_changed_one_refused() -> None:
    with running_sshd() as sshd:
        with sshd.session() as session:
            assert _says_hello(session)
        assert sshd.known_hosts.read_text().startswith("[127.0.0.1]")
        sshd.stop()
        sshd.rotate_host_key()
        sshd.start()
        with sshd.session() as session:
            with pytest.raises(HostKeyChangedError, match="line 1 of .*known_hosts") as caught:
                session.connect()
            remove = str(caught.value).rpartition("with: ")[2]
            subprocess.run(remove, shell=True, check=True)  # noqa: S602 - the advice that users get
            assert _says_hello(session)


def test_a_configuration_that_wants_known_hosts_only_is_respected() -> None:
    with running_sshd() as sshd:
        sshd.configure("StrictHostKeyChecking yes\n")
        with pytest.raises(ConnectError, match="does not let a new one be accepted"):
            Session(Target("box"), sshd.settings()).connect()


def test_a_silent_host_is_given_up_in_time(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target("127.0.0.1", port=server.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(HostUnreachableError, match="RH_CONNECT_TIMEOUT_S"):
            Session(target, sshd.settings(connect_timeout_s=1.0)).connect()
        assert time.monotonic() - started < 3
    wait_until(lambda: not processes(f"-p\000{target.port}"))


def test_a_proxy_that_hangs_is_ended(sshd: Sshd) -> None:
    target = Target("far", proxy_command="sleep 98767")
    with pytest.raises(HostUnreachableError):
        Session(target, sshd.settings(connect_timeout_s=1.0)).connect()
    wait_until(lambda: not processes("sleep\00098767"))


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "Nothing listens on its SSH port"),
        ("no-such-host.invalid", "Its name cannot be resolved"),
    ],
)
def test_an_unreachable_host_is_told_with_the_reason(sshd: Sshd, host: str, reason: str) -> None:
    session = Session(Target(host, port=free_port()), sshd.settings())
    for action in (session.connect, lambda: session.run("true")):
        with pytest.raises(HostUnreachableError, match=reason) as caught:
            action()
        assert caught.value.host.startswith(host)


def test_a_directory_open_to_others_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    home = tmp_path.parent / "h"
    (home / "ssh").mkdir(parents=True)
    (home / "ssh").chmod(0o755)  # noqa: S103 - that is the fault
    with pytest.raises(SettingsError, match="nobody else may enter"):
        Session(Target("box"), sshd.settings(home=home)).connect()


@pytest.mark.parametrize("name", ["x" * 100, "a b", "a%h", "a'b\"c$d"])
def test_a_home_of_any_name_does_not_matter(sshd: Sshd, tmp_path: Path, name: str) -> None:
    target = Target("127.0.0.1", port=sshd.port, proxy_jump="box")
    session = Session(target, sshd.settings(home=tmp_path / name))
    assert _says_hello(session)
    assert session.forward_socket("/tmp/x").parent == Path(f"/tmp/rh-{os.getuid()}")
    session.close()
