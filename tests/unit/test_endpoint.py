"""The greeting that opens a connection says what a server's answer means."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from runhouse.client.endpoint import Connection, Target, died, greet
from runhouse.errors import CallError, ServerLostError, WorkerDiedError, WorkerStartError
from runhouse.wire.messages import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WELCOME = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: runhouse-frames/1\r\n"
    b"Runhouse-Worker: w1\r\nRunhouse-Python: 3.11.7\r\n\r\n"
)


def problem(status: int, **body: object) -> bytes:
    """Return an answer that refuses."""
    text = json.dumps({"status": status, **body}).encode()
    return b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s" % (status, len(text), text)


class Scripted:
    """Answer each connection with given bytes, and remember what was asked."""

    host = "there"
    token = "secret-token"
    server_id = "s1"

    def __init__(self, pieces: list[bytes]) -> None:
        """Store the pieces of the answer; each is sent by itself."""
        self._pieces = pieces
        self.requests: list[bytes] = []
        self._threads: list[threading.Thread] = []

    def connect(self) -> socket.socket:
        """Return a connection whose other end follows the script."""
        ours, theirs = socket.socketpair()

        def answer() -> None:
            with theirs:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += theirs.recv(4096)
                self.requests.append(request)
                for piece in self._pieces:
                    theirs.sendall(piece)

        thread = threading.Thread(target=answer)
        thread.start()
        self._threads.append(thread)
        return ours

    def http_path(self) -> str:
        """Return nothing that exists."""
        return "/nowhere"

    def revive(self, *, start: bool) -> None:
        """Do nothing: the script goes on by itself."""
        del start

    def join(self) -> None:
        """Wait for all answers."""
        for thread in self._threads:
            thread.join()


@pytest.fixture
def scripted() -> Iterator[Callable[[list[bytes]], Scripted]]:
    """Give servers that follow a script."""
    made: list[Scripted] = []

    def make(pieces: list[bytes]) -> Scripted:
        made.append(Scripted(pieces))
        return made[-1]

    yield make
    for server in made:
        server.join()


def open_one(server: Scripted, target: Target | None = None) -> Connection:
    """Greet a scripted server."""
    return greet(server, target or Target("my env", Scope(project="/p é")), 5)


def test_a_welcome_names_the_worker_and_its_python(
    scripted: Callable[[list[bytes]], Scripted],
) -> None:
    for pieces in ([WELCOME], [WELCOME[:30], WELCOME[30:50], WELCOME[50:]]):
        server = scripted(pieces)
        connection = open_one(server)
        connection.sock.close()
        assert (connection.worker_id, connection.python) == ("w1", "3.11.7")
        request = server.requests[0].decode("ascii")
        assert request.startswith("GET /workers/my%20env HTTP/1.1\r\n")
        assert "Authorization: Bearer secret-token\r\n" in request
        assert "Runhouse-Scope: %7B%22project%22" in request
        assert "Runhouse-Worker" not in request


def test_one_worker_can_be_asked_for(scripted: Callable[[list[bytes]], Scripted]) -> None:
    server = scripted([WELCOME])
    open_one(server, Target("e", Scope(), "w1")).sock.close()
    assert b"\r\nRunhouse-Worker: w1\r\n" in server.requests[0]


def test_a_worker_that_has_died_is_described(scripted: Callable[[list[bytes]], Scripted]) -> None:
    death = {"pid": 7, "exit_code": None, "signal_name": "SIGKILL", "log_tail": "last words\n"}
    with pytest.raises(WorkerDiedError, match="out-of-memory") as caught:
        open_one(scripted([problem(410, detail="gone", death=death)]))
    assert (caught.value.pid, caught.value.signal_name) == (7, "SIGKILL")
    assert str(caught.value).endswith("It wrote last:\nlast words")


def test_a_worker_of_another_server_is_lost(scripted: Callable[[list[bytes]], Scripted]) -> None:
    with pytest.raises(ServerLostError, match="so is what it held"):
        open_one(scripted([problem(410, detail="gone", death=None)]))


def test_an_exit_code_is_told() -> None:
    facts = {"pid": 7, "exit_code": 3, "signal_name": None, "log_tail": ""}
    error = died("there", dict(facts))
    assert isinstance(error, WorkerDiedError)
    assert "ended with exit code 3." in str(error)
    assert "It wrote last" not in str(error)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (problem(401, detail="no token"), CallError, "It said 401: no token"),
        (problem(404, detail="not here"), CallError, "404"),
        (problem(503, detail="A worker did not start. Why."), WorkerStartError, "did not start"),
        (b"", ConnectionResetError, "before it answered"),
        (b"HTTP/1.1 101 Swi", ConnectionResetError, "before it answered"),
        (problem(503, detail="x")[:-3], ConnectionResetError, "before it answered"),
    ],
)
def test_refusals_and_broken_answers_are_errors(
    scripted: Callable[[list[bytes]], Scripted],
    answer: bytes,
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words) as caught:
        open_one(scripted([answer]))
    assert "secret-token" not in str(caught.value)
