"""The server lets nobody in without the token, and survives what strangers send."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runhouse.errors import ServerBusyError, ServerStartError
from runhouse.files import private_directory
from runhouse.server.control import (
    running_server,
    server_status,
    start_server,
    stop_server,
)
from runhouse.server.info import ServerConfig, ServerInfo
from runhouse.server.paths import ServerPaths
from runhouse.server.unix_http import unix_connection
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def config(session_home: Path, tmp_path: Path) -> Iterator[ServerConfig]:
    """Give the configuration of a server of its own, stopped at the end."""
    made = ServerConfig(root=str(session_home / "srv" / tmp_path.name), version="1", idle_s=60)
    yield made
    stop_server(ServerPaths(Path(made.root)))


def paths(config: ServerConfig) -> ServerPaths:
    """Return where a server's files are."""
    return ServerPaths(Path(config.root))


def talk(path: str, request: bytes) -> bytes:
    """Send bytes to a socket and return all that comes back."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(path)
        sock.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: sock.recv(4096), b""))
    return b""


def get(info: ServerInfo, path: str, token: str) -> tuple[int, dict[str, object]]:
    """Make one HTTP request."""
    with contextlib.closing(unix_connection(info.http, 10)) as http:
        http.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = http.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")


def test_files_are_for_this_user_only(config: ServerConfig) -> None:
    info = start_server(config)
    root = Path(config.root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    for name in ("token", "server.json", "server.log", "data.sock", "http.sock"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o600, name
    assert info.pid != os.getpid()
    assert running_server(paths(config)) == info


@pytest.mark.parametrize("token", ["", "wrong", "Bearer"])
def test_nothing_is_told_without_the_token(config: ServerConfig, token: str) -> None:
    info = start_server(config)
    status, body = get(info, "/status", token)
    assert (status, body["detail"]) == (401, "The bearer token is missing or wrong.")
    assert get(info, "/nothing", token)[0] == 401
    assert get(info, "/check", token) == (200, {"ok": True})
    request = f"GET /workers/x HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert talk(info.data, request.encode()).startswith(b"HTTP/1.1 401 ")
    status, body = get(info, "/status", paths(config).token.read_text())
    assert status == 200
    assert body["workers"] == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET / FTP/1\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        b"GET /workers/x HTTP/1.1\r\nno colon\r\n\r\n",
        b"x" * 20_000,
        b"",
    ],
)
def test_what_is_no_request_does_no_harm(config: ServerConfig, request_bytes: bytes) -> None:
    info = start_server(config)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(info.data)
        with contextlib.suppress(OSError):
            sock.sendall(request_bytes)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(100)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 40")
    assert running_server(paths(config)) == info
    assert get(info, "/check", "")[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /elsewhere HTTP/1.1\r\nUpgrade: runhouse-frames/1", b"404"),
        ("GET /workers/x HTTP/1.1", b"404"),
        ("GET /workers/x HTTP/1.1\r\nUpgrade: runhouse-frames/1\r\nRunhouse-Scope: %7B", b"400"),
        ("GET /workers/x HTTP/1.1\r\nUpgrade: runhouse-frames/1\r\nRunhouse-Worker: gone", b"410"),
        (
            "GET /workers/x HTTP/1.1\r\nUpgrade: runhouse-frames/1\r\n"
            'Runhouse-Scope: {"python":"/no/python"}',
            b"503",
        ),
    ],
)
def test_refusals_say_why(config: ServerConfig, head: str, status: bytes) -> None:
    info = start_server(config)
    token = paths(config).token.read_text()
    request = f"{head}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    answer = talk(info.data, request)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]


def test_several_starts_at_once_end_in_one_server(config: ServerConfig) -> None:
    command = [sys.executable, "-m", "runhouse.server", "start", json.dumps(asdict(config))]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    answers = [json.loads(process.communicate(timeout=30)[0]) for process in running]
    assert len({answer["server"]["pid"] for answer in answers}) == 1


def test_an_idle_server_of_another_version_is_replaced_and_a_busy_one_is_not(
    config: ServerConfig,
) -> None:
    first = start_server(config)
    second = start_server(replace(config, version="2"))
    assert second.pid != first.pid
    hold_something(second, paths(config).token.read_text())
    with pytest.raises(ServerBusyError, match="restart_server") as caught:
        start_server(replace(config, version="3"))
    assert caught.value.objects == 1
    assert start_server(replace(config, version="2", digest="built again")) == second
    assert start_server(replace(config, version="1.9")) == second, (
        "an older client takes it as it is"
    )
    third = start_server(replace(config, version="3"), replace=True)
    assert third.version == "3"


def hold_something(info: ServerInfo, token: str) -> None:
    """Make an instance in a worker of a server, in a process of its own."""
    program = """
import socket, sys
from runhouse.client.client import Client
from runhouse.client.endpoint import Target
from runhouse.settings import load
from runhouse.wire.messages import Call, Code, Scope
from runhouse.wire.pickling import dumps

class There:
    host, token, server_id = "there", sys.argv[2], "x"
    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(sys.argv[1])
        return sock

client, target = Client(There(), load()), Target("default", Scope())
code = dumps((Code("collections", "Counter").to_meta(), b""))
client.call(target, Call("1", "define", "Counter"), code)
client.call(target, Call("2", "new", "Counter", new_key="c"), dumps((("abc",), {})))
client.close()
"""
    subprocess.run([sys.executable, "-c", program, info.data, token], check=True, timeout=30)
    here = ServerPaths(Path(info.data).parent)
    wait_until(lambda: server_status(here, info)["objects"] == 1)


def test_a_server_that_cannot_start_shows_its_log(config: ServerConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerStartError, match="Address already in use") as caught:
            start_server(replace(config, port=port))
    assert "Address already in use" in caught.value.log_tail
    assert start_server(config).version == "1"


def test_tcp_is_served_when_asked_for_and_needs_the_token_too(config: ServerConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start_server(replace(config, port=port))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 401")


def test_an_idle_server_ends_by_itself(config: ServerConfig) -> None:
    start_server(replace(config, idle_s=0.2))
    wait_until(lambda: running_server(paths(config)) is None)
    wait_until(lambda: not Path(config.root, "data.sock").exists())  # it goes a moment later


def test_workers_die_with_a_server_that_is_killed(config: ServerConfig) -> None:
    info = start_server(config)
    hold_something(info, paths(config).token.read_text())
    status = server_status(paths(config), info)
    worker_pid = status["workers"][0]["pid"]  # type: ignore[index]
    os.kill(info.pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{worker_pid}").exists())
    again = start_server(config)
    assert again.server_id != info.server_id
    assert again.host_id == info.host_id


def test_a_long_path_moves_the_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 12) / ("path" * 12)
    config = ServerConfig(root=str(deep), version="1", idle_s=60)
    info = start_server(config)
    try:
        assert len(info.data) < 100
        assert stat.S_IMODE(Path(info.data).parent.stat().st_mode) == 0o700
        assert get(info, "/check", "")[0] == 200
    finally:
        assert stop_server(ServerPaths(deep))
        assert not stop_server(ServerPaths(deep))


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises((PermissionError, FileExistsError)):
            private_directory(tmp_path / name)
