"""Commands, forwards and healing over one connection to a real sshd."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from runhouse.errors import (
    CommandFailedError,
    CommandTimeoutError,
    HostUnreachableError,
    SettingsError,
)
from runhouse.ssh.session import Session
from runhouse.ssh.target import Target
from tests.rigs.sshd import Sshd, free_port, processes, running_sshd
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running_sshd() as running:
        yield running


@pytest.fixture
def session(sshd: Sshd) -> Iterator[Session]:
    with sshd.session() as made:
        yield made


def _masters(sshd: Sshd) -> list[int]:
    return processes(f"{sshd.folder}/ssh/")


def test_a_command_leaves_code_and_both_outputs(session: Session) -> None:
    done = session.run("echo out; echo err >&2; exit 3")
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_a_list_reaches_the_host_word_for_word(session: Session) -> None:
    words = ["a b", "c'd", 'e"f', "g\\h", "$HOME", "i\nj", "", "*", "ü"]
    done = session.run(["printf", "%s|", *words])
    assert done.stdout == "".join(f"{word}|" for word in words)


def test_output_comes_while_the_command_runs(session: Session, tmp_path: Path) -> None:
    gate = tmp_path / "the gate"
    seen: list[tuple[str, str]] = []

    def look(stream: str, text: str) -> None:
        seen.append((stream, text))
        gate.touch()  # without this the command would not go on

    session.run(
        ["sh", "-c", 'echo one; until [ -e "$1" ]; do sleep 0.01; done; echo two', "sh", str(gate)],
        on_output=look,
    )
    assert "".join(text for _, text in seen) == "one\ntwo\n"
    assert len(seen) > 1


def test_bytes_that_are_no_text_are_replaced_and_characters_not_torn(session: Session) -> None:
    assert session.run(
        "printf 'a\\377'; printf '\\342'; sleep 0.05; printf '\\202\\254'"
    ).stdout == ("a\N{REPLACEMENT CHARACTER}\N{EURO SIGN}")


def test_input_reaches_the_command_whole(session: Session) -> None:
    data = os.urandom(300_000).hex().encode()
    assert session.run("cat", input=data).stdout.encode() == data
    assert session.run("cat").stdout == ""
    assert session.run("cat", input=b"").stdout == ""
    assert session.run("true", input=data).exit_code == 0


def test_a_signal_is_told_as_a_code(session: Session) -> None:
    assert session.run("sh -c 'kill -9 $$'").exit_code == 137


def test_check_raises_with_the_facts(session: Session) -> None:
    with pytest.raises(CommandFailedError, match="the reason") as caught:
        session.run("echo the reason >&2; exit 7", check=True)
    assert (caught.value.exit_code, caught.value.stderr_tail) == (7, "the reason\n")


def test_a_command_ends_on_the_host_when_its_time_is_up(session: Session) -> None:
    with pytest.raises(CommandTimeoutError) as caught:
        session.run("echo begun; sleep 98761", timeout_s=3)
    assert caught.value.stdout_tail == "begun\n"
    assert isinstance(caught.value, TimeoutError)
    wait_until(lambda: not processes("sleep\00098761"))


@pytest.mark.parametrize("data", [None, b"input"])
def test_a_command_ends_on_the_host_when_an_exception_is_raised(
    session: Session, data: bytes | None
) -> None:
    def interrupt(_stream: str, _text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.run("echo x; sleep 98762", on_output=interrupt, input=data)
    wait_until(lambda: not processes("sleep\00098762"))


def test_what_is_started_with_nohup_outlives_its_command(session: Session) -> None:
    done = session.run("nohup sleep 98763 >/dev/null 2>&1 & echo $!", check=True)
    os.kill(int(done.stdout), signal.SIGTERM)


def test_connecting_again_is_free_and_shared(sshd: Sshd, session: Session) -> None:
    session.connect()
    with sshd.session() as other:
        assert other.is_connected()
        other.connect()
        assert len(_masters(sshd)) == 1
        started = time.monotonic()
        for _ in range(1000):
            session.connect()
        assert time.monotonic() - started < 1


def test_closing_ends_the_connection_and_using_it_connects_again(session: Session) -> None:
    session.connect()
    session.close()
    session.close()
    assert not session.is_connected()
    assert session.run("echo x").stdout == "x\n"


def test_many_threads_make_one_connection(sshd: Sshd) -> None:
    with sshd.session() as first, sshd.session() as second, ThreadPoolExecutor(8) as pool:
        assert not first.is_connected()
        list(pool.map(lambda number: (first, second)[number % 2].connect(), range(16)))
        assert len(_masters(sshd)) == 1


def test_more_commands_at_once_than_a_connection_takes(sshd: Sshd, session: Session) -> None:
    gate = sshd.folder / "gate"
    command = ["sh", "-c", 'until [ -e "$1" ]; do sleep 0.05; done; echo ok', "sh", str(gate)]
    with ThreadPoolExecutor(20) as pool:
        runs = [pool.submit(session.run, command, timeout_s=15) for _ in range(20)]
        wait_until(lambda: len(processes("until [ -e")) >= 20)
        gate.touch()
        assert [run.result().stdout for run in runs] == ["ok\n"] * 20


def test_a_dead_connection_is_healed_before_a_command(sshd: Sshd, session: Session) -> None:
    session.connect()
    (master,) = _masters(sshd)
    os.kill(master, signal.SIGKILL)
    assert session.run("echo healed").stdout == "healed\n"


def test_a_command_is_not_repeated_when_its_connection_drops(sshd: Sshd, session: Session) -> None:
    session.connect()
    (master,) = _masters(sshd)

    def drop(_stream: str, _text: str) -> None:
        os.kill(master, signal.SIGKILL)

    with pytest.raises(HostUnreachableError, match="dropped while a command ran"):
        session.run("echo x; sleep 98764", on_output=drop)
    assert not session.is_connected()
    wait_until(lambda: not processes("sleep\00098764"))


def test_a_host_that_has_gone_silent_is_given_up_and_then_found_again(sshd: Sshd) -> None:
    session = Session(Target.parse("box"), sshd.settings(connect_timeout_s=1.5))
    session.connect()
    silent = sshd.sessions()
    for pid in silent:
        os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(HostUnreachableError, match="has not answered for 1.5 s"):
            session.run("true")
        assert time.monotonic() - started < 4
        assert session.run("echo again").stdout == "again\n"
    finally:
        for pid in silent:
            os.kill(pid, signal.SIGCONT)
        session.close()


def test_it_connects_again_after_sshd_was_restarted(sshd: Sshd, session: Session) -> None:
    session.connect()
    sshd.stop()
    wait_until(lambda: not session.is_connected())
    with pytest.raises(HostUnreachableError, match="Nothing listens on its SSH port"):
        session.run("true")
    sshd.start()
    assert session.run("echo back").stdout == "back\n"


_CLIENT = """
import sys
from runhouse.ssh.session import Session
from runhouse.ssh.session import Session
from runhouse.ssh.target import Target
session = Session(Target.parse("box"))
session.forward_socket("/tmp/nothing")
session.run("echo begun; sleep 98765", on_output=lambda *_: print("begun", flush=True))
"""


def test_a_killed_client_leaves_no_process_on_either_side(sshd: Sshd) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CLIENT], env=sshd.environment(), stdout=subprocess.PIPE
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"begun\n"
        assert _masters(sshd)
        client.kill()
    wait_until(lambda: not processes("sleep\00098765"))
    wait_until(lambda: not _masters(sshd))


_INTERACTIVE = """
from runhouse.ssh.session import Session
from runhouse.ssh.session import Session
from runhouse.ssh.target import Target
Session(Target.parse("box")).interactive("echo begun; sleep 98766")
"""


def test_a_killed_client_leaves_no_interactive_ssh(sshd: Sshd) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _INTERACTIVE],
        env=sshd.environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline().rstrip() == b"begun"
        client.kill()
    wait_until(lambda: not _masters(sshd))
    wait_until(lambda: not processes("sleep\00098766"))
    os.close(ours)
    os.close(theirs)


def _serve_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(connection.recv(100).upper())


@pytest.mark.parametrize("name", ["plain", "a b:c'd\"[e]%h"])
def test_a_socket_is_forwarded_whatever_its_name(sshd: Sshd, session: Session, name: str) -> None:
    remote = sshd.folder / name
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(remote))
        server.listen()
        local = session.forward_socket(str(remote))
        assert session.forward_socket(str(remote)) == local
        assert local.stat().st_mode & 0o777 == 0o600
        client.connect(str(local))
        thread = threading.Thread(target=_serve_once, args=[server])
        thread.start()
        client.sendall(b"hello")
        assert client.recv(100) == b"HELLO"
        thread.join()


def test_a_forward_is_shared_and_made_again_after_a_drop(sshd: Sshd, session: Session) -> None:
    before = session.forward_socket("/tmp/x")
    with sshd.session() as other:
        assert other.forward_socket("/tmp/x") == before
    for master in _masters(sshd):
        os.kill(master, signal.SIGKILL)
    after = session.forward_socket("/tmp/x")
    assert after.is_socket()
    assert after != before
    assert not before.exists()


@pytest.mark.parametrize("path", ["", "x", "~/x", None, 3])
def test_a_socket_without_an_absolute_path_is_refused(session: Session, path: str) -> None:
    with pytest.raises(ValueError, match="cannot be forwarded"):
        session.forward_socket(path)
    assert not session.is_connected()


def _echo(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"hello")
        return client.recv(100)


def test_a_port_here_leads_to_the_port_there(session: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        remote, local = server.getsockname()[1], free_port()
        thread = threading.Thread(target=_serve_once, args=[server])
        thread.start()
        with session.forward_port(local, remote) as tunnel:
            assert (tunnel.local_port, tunnel.remote_port) == (local, remote)
            assert _echo(local) == b"HELLO"
        thread.join()
        with pytest.raises(ConnectionRefusedError):
            _echo(local)


def test_a_taken_port_gives_way_to_the_next(session: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(SettingsError, match="are taken"):
            session.forward_port(taken, 80)
        with session.forward_port(taken, 80, attempts=20) as tunnel:
            assert taken < tunnel.local_port < taken + 20


def test_a_tunnel_heals_though_nobody_calls(sshd: Sshd, session: Session) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        session.forward_port(0, server.getsockname()[1]) as tunnel,
    ):
        for master in _masters(sshd):
            os.kill(master, signal.SIGKILL)
        thread = threading.Thread(target=_serve_once, args=[server])
        thread.start()

        def answers() -> bool:
            try:
                return _echo(tunnel.local_port) == b"HELLO"
            except OSError:
                return False

        wait_until(answers)
        thread.join()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [(("1", 2), TypeError), ((1, 2.5), TypeError), ((-1, 2), ValueError), ((1, 0), ValueError)],
)
def test_bad_ports_are_refused(
    session: Session, arguments: tuple[int, int], kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="cannot be used"):
        session.forward_port(*arguments)
    assert not session.is_connected()


def test_an_interactive_command_gives_its_code(session: Session) -> None:
    assert session.interactive("exit 5") == 5
