"""The client's side of a call and the worker's outbox agree, whatever happens between them."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from runhouse.client.exchange import (
    Exchange,
    Item,
    Kept,
    Logs,
    Raised,
    Result,
    Started,
    Streaming,
    Unknown,
)
from runhouse.client.reconnect import Reconnect
from runhouse.errors import RunLostError
from runhouse.wire import frames
from runhouse.wire.exceptions import dump_error
from runhouse.wire.frames import Frame
from runhouse.wire.messages import LOST, Call, Kind, RunInfo
from runhouse.wire.pickling import dumps
from runhouse.worker.connections import Connection
from runhouse.worker.outbox import Mailbox, OutboxClosedError

if TYPE_CHECKING:
    from collections.abc import Iterator


def exchange() -> Exchange:
    """Return a call that has been sent."""
    return Exchange(Call("id", "call", "key"), dumps(((), {})))


def item(value: object) -> Frame:
    """Return a frame with an item."""
    return Frame(Kind.ITEM, {}, dumps(value).body)


def read(sock: socket.socket) -> Frame:
    """Return the next frame of a socket."""
    frame = frames.receive(sock)
    assert frame is not None
    return frame


class Wire(contextlib.ExitStack):
    """Make connections between a worker and a client, closed at the end."""

    def connect(self) -> tuple[socket.socket, Connection]:
        """Return the client's socket and the worker's connection."""
        ours, theirs = map(self.enter_context, socket.socketpair())
        return ours, Connection(theirs)


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Give connections for one test."""
    with Wire() as made:
        yield made


def test_a_call_is_sent_once_and_then_attached_to() -> None:
    made = Exchange(Call("id", "call", "key"), dumps(((1,), {})))
    assert bytes(made.call_pieces()[0])[0] == Kind.CALL
    made.receive(Frame(Kind.STREAM))
    again = made.attaching()
    assert bytes(again[0])[0] == Kind.ATTACH
    assert b'"received":1' in bytes(again[0])


def test_answers_become_events() -> None:
    made = exchange()
    logs = made.receive(Frame(Kind.LOG, {"entries": [["stdout", "text"]]}))
    assert logs == Logs([("stdout", "text")])
    assert made.receive(Frame(Kind.STREAM)) == Streaming()
    assert made.receive(item(3)) == Item(3)
    assert made.receive(Frame(Kind.UNKNOWN)) == Unknown()
    assert not made.ended
    assert made.receive(Frame(Kind.RESULT)) == Result(None)
    assert made.ended
    meta, pickled = dump_error(ValueError("no"))
    raised = exchange().receive(Frame(Kind.ERROR, meta, pickled.body))
    assert isinstance(raised, Raised)
    assert isinstance(raised.error, ValueError)


@pytest.mark.parametrize(
    ("body", "value"), [(b"null", None), (b'{"a": [1]}', {"a": [1]}), (b'"[1]"', "[1]")]
)
def test_values_that_are_json_are_read_as_such(body: bytes, value: object) -> None:
    for data in (body, bytearray(body), memoryview(body)):
        assert exchange().receive(Frame(Kind.ITEM, {}, data)) == Item(value)
        assert exchange().receive(Frame(Kind.RESULT, {}, data)) == Result(value)


def info(status: str = "running") -> RunInfo:
    """Return what is told about a run."""
    return RunInfo("id", "name", "key", status, "env", "worker", True, 1.0)  # type: ignore[arg-type]


def test_a_recorded_run_tells_that_it_has_started_and_where_its_result_is() -> None:
    watched = Exchange(Call("id", "call", "key", record=True), dumps(((), {})))
    assert watched.receive(Frame(Kind.STARTED, info().to_meta())) == Started(info())
    assert not watched.ended
    meta: dict[str, object] = {"kept": "key", "type": "builtins:int", "attributes": ["size"]}
    kept = watched.receive(Frame(Kind.RESULT, meta))
    assert kept == Kept("key", "builtins:int", ("size",))
    assert watched.ended
    left = Exchange(Call("id", "call", "key", record=True, watch=False), dumps(((), {})))
    left.receive(Frame(Kind.STARTED, info().to_meta()))
    assert left.ended


