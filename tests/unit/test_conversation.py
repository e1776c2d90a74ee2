"""The server follows a run without holding its payloads, and says what has become of it."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import pytest

from runhouse.errors import QueueFullError, RunTimeoutError
from runhouse.server.conversation import Conversation, FileSource, once
from runhouse.server.problem import SORTS, ProblemError, problem_of
from runhouse.wire import frames
from runhouse.wire.exceptions import dump_error
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def encoded(*sent: Frame) -> bytes:
    """Return the bytes of frames."""
    return b"".join(bytes(piece) for frame in sent for piece in frames.encode(frame))


class Script:
    """Be a source whose worker says what is written here."""

    def __init__(self, says: bytes = b"") -> None:
        """Store what the worker says."""
        self._says = io.BytesIO(says)
        self.written = b""
        self.largest = 0
        self.closed: bool | None = None

    async def read(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        self.largest = max(self.largest, size)
        data = self._says.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def write(self, data: bytes) -> None:
        """Keep what is sent."""
        self.written += data

    async def drain(self) -> None:
        """Wait for nothing."""

    def close(self, *, at_once: bool) -> None:
        """Note how it was closed."""
        self.closed = at_once

    async def why_ended(self) -> ProblemError:
        """Say that the worker has died."""
        return ProblemError("worker-died", "It did.")

    def sent(self) -> list[Frame]:
        """Return the frames that were sent, without bodies."""
        found, rest = [], self.written
        while rest:
            prefix = frames.Prefix.parse(rest[: frames.PREFIX_SIZE])
            end = frames.PREFIX_SIZE + prefix.head_size
            meta, _ = prefix.split(memoryview(rest[frames.PREFIX_SIZE : end]))
            found.append(Frame(prefix.kind, meta))
            rest = rest[end + prefix.body_size :]
        return found


CALL = Call("id", "call", "f", arguments="json", answer="json")


def test_a_call_is_sent_as_it_comes_and_its_result_read() -> None:
    async def talk() -> bytes:
        await conversation.call(CALL, once(b'{"args":[]}'), 11)
        return await conversation.result()

    script = Script(encoded(Frame(Kind.LOG, {"entries": []}), Frame(Kind.RESULT, {}, b"3")))
    conversation = Conversation(script, "id", recorded=False)
    assert asyncio.run(talk()) == b"3"
    conversation.close()
    (call,) = script.sent()
    assert (call.kind, call.meta) == (Kind.CALL, CALL.to_meta())
    assert script.written.endswith(b'{"args":[]}')
    assert script.closed is False


def test_a_large_body_comes_in_pieces_and_may_be_left_out() -> None:
    async def talk() -> list[int]:
        event = await conversation.next()
        assert (event.number, event.size, event.buffers_size) == (0, 1_000_000, 500_000)
        sizes = [len(piece) async for piece in conversation.pieces()]
        await conversation.next()  # whose body nobody reads
        assert (await conversation.next()).number == 2
        return sizes

    large = Frame(Kind.ITEM, {}, b"x" * 1_000_000, [b"y" * 500_000])
    script = Script(encoded(large, large, Frame(Kind.RESULT)))
    conversation = Conversation(script, "id", recorded=False)
    sizes = asyncio.run(talk())
    assert sum(sizes) == 1_500_000
    assert all(size % 3 == 0 for size in sizes[:-1])
    assert script.largest <= 200_000


@pytest.mark.parametrize(("recorded", "count"), [(False, 2), (True, 0)])
def test_events_are_acknowledged_so_that_a_generator_goes_on(recorded: bool, count: int) -> None:
    async def talk() -> None:
        for _ in range(300):
            await conversation.next()

    script = Script(encoded(*[Frame(Kind.ITEM, {}, b"1")] * 300))
    conversation = Conversation(script, "id", recorded=recorded)
    asyncio.run(talk())
    acks = script.sent()
    assert [ack.kind for ack in acks] == [Kind.ACK] * count
    assert [ack.meta["received"] for ack in acks] == [128, 256][:count]


@pytest.mark.parametrize(
    ("recorded", "says", "kinds"),
    [
        (False, b"", [Kind.CALL, Kind.CANCEL]),
        (True, b"", [Kind.CALL]),
        (False, encoded(Frame(Kind.RESULT)), [Kind.CALL]),
    ],
)
def test_who_leaves_cancels_what_is_not_recorded(
    recorded: bool, says: bytes, kinds: list[Kind]
) -> None:
    async def talk() -> None:
        await conversation.call(CALL, once(b""), 0)
        if says:
            await conversation.next()
        conversation.close()

    script = Script(says)
    conversation = Conversation(script, "id", recorded=recorded)
    asyncio.run(talk())
    assert [frame.kind for frame in script.sent()] == kinds
    assert script.closed is False


def test_an_upload_that_is_cut_off_says_nothing_within_the_frame() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"12"
        raise ConnectionResetError

    async def talk() -> None:
        with pytest.raises(ConnectionResetError):
            await conversation.call(CALL, body(), 10)
        conversation.close()

    script = Script()
    conversation = Conversation(script, "id", recorded=False)
    asyncio.run(talk())
    assert script.written.endswith(b"12")
    assert script.closed is True


@pytest.mark.parametrize("says", [b"", b"\x12", b"\xff" * 40, encoded(Frame(18, {}, b"abc"))[:-1]])
def test_a_worker_that_stops_in_mid_frame_has_died(says: bytes) -> None:
    async def talk() -> None:
        while True:
            await conversation.next()

    conversation = Conversation(Script(says), "id", recorded=False)
    with pytest.raises(ProblemError) as caught:
        asyncio.run(talk())
    assert caught.value.sort == "worker-died"


def test_a_failed_run_raises_its_problem() -> None:
    meta, _ = dump_error(QueueFullError("Full.", waiting=3))
    conversation = Conversation(Script(encoded(Frame(Kind.ERROR, meta))), "id", recorded=False)
    with pytest.raises(ProblemError) as caught:
        asyncio.run(conversation.result())
    assert (caught.value.sort, caught.value.detail) == ("queue-full", "Full.")
    assert caught.value.response().headers["retry-after"] == "1"


def test_the_file_of_a_run_is_read_from_any_event_on(tmp_path: Path) -> None:
    path = tmp_path / "run.done"
    path.write_bytes(encoded(Frame(Kind.STARTED), Frame(Kind.ITEM, {}, b"1")))

    async def talk(received: int) -> list[int]:
        source = await FileSource.open(path, received)
        conversation = Conversation(source, "id", recorded=True, received=received)
        assert source.spent == (received > 1)
        numbers = []
        try:
            while True:
                numbers.append((await conversation.next()).number)
        except ProblemError as problem:
            assert problem.sort == "run-lost"  # noqa: PT017 - what came before is looked at, too
            return numbers
        finally:
            conversation.close()

    assert asyncio.run(talk(0)) == [0, 1]
    assert asyncio.run(talk(1)) == [1]
    assert asyncio.run(talk(2)) == []
    assert asyncio.run(talk(9)) == []
    with pytest.raises(ProblemError):
        asyncio.run(FileSource.open(tmp_path / "gone", 0))


@pytest.mark.parametrize(
    ("error", "sort"),
    [
        (RunTimeoutError("x"), "run-timeout"),
        (KeyError("x"), "raised"),
        (ProblemError("invalid", "x"), "raised"),
    ],
)
def test_what_a_worker_tells_becomes_a_problem(error: Exception, sort: str) -> None:
    meta, _ = dump_error(error)
    problem = problem_of(meta)
    body: dict[str, Any] = problem.body()
    assert body["type"] == f"urn:runhouse:{sort}"
    assert body["status"] == SORTS[sort].status
    assert ("exception" in body) == (sort == "raised")


def test_a_problem_without_facts_is_one_too() -> None:
    assert problem_of({}).sort == "raised"
    assert problem_of({"type": "runhouse.errors.Unheard", "message": "m"}).sort == "raised"
