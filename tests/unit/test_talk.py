"""A client gets through to its worker, whatever becomes of the connection."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runhouse.client.client import Client
from runhouse.client.endpoint import Target
from runhouse.client.exchange import Item, Kept, Logs, Raised, Result, Started, Streaming, Unknown
from runhouse.client.run import Run, as_text, read_info
from runhouse.client.talk import outcome
from runhouse.errors import (
    CallError,
    ConnectError,
    RunCancelledError,
    RunLostError,
    RunNotFoundError,
    ServerLostError,
)
from runhouse.settings import Settings
from runhouse.wire.messages import Call, RunInfo
from runhouse.wire.pickling import Pickled, dumps
from tests.unit.hosting import Host
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENV = Target(env="env")


class Line:
    """Be the endpoint of a server with one worker, and cut its connections."""

    host = "box"
    token = "secret"  # noqa: S105 - of a test
    server_id = "server"

    def __init__(self, worker: Host) -> None:
        """Lead to a worker."""
        self.worker = worker
        self.requests: list[str] = []
        self.revived: list[bool] = []
        self.socks: list[socket.socket] = []
        self.swallowed = 0
        self.down = False

    def connect(self) -> socket.socket:
        """Return a connection whose other end is greeted as the server does it."""
        if self.down:
            raise ConnectionRefusedError
        ours, theirs = socket.socketpair()
        self.socks.append(ours)
        threading.Thread(target=self._greet, args=(theirs,)).start()
        return ours

    def _greet(self, sock: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            received = sock.recv(10_000)
            if not received:  # cut before it was greeted
                sock.close()
                return
            head += received
        assert b"\r\nAuthorization: Bearer secret\r\n" in head
        path = head.split(b" ")[1].decode()
        self.requests.append(path)
        if path.startswith("/runs/") and not list(self.worker.root.glob(f"{path[1:]}.*")):
            body = json.dumps({"detail": "no", "run": path[6:]}).encode()
            length = f"Content-Length: {len(body)}\r\n\r\n".encode()
            sock.sendall(b"HTTP/1.1 404 Not Found\r\n" + length + body)
            sock.close()
            return
        sock.sendall(b"HTTP/1.1 101 X\r\nRunhouse-Worker: worker\r\nRunhouse-Python: 3\r\n\r\n")
        if self.swallowed:
            self.swallowed -= 1
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        else:
            self.worker.connections.add(sock)

    def http_path(self) -> str:
        """Lead nowhere."""
        return "/nowhere"

    def revive(self, *, start: bool) -> None:
        """Note the attempt."""
        self.revived.append(start)
        if self.down and start:
            msg = "The host is down."
            raise ConnectError(msg, host=self.host)

    def cut(self) -> None:
        """Break all connections."""
        for sock in self.socks:
            with contextlib.suppress(OSError):  # closed already
                sock.shutdown(socket.SHUT_RDWR)
        self.socks.clear()


class Cluster:
    """Be the home of runs."""

    name = "box"

    def __init__(self, client: Client) -> None:
        """Have a client."""
        self.client = client
        self.stored: dict[str, object] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a stored object."""
        return self.stored.get(key, default)


