"""Who may do what over HTTP, and from where."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.errors import CallError, InvalidNameError
from runhouse.server.control import start_server, stop_server
from runhouse.server.info import ServerConfig
from runhouse.server.paths import ServerPaths
from runhouse.wire.messages import PROTOCOL
from tests.integration import sample
from tests.rigs.http import Http, http_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def api(session_home: Path) -> Iterator[Http]:
    """Give the API of this machine's cluster."""
    assert session_home.is_dir()
    rh.function(sample.add).to(rh.here)
    yield http_of(rh.here)
    rh.here.disconnect()
    rh.here.stop()


def with_token(api: Http, token: str) -> Http:
    """Return the same API with another token."""
    return Http(api.path, token)


def test_a_read_only_token_only_looks(api: Http) -> None:
    look = with_token(api, rh.here.tokens.create("look", read_only=True))
    api("PUT", "/objects/seen", 1)
    for path in ("/status", "/keys", "/objects/seen", "/runs", "/openapi.json"):
        assert look("GET", path).status == 200, path
        assert look("HEAD", path).status == 200, path
    run = rh.function(sample.add).to(rh.here).run(1)
    assert run.result() == 2
    assert look("GET", f"/runs/{run.id}/logs").status == 200
    for method, path in (
        *(("GET", "/call/add?a=1"), ("POST", "/call/add"), ("PUT", "/objects/x")),
        *(("DELETE", "/objects/seen"), ("DELETE", "/objects"), ("PATCH", "/objects/seen")),
        *(("POST", "/runs/cancel"), ("POST", "/tokens"), ("GET", "/tokens")),
        *(("GET", "/limits/default"), ("GET", "/statuses"), ("GET", "/elsewhere")),
        *(("OPTIONS", "/status"), ("DELETE", "/tokens/look"), ("HEAD", "/call/add?a=1")),
    ):
        answer = look(method, path, b"{}")
        assert answer.status == 403, (method, path)
        if method != "HEAD":
            assert answer.json["detail"] == "The token does not allow this."
    assert api("GET", "/objects/seen").json == 1


def test_a_full_token_does_everything_until_it_is_revoked(api: Http) -> None:
    full = with_token(api, rh.here.tokens.create("full"))
    assert full.post("/call/add", 1).json == 2
    assert full("POST", "/tokens", {"name": "third"}).status == 201
    names = [token.name for token in rh.here.tokens.list()]
    assert {"full", "third"} <= set(names)
    assert full("DELETE", "/tokens/third").json == {"revoked": True}
    assert rh.here.tokens.revoke("full")
    assert not rh.here.tokens.revoke("full")
    full("GET", "/status").problem(401, "unauthorized")


def test_names_of_tokens_are_checked(api: Http) -> None:
    with pytest.raises(InvalidNameError):
        rh.here.tokens.create("../x")
    for body in ({}, {"name": ""}, {"name": 1}, {"name": "a", "read_only": 1}, {"name": "a b"}):
        api("POST", "/tokens", body).problem(422, "invalid")
    api("DELETE", "/tokens/a%20b").problem(422, "invalid")


def test_tokens_survive_a_restart_and_are_in_no_log(api: Http) -> None:
    token = rh.here.tokens.create("lasting", read_only=True)
    root = Path(api.path).parent
    assert token not in (root / "tokens.json").read_text()
    rh.here.restart_server()
    again = http_of(rh.here)
    assert with_token(again, token)("GET", "/status").status == 200
    with_token(again, "wrong-token")("GET", "/status").problem(401, "unauthorized")
    logs = [path.read_text() for path in root.rglob("*.log")]
    assert logs
    assert not any(token in text or again.token in text or "wrong-token" in text for text in logs)
    rh.function(sample.add).to(rh.here)


