"""Strangers' bytes: no crash, no hang, no leak, and nothing is unpickled in the server."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pickle
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

import runhouse as rh
from runhouse.client.endpoint import Target
from runhouse.wire import frames
from runhouse.wire.frames import Frame
from runhouse.wire.messages import PROTOCOL, Call, Kind
from tests.integration import http_sample, sample
from tests.rigs.http import PICKLE, Http, http_of
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(120)

FUZZ = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
# Answers above 500 that the documentation names, and that these requests may meet.
_DOCUMENTED = {"urn:runhouse:unavailable": 503, "urn:runhouse:run-timeout": 504}


@pytest.fixture(scope="module")
def api(session_home: Path) -> Iterator[Http]:
    """Give the API of this machine's cluster, with a few functions and an object."""
    assert session_home.is_dir()
    for function in (sample.add, sample.add_later, http_sample.typed, http_sample.shaped):
        rh.function(function).to(rh.here)
    counter: Any = rh.module(sample.Counter).to(rh.here)
    counter(name="counter")
    made = http_of(rh.here)
    yield made
    rh.here.disconnect()
    rh.here.stop()
    Path(made.path).with_name("autostop.json").unlink(missing_ok=True)


def open_files(pid: int) -> int:
    """Return how many file descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture
def unharmed(api: Http) -> Iterator[None]:
    """Check after a test that server and workers are the same, serve, and have leaked nothing."""
    api.post("/call/add", 1)
    before = rh.here.status()
    pids = [before.pid, *(worker.pid for worker in before.workers)]
    files = {pid: open_files(pid) for pid in pids}
    yield
    after = rh.here.status()
    assert [after.pid, *(worker.pid for worker in after.workers)] == pids
    assert api.post("/call/add", 1, 2).json == 3
    assert rh.function(sample.add).to(rh.here)(2, 3) == 5
    wait_until(lambda: all(open_files(pid) <= files[pid] + 4 for pid in pids))
    wait_until(lambda: rh.here.status().running == 0)


# -- HTTP -----------------------------------------------------------------------------------------


def document_of(api: Http) -> dict[str, Any]:
    """Return the description of the API, without what would start any worker or program."""
    document: dict[str, Any] = api("GET", "/openapi.json").json
    put = document["paths"]["/objects/{key}"]["put"]
    put["parameters"] = [p for p in put["parameters"] if p["name"] != "env"]
    del document["paths"]["/envs/{env}"]["put"]  # another env of the name gets another worker
    del put["requestBody"]["content"][PICKLE]
    del document["paths"]["/call/counter/fail"]  # it is made to fail
    autostop = document["paths"]["/autostop"]["put"]["requestBody"]["content"]["application/json"]
    autostop["schema"]["properties"]["pulse"]["items"] = {"const": "true"}  # else it could be `rm`
    return document


def send(api: Http, case: Any) -> None:
    """Make one request of schemathesis, and check its answer."""
    given_ = case.as_transport_kwargs(base_url="http://localhost")
    for name in ("timeout", "allow_redirects", "verify", "proxies", "cert"):
        given_.pop(name, None)
    prepared = requests.Request(**given_).prepare()
    headers = {
        name: str(value) for name, value in prepared.headers.items() if name.lower() != "host"
    }
    headers.pop("Authorization", None)
    body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
    with api.open(str(prepared.method), prepared.path_url, body, headers) as response:
        try:
            content = response.read()
        except http.client.IncompleteRead:
            pytest.fail(f"{prepared.method} {prepared.url} was cut off")
    if response.status < 400:
        return
    assert response.headers["content-type"] == "application/problem+json", (prepared.url, content)
    if prepared.method == "HEAD":
        return
    problem = json.loads(content)
    assert problem["status"] == response.status
    assert response.status < 500 or _DOCUMENTED.get(problem["type"]) == response.status, (
        prepared.method,
        prepared.url,
        body,
        content,
    )


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.usefixtures("unharmed")
def test_no_request_is_too_much_for_the_server(api: Http, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(document_of(api))
    count = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)

        @settings(FUZZ, max_examples=8)
        @given(case=found.ok().as_strategy(generation_mode=mode))
        def fuzz(case: Any) -> None:
            send(api, case)

        with contextlib.suppress(Unsatisfiable):  # nothing about it can be wrong
            fuzz()
            count += 1
    assert count > 40
    api("DELETE", "/objects")
    counter: Any = rh.module(sample.Counter).to(rh.here)
    counter(name="counter")


@settings(FUZZ, max_examples=60)
@given(st.binary(max_size=300))
def fuzz_http(api: Http, data: bytes) -> None:
    """Send bytes to the HTTP socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(api.path)
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                continue


@pytest.mark.usefixtures("unharmed")
def test_bytes_that_are_no_http(api: Http) -> None:
    fuzz_http(api)


# -- what must stay closed ------------------------------------------------------------------------