class Rig:
    """Tie a client to a worker."""

    def __init__(self, root: Path) -> None:
        """Connect nothing yet."""
        self.worker = Host(root)
        self.line = Line(self.worker)
        self.client = Client(self.line, replace(Settings(), reconnect_timeout_s=5.0))
        self.cluster = Cluster(self.client)

    def call(self, key: str, *args: object, **fields: Any) -> Any:
        """Make a call."""
        call = Call(fields.pop("run_id", "id"), "call", key, **fields)
        return self.client.call(ENV, call, dumps((args, {})))

    def start(self, key: str, *args: object, **fields: Any) -> Run:
        """Start a recorded run."""
        call = Call(fields.pop("run_id", "id"), "call", key, record=True, watch=False, **fields)
        return Run(self.cluster, self.client.start(ENV, call, dumps((args, {}))))

    def meanwhile(self, act: Callable[[], None]) -> threading.Thread:
        """Do something while a call is waited for."""
        thread = threading.Thread(target=act)
        thread.start()
        return thread

    def close(self) -> None:
        """End everything."""
        self.client.close()
        self.line.cut()
        self.worker.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Give a client and a worker for one test."""
    made = Rig(tmp_path)
    yield made
    made.close()


# -- calls ------------------------------------------------------------------------------------


def test_calls_go_over_one_connection(rig: Rig) -> None:
    for number in range(1, 6):
        assert rig.call("count", run_id=f"id{number}") == number
    with pytest.raises(ValueError, match="as it should"):
        rig.call("fail", run_id="fail")
    assert list(rig.call("numbers", 300, run_id="items")) == list(range(300))
    assert rig.line.requests == ["/workers/env"]


def test_a_connection_that_breaks_during_a_call_is_mended_and_the_call_runs_once(rig: Rig) -> None:
    def cut() -> None:
        wait_until(lambda: rig.worker.counted)
        for _ in range(3):
            count = len(rig.line.requests)
            rig.line.cut()
            wait_until(lambda count=count: len(rig.line.requests) > count)  # type: ignore[misc]
        rig.worker.released.set()

    cutter = rig.meanwhile(cut)
    assert rig.call("wait", "text") == "text"
    cutter.join(timeout=10)
    assert rig.worker.counted == 1


def test_a_call_that_never_arrived_is_sent_again(rig: Rig) -> None:
    rig.line.swallowed = 3
    assert rig.call("count") == 1
    assert rig.worker.counted == 1
    assert len(rig.line.requests) == 4


def test_a_recorded_call_that_never_arrived_is_sent_again(rig: Rig) -> None:
    rig.line.swallowed = 1
    assert rig.call("count", record=True) == 1
    assert rig.line.requests == ["/workers/env", "/runs/id", "/workers/env"]


def test_a_server_that_stays_away_is_told(rig: Rig) -> None:
    rig.client.settings = replace(rig.client.settings, reconnect_timeout_s=0.1)

    def cut() -> None:
        wait_until(lambda: rig.worker.counted)
        rig.line.down = True
        rig.line.cut()

    rig.meanwhile(cut)
    with pytest.raises(ServerLostError, match="could not be made again within 0.1 s"):
        rig.call("wait")
    assert set(rig.line.revived) == {False}, "a call's server is not started anew"
    with pytest.raises(ConnectError, match="down"):
        rig.call("count")


def test_items_that_nobody_wants_any_more_are_not_made(rig: Rig) -> None:
    items = rig.call("endless")
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()
    assert rig.worker.cancelled.wait(10)
    assert rig.call("count", run_id="next") == 1


def test_items_arrive_once_each_although_the_connection_breaks(rig: Rig) -> None:
    values = []
    for value in rig.call("numbers", 2000):
        values.append(value)
        if value in (3, 500, 1999):
            rig.line.cut()
    assert values == list(range(2000))


def test_a_wait_that_is_interrupted_stops_the_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    def cut() -> None:
        wait_until(lambda: rig.worker.counted)
        rig.line.down = True
        rig.line.cut()
        wait_until(lambda: not rig.line.down)

    monkeypatch.setattr("runhouse.client.client.time.sleep", interrupt)
    thread = rig.meanwhile(cut)
    with pytest.raises(KeyboardInterrupt):
        rig.call("spin", grace_s=0.01)
    rig.line.down = False
    thread.join(timeout=10)
    assert rig.worker.cancelled.wait(10), "it could not be told, but its grace was over"


# -- recorded runs ----------------------------------------------------------------------------


def test_a_run_is_started_and_followed_from_its_beginning(rig: Rig) -> None:
    run = rig.start("wait", "text", name="nightly")
    assert (run.key, run.id, run.call) == ("nightly", "id", "wait")
    assert repr(run) == "<runhouse.Run 'nightly' of wait on box>"
    with pytest.raises(TimeoutError, match="has not ended in time. It goes on there"):
        run.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        run.wait(timeout=-1)
    rig.worker.released.set()
    assert [run.result() for _ in range(3)] == ["text"] * 3
    assert run.wait(timeout=10) is None
    assert rig.worker.counted == 1


@pytest.mark.parametrize("timeout", [30 * 24 * 3600.0, 1e12, float("inf")])
def test_a_result_may_be_waited_for_very_long(rig: Rig, timeout: float) -> None:
    run = rig.start("wait", "text")
    threading.Timer(0.05, rig.worker.released.set).start()
    assert run.result(timeout=timeout) == "text"


def test_a_long_wait_is_made_of_several(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runhouse.client.talk._LONGEST_POLL_S", 0.01)
    run = rig.start("wait", "text")
    with pytest.raises(TimeoutError):
        run.result(timeout=0.1)
    threading.Timer(0.05, rig.worker.released.set).start()
    assert run.result(timeout=60) == "text"


def test_a_run_is_followed_although_the_connection_breaks(rig: Rig) -> None:
    run = rig.start("wait", "text")

    def cut() -> None:
        for _ in range(3):
            count = len(rig.line.requests)
            rig.line.cut()
            wait_until(lambda count=count: len(rig.line.requests) > count)  # type: ignore[misc]
        rig.worker.released.set()

    cutter = rig.meanwhile(cut)
    assert run.result() == "text"
    cutter.join(timeout=10)
    assert rig.line.requests[-1] == "/runs/id"


def test_a_recorded_generator_gives_its_items_again(rig: Rig) -> None:
    run = rig.start("numbers", 50)
    for _ in range(2):
        items = run.result(timeout=10)
        assert list(items) == list(range(50))
    first = run.result()
    assert next(first) == 0
    first.close()
    assert run.wait() is None


def test_a_run_that_failed_or_was_cancelled_raises(rig: Rig) -> None:
    failed = rig.start("fail", run_id="failed")
    with pytest.raises(ValueError, match="as it should"):
        failed.result()
    spinning = rig.start("spin", run_id="spinning")
    wait_until(lambda: rig.worker.counted == 2)
    rig.worker.runs.cancel(["spinning"], "Enough.")
    for wait in (spinning.result, spinning.wait):
        with pytest.raises(RunCancelledError, match=r"Enough\."):
            wait()
    follow = spinning.logs(follow=True)
    assert not isinstance(follow, str)
    assert "".join(follow) == ""


def test_a_result_that_was_kept_is_got_from_the_store(rig: Rig) -> None:
    run = rig.start("count", keep="key")
    assert run.wait() == Kept("key", "builtins:int")
    rig.cluster.stored["key"] = rig.worker.objects.get("key")
    assert run.result() == 1


def test_a_run_that_nobody_knows_is_not_found(rig: Rig) -> None:
    info = RunInfo("unknown", "", "f", "running", "env", "worker", True, 1.0)
    for wait in (Run(rig.cluster, info).result, Run(rig.cluster, info).wait):
        with pytest.raises(RunNotFoundError) as caught:
            wait()
        assert caught.value.key == "unknown"


def test_a_run_of_which_nothing_more_comes_is_given_up(rig: Rig) -> None:
    rig.client.settings = replace(rig.client.settings, reconnect_timeout_s=0.1)
    run = rig.start("count")
    assert run.result() == 1
    rig.line.swallowed = 10**6
    with pytest.raises(RunLostError, match="has no more of it"):
        run.result()


# -- what is said -----------------------------------------------------------------------------


def test_an_event_is_a_value_or_an_error() -> None:
    assert outcome(Result(1)) == 1
    assert outcome(Item(2)) == 2
    assert outcome(Kept("key", "t")) == Kept("key", "t")
    with pytest.raises(ValueError, match="no"):
        outcome(Raised(ValueError("no")))
    info = RunInfo("id", "", "f", "done", "env", "worker", True, 1.0)
    for event in (Streaming(), Logs([]), Unknown(), Started(info)):
        with pytest.raises(CallError, match=f"sent {type(event).__name__} where a result was due"):
            outcome(event)


def test_a_start_that_is_answered_otherwise_is_an_error(rig: Rig) -> None:
    plain = Call("id", "call", "count")
    with pytest.raises(CallError, match="did not say that the run has started"):
        rig.client.start(ENV, plain, dumps(((), {})))
    with pytest.raises(CallError, match="holds nothing under the key"):
        rig.client.start(ENV, Call("id2", "call", "none", record=True), Pickled(b""))


def test_output_and_records_become_one_text() -> None:
    record = {"name": "app", "levelno": 30, "levelname": "WARNING", "msg": "100 % of %s"}
    failed = {**record, "levelname": "ERROR", "msg": "bad", "exc_text": "Traceback: x"}
    entries = [
        ("stdout", "one\ntw"),
        ("stdout", "o\n"),
        ("record", record),
        ("stderr", "é"),
        ("record", failed),
    ]
    assert as_text(entries) == ("one\ntwo\nWARNING:app:100 % of %s\néERROR:app:bad\nTraceback: x\n")
    assert as_text([]) == ""


def test_what_another_version_tells_about_a_run_is_an_error() -> None:
    info = RunInfo("id", "", "f", "done", "env", "worker", True, 1.0)
    assert read_info(info.to_meta()) == info
    for answer in ({}, {**info.to_meta(), "unheard_of": 1}, {"id": "id"}):
        with pytest.raises(CallError, match="It has another version of"):
            read_info(answer)