@pytest.mark.parametrize("place", ["workers/default", "objects/x", "runs/x"])
def test_the_data_socket_is_for_full_tokens(api: Http, place: str) -> None:
    looking = rh.here.tokens.create("looking", read_only=True)
    full = rh.here.tokens.create("doing")
    path = str(Path(api.path).with_name("data.sock"))
    for token, status in ((looking, b"403"), ("wrong", b"401"), (full, None)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(path)
            head = f"GET /{place} HTTP/1.1\r\nUpgrade: {PROTOCOL}\r\n"
            sock.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
            answer = sock.recv(1000).split()[1]
        assert answer == status if status else answer in (b"101", b"404")


def test_an_env_with_the_name_of_a_path_is_refused(api: Http) -> None:
    path = str(Path(api.path).with_name("data.sock"))
    for env in ("..%2F..%2Fx", "%00", "a%20b"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            head = f"GET /workers/{env} HTTP/1.1\r\nUpgrade: {PROTOCOL}\r\n"
            sock.sendall(f"{head}Authorization: Bearer {api.token}\r\n\r\n".encode())
            assert sock.recv(1000).split()[1] == b"400"


def test_the_python_client_names_the_problem(api: Http) -> None:
    looking = with_token(api, rh.here.tokens.create("looking", read_only=True))
    assert looking("GET", "/tokens").status == 403
    with pytest.raises(CallError, match="422"):
        rh.here.calls.client.request("POST", "/objects/delete", {"keys": 1})


# -- TCP ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tcp(session_home: Path) -> Iterator[tuple[int, str]]:
    """Give the port and the token of a server that listens on TCP."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = ServerConfig(root=str(session_home / "tcp"), version="1", idle_s=60, port=port)
    start_server(config)
    paths = ServerPaths(Path(config.root))
    yield port, paths.token.read_text().strip()
    stop_server(paths)


def ask(port: int, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Make a request over TCP, with these headers only."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
        client.putrequest("GET", path, skip_host=True)
        for name, value in headers.items():
            client.putheader(name, value)
        client.endheaders()
        response = client.getresponse()
        response.read()
        return response


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:{}", "127.0.0.1:{}", "[::1]:{}", "[::1]"])
def test_localhost_is_served(tcp: tuple[int, str], host: str) -> None:
    port, token = tcp
    headers = {"Host": host.format(port), "Authorization": f"Bearer {token}"}
    assert ask(port, "/status", headers).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.", "", "::1"]
)
def test_other_hosts_are_refused(tcp: tuple[int, str], host: str) -> None:
    port, token = tcp
    headers = {"Host": host, "Authorization": f"Bearer {token}", "Origin": f"http://{host}"}
    for path in ("/status", "/check", "/openapi.json"):
        response = ask(port, path, headers)
        assert response.status == 421
        assert not [name for name in response.headers if "access-control" in name.lower()]


def test_tcp_is_loopback_only_and_needs_the_token(tcp: tuple[int, str]) -> None:
    port, _ = tcp
    assert ask(port, "/status", {"Host": "localhost"}).status == 401
    assert ask(port, "/check", {"Host": "localhost"}).status == 200
    listening = Path("/proc/net/tcp").read_text().splitlines() + (
        Path("/proc/net/tcp6").read_text().splitlines()
    )
    addresses = {line.split()[1] for line in listening if line.split()[3] == "0A"}
    assert [a for a in addresses if a.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def proportional_bytes(pid: int) -> int:
    """Return a process's memory, with its share of what several processes use (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def test_http_is_loaded_with_the_first_request_and_stays_small(session_home: Path) -> None:
    config = ServerConfig(root=str(session_home / "lazy"), version="1", idle_s=60)
    info = start_server(config)
    paths = ServerPaths(Path(config.root))
    try:
        before = proportional_bytes(info.pid)
        api = Http(info.http, paths.token.read_text().strip())
        assert api("PUT", "/objects/a", 1).status == 200
        (worker,) = api("GET", "/status").json["workers"]
        total = proportional_bytes(info.pid) + proportional_bytes(worker["pid"])
        assert before < proportional_bytes(info.pid)
        assert total < 80_000_000
    finally:
        stop_server(paths)


@pytest.mark.parametrize(
    ("sent", "status", "sort"),
    [
        (b"nonsense\r\n\r\n", 400, "bad-request"),
        (b"GET /check HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000, 400, "bad-request"),
        (b"GET /check HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-request"),
        (b"PUT /objects/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "bad-request"),
        (b"PUT /objects/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", 401, "unauthorized"),
    ],
)
def test_every_refusal_is_a_problem(api: Http, sent: bytes, status: int, sort: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(api.path)
        with contextlib.suppress(BrokenPipeError):  # it has seen enough
            sock.sendall(sent)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert (answer.status, answer.headers["content-type"]) == (
            status,
            "application/problem+json",
        )
        assert json.loads(answer.read())["type"] == f"urn:runhouse:{sort}"


@pytest.mark.parametrize("size", [2**40 + 1, 2**64, 10**20 - 1])
@pytest.mark.parametrize("page", ["/objects/x", "/call/add"])
def test_a_body_that_is_too_large_for_any_memory_is_refused(
    api: Http, page: str, size: int
) -> None:
    method = "PUT" if page == "/objects/x" else "POST"
    with api.open(method, page, b"1", {"Content-Length": str(size)}) as response:
        assert json.load(response)["type"] == "urn:runhouse:too-large"
        assert response.status == 413


@pytest.mark.parametrize(
    "path",
    ["/status/", "//status", "/objects/../call/add?a=1", "/runs/..%2F..%2Ftoken", "/objects/a%2Fb"],
)
def test_no_path_leads_around_the_routes(api: Http, path: str) -> None:
    for client in (api, with_token(api, rh.here.tokens.create("paths", read_only=True))):
        answer = client("GET", path)
        assert answer.status in (404, 403)
        assert "location" not in answer.headers
    assert "/openapi.json" in api("GET", path).problem(404, "not-found")["detail"]


def test_answers_are_json_even_for_head_lines_that_are_too_long(api: Http) -> None:
    answer = api("GET", "/keys?env=" + "x" * 10_000)
    assert answer.status == 200
    assert json.loads(answer.body) == {"keys": []}