class Bomb:
    """Tell which process has loaded it."""

    def __init__(self, path: Path) -> None:
        """Store where to tell."""
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Write the process id when loaded."""
        return exec, (f"import os; open({str(self.path)!r}, 'a').write(f'{{os.getpid()}} ')",)


def pids_in(path: Path) -> set[int]:
    """Return which processes have told."""
    return set(map(int, path.read_text().split())) if path.exists() else set()


@pytest.mark.usefixtures("unharmed")
def test_a_pickle_is_loaded_by_workers_only(api: Http, tmp_path: Path) -> None:
    path = tmp_path / "loaded"
    bomb = pickle.dumps(Bomb(path))
    text = bomb.decode("latin-1")
    pages = api("GET", "/openapi.json").json["paths"]
    for page, methods in pages.items():
        if page.startswith("/objects"):
            continue  # PUT there has it loaded in a worker, and DELETE would remove what is needed
        for method in ("get", "post", "put", "patch", "delete"):
            target = page.replace("{", "").replace("}", "")
            api(method.upper(), target, bomb, Content_Type=PICKLE)
            with contextlib.suppress(ConnectionError):  # refused before the body was sent
                api(method.upper(), target, {"args": [text]}, Cookie=text.replace("\n", ""))
            assert methods
    assert pids_in(path) == set()
    data_socket = str(Path(api.path).with_name("data.sock"))
    call = Frame(Kind.CALL, Call("bomb", "put", "bomb", new_key="bomb").to_meta(), bomb)
    head = f"GET /workers/default HTTP/1.1\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode()
    for data in (bomb, head + bomb, b"".join(map(bytes, frames.encode(call)))):
        converse(data_socket, data)
    assert pids_in(path) == set()
    assert api("PUT", "/objects/bomb", bomb, Content_Type=PICKLE).status == 200
    workers = {worker.pid for worker in rh.here.status().workers}
    assert pids_in(path)
    assert pids_in(path) <= workers
    assert api("PUT", "/objects/bomb", text).status == 200
    assert api("GET", "/objects/bomb").json == text
    rh.here.delete("bomb")


# -- frames ---------------------------------------------------------------------------------------


def converse(path: str, data: bytes) -> bytes:
    """Send bytes to a socket, and read until the other side closes."""
    answer = b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(path)
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while received := sock.recv(4096):
                answer += received
    return answer


HEADS = [
    f"GET /workers/default HTTP/1.1\r\nUpgrade: {PROTOCOL}\r\nRunhouse-Worker: x\r\n",
    f"GET /objects/nothing HTTP/1.1\r\nUpgrade: {PROTOCOL}\r\n",
    f"GET /runs/%00 HTTP/1.1\r\nUpgrade: {PROTOCOL}\r\n",
]


@st.composite
def mutated(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Return bytes with some of them changed, left out or put in."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@settings(FUZZ, max_examples=100)
@given(st.data())
def fuzz_data_socket(api: Http, data: st.DataObject) -> None:
    """Send requests that were changed, and plain bytes, to the data socket."""
    heads = [f"{head}Authorization: Bearer {api.token}\r\n\r\n".encode() for head in HEADS]
    sent = data.draw(mutated(st.sampled_from(heads)) | st.binary(max_size=200))
    answer = converse(str(Path(api.path).with_name("data.sock")), sent)
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer


@pytest.mark.usefixtures("unharmed")
def test_the_data_socket_closes_what_it_does_not_understand(api: Http) -> None:
    fuzz_data_socket(api)


CALLS = [
    Frame(
        Kind.CALL,
        Call("run-1", "method", "counter", "add", arguments="json", grace_s=0.0).to_meta(),
        b'{"args": [1]}',
    ),
    Frame(Kind.CALL, Call("run-2", "get", "counter", arguments="json", grace_s=0.0).to_meta()),
    Frame(Kind.ATTACH, {"id": "run-1", "received": 0}),
    Frame(Kind.CANCEL, {"id": "run-1"}),
    Frame(Kind.ACK, {"id": "run-1", "received": 3, "last": True}),
]
FRAMES = [b"".join(map(bytes, frames.encode(frame))) for frame in CALLS]


@settings(FUZZ, max_examples=150)
@given(mutated(st.sampled_from(FRAMES)) | st.binary(max_size=200) | st.sampled_from(FRAMES))
def fuzz_worker(target: Target, data: bytes) -> None:
    """Send frames that were changed, and plain bytes, to a worker."""
    with rh.here.calls.client.open(target).sock as sock:
        sock.settimeout(10)
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                continue


@pytest.mark.usefixtures("unharmed")
def test_a_worker_closes_what_it_does_not_understand(api: Http) -> None:
    waiting = rh.here.calls.client.open(Target(key="counter"))
    fuzz_worker(Target(key="counter"))
    call = Call("other", "read", "counter", "kind", arguments="json", answer="json")
    frames.send(waiting.sock, Frame(Kind.CALL, call.to_meta()))
    answer = frames.receive(waiting.sock)
    waiting.sock.close()
    assert answer is not None
    assert (answer.kind, bytes(answer.body)) == (Kind.RESULT, b'"counter"')
    assert api("GET", "/call/counter/kind").json == "counter"


@pytest.mark.parametrize(
    "prefix",
    [
        b"\x01\0\0\0" + b"\0\0\0\0" + b"\0\0\0\0" + b"\xff" * 8,  # a body of 16 exabytes
        b"\x01\0\0\0" + b"\0\0\0\0" + b"\0\0\0\0" + b"\x7f" + b"\xff" * 7,
        b"\x01\0\0\0" + b"\0\0\0\0" + b"\0\0\0\1" + b"\0" * 8 + b"\xff" * 8,  # such a buffer
        b"\x01\0\0\0" + b"\xff\xff\xff\xff" + b"\0\0\0\0" + b"\0" * 8,
    ],
)
@pytest.mark.usefixtures("unharmed")
def test_a_frame_that_announces_too_much_is_refused(prefix: bytes) -> None:
    for _ in range(8):
        with rh.here.calls.client.open(Target(key="counter")).sock as sock:
            sock.settimeout(10)
            sock.sendall(prefix)
            with contextlib.suppress(ConnectionError):
                assert sock.recv(100) == b""