def test_a_watched_run_is_attached_to_and_acknowledges_nothing() -> None:
    made = Exchange(run_id="id")
    assert made.call_pieces() == []
    assert bytes(made.attaching()[0])[0] == Kind.ATTACH
    made.receive(Frame(Kind.RESULT, {}, dumps(b"x" * 100_000).body))
    assert made.acknowledging() is None


def test_a_lost_run_is_told_as_such() -> None:
    meta: dict[str, object] = {"type": LOST, "message": "It is lost.", "traceback": ""}
    raised = Exchange(run_id="id").receive(Frame(Kind.ERROR, meta))
    assert isinstance(raised, Raised)
    assert isinstance(raised.error, RunLostError)
    assert str(raised.error) == "It is lost."


def test_small_results_need_no_acknowledgement_and_large_ones_get_one() -> None:
    small, large = exchange(), exchange()
    small.receive(Frame(Kind.RESULT, {}, dumps(1).body))
    large.receive(Frame(Kind.RESULT, {}, dumps(b"x" * 100_000).body))
    assert small.acknowledging() is None
    answer = large.acknowledging()
    assert answer is not None
    assert b'"last":true' in bytes(answer[0])


@given(st.lists(st.integers(1, 30), max_size=6))
def test_every_event_arrives_once_however_often_the_connection_breaks(cuts: list[int]) -> None:
    """Cut after any number of frames; the numbers that arrive are still 0, 1, 2 and so on."""
    total = 40
    receiver = exchange()
    values: list[int] = []
    with Wire() as wire:
        ours, theirs = wire.connect()
        outbox = Mailbox(theirs)

        def make() -> None:
            for number in range(total):
                outbox.item(item(number))
            outbox.finish(Frame(Kind.RESULT))

        maker = threading.Thread(target=make)
        maker.start()
        for cut in [*cuts, 10**6]:
            for _ in range(cut):
                event = receiver.receive(read(ours))
                if isinstance(event, Item):
                    values.append(event.value)
                if receiver.ended:
                    break
            if receiver.ended:
                break
            ours.close()
            ours, theirs = wire.connect()
            outbox.attach(theirs, receiver.received)
        maker.join(timeout=10)
    assert values == list(range(total))


def drain(sock: socket.socket, count: int) -> None:
    """Read frames until there are none."""
    with contextlib.suppress(OSError):
        for _ in range(count):
            if frames.receive(sock) is None:
                return


def test_a_generator_waits_for_its_reader_and_ends_with_it(wire: Wire) -> None:
    ours, theirs = wire.connect()
    outbox = Mailbox(theirs)
    ended = threading.Event()

    def make() -> None:
        try:
            while True:
                outbox.item(item(b"x" * 100_000))
        except OutboxClosedError:
            ended.set()

    maker = threading.Thread(target=make)
    maker.start()
    drain(ours, 100)
    reader = threading.Thread(target=drain, args=(ours, 10_000))
    reader.start()
    assert not ended.is_set()
    outbox.finish(Frame(Kind.RESULT))
    assert ended.wait(10)
    maker.join()
    theirs.hang_up()
    reader.join()


def test_output_of_an_absent_caller_stays_bounded(wire: Wire) -> None:
    outbox = Mailbox(None)
    for _ in range(50):
        outbox.log(("stdout", "x" * 1_000_000))
        outbox.flush()
    ours, theirs = wire.connect()
    outbox.finish(Frame(Kind.RESULT))
    sender = threading.Thread(target=outbox.attach, args=(theirs, 0))
    sender.start()
    texts = [read(ours) for _ in range(51)]
    sender.join()
    assert sum(len(str(frame.meta)) for frame in texts) < 36_000_000
    assert "dropped" in str(texts[0].meta)
    assert texts[-1].kind == Kind.RESULT


def test_attempts_to_reconnect_end() -> None:
    assert Reconnect(60).next_pause() == pytest.approx(0.05)
    ended = Reconnect(-1)
    assert ended.next_pause() is None
    growing = Reconnect(60)
    pauses = [growing.next_pause() for _ in range(10)]
    assert pauses[-1] == pytest.approx(2.0)
