"""Frames survive any split of the stream, and garbage is refused."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given, strategies as st

from runhouse.wire import frames
from runhouse.wire.frames import Frame, FrameError, Prefix

SIZES = st.integers(0, 3000)
META = st.dictionaries(st.text(max_size=10), st.integers() | st.text(max_size=20), max_size=4)


def through_socket(sent: list[Frame]) -> list[Frame | None]:
    """Send frames through a real socket pair and return what arrives, with the end."""
    ours, theirs = socket.socketpair()

    def write() -> None:
        with ours:
            for frame in sent:
                frames.send(ours, frame)

    writer = threading.Thread(target=write)
    writer.start()
    with theirs:
        received = [frames.receive(theirs) for _ in range(len(sent) + 1)]
    writer.join()
    return received


@given(st.lists(st.tuples(META, SIZES, st.lists(SIZES, max_size=3)), max_size=3))
def test_frames_arrive_as_they_were_sent(
    shapes: list[tuple[dict[str, object], int, list[int]]],
) -> None:
    sent = [
        Frame(
            7, meta, b"b" * body, [bytes([index % 256]) * size for index, size in enumerate(sizes)]
        )
        for meta, body, sizes in shapes
    ]
    *received, end = through_socket(sent)
    assert end is None
    for want, got in zip(sent, received, strict=True):
        assert got is not None
        assert (got.kind, got.meta, bytes(got.body)) == (want.kind, want.meta, bytes(want.body))
        assert [bytes(b) for b in got.buffers] == [bytes(b) for b in want.buffers]


def test_large_bodies_and_buffers_keep_their_bytes() -> None:
    body = bytes(range(256)) * 8000
    buffer = bytes(reversed(range(256))) * 20000
    got = through_socket([Frame(1, {}, body, [bytearray(buffer), buffer])])[0]
    assert got is not None
    assert bytes(got.body) == body
    assert [bytes(b) for b in got.buffers] == [buffer, buffer]
    assert memoryview(got.buffers[0]).readonly is False
    assert type(got.buffers[1]) is bytes


def test_more_buffers_than_one_system_call_takes() -> None:
    buffers = [bytes([index % 256]) * 10 for index in range(2500)]
    got = through_socket([Frame(1, {}, b"", buffers)])[0]
    assert got is not None
    assert [bytes(b) for b in got.buffers] == buffers


@given(st.binary(min_size=frames.PREFIX_SIZE, max_size=400))
def test_garbage_ends_in_an_error_and_never_hangs(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        theirs.settimeout(5)
        prefix = data[: frames.PREFIX_SIZE]
        announced = int.from_bytes(prefix[12:20], "big") + int.from_bytes(prefix[8:12], "big") * 8
        if announced > 1 << 30:
            return  # would only wait for memory: the peer has a token and could fill it anyway
        try:
            while frames.receive(theirs) is not None:
                continue
        except (FrameError, ConnectionResetError):
            return


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return the bytes of a frame of which a few were changed, left out or put in."""
    meta: dict[str, object] = {**draw(META)}
    frame = Frame(draw(st.integers(0, 255)), meta, draw(st.binary()), [draw(st.binary())])
    data = bytearray(b"".join(map(bytes, frames.encode(frame))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(mutated())
def test_a_frame_that_was_changed_is_read_or_refused(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        theirs.settimeout(5)
        try:
            frame = frames.receive(theirs)
        except (FrameError, ConnectionResetError):
            return
        assert frame is None or isinstance(frame.meta, dict)


@pytest.mark.parametrize("size", [2**63 - 1, 2**64 - 1, 2**56])
def test_what_memory_cannot_hold_is_refused(size: int) -> None:
    with pytest.raises(FrameError, match="no memory"):
        frames.allocate(size)
    prefix = b"\x01\0\0\0" + bytes(4) + bytes(4) + size.to_bytes(8, "big")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(prefix)
        with pytest.raises(FrameError, match="no memory"):
            frames.receive(theirs)


@given(META, st.binary(max_size=400_000))
def test_a_head_and_its_body_are_a_frame(meta: dict[str, object], body: bytes) -> None:
    ours, theirs = socket.socketpair()
    head = frames.encode_head(5, meta, len(body))
    writer = threading.Thread(target=ours.sendall, args=(head + body,))
    with ours, theirs:
        writer.start()
        got = frames.receive(theirs)
        writer.join()
    assert got is not None
    assert (got.kind, got.meta, bytes(got.body), list(got.buffers)) == (5, meta, body, [])


def test_an_end_within_a_frame_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(b"".join(map(bytes, frames.encode(Frame(1, {"a": 1}, b"body"))))[:-2])
        with pytest.raises(ConnectionResetError, match="middle of a frame"):
            frames.receive(theirs)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(FrameError, match="not a frame"):
        Prefix.parse(b"\x01\0\0\0" + b"\xff" * 16)


def test_a_message_that_is_no_object_is_refused() -> None:
    with pytest.raises(FrameError, match="not a JSON object"):
        Prefix(1, 2, 0, 0).split(memoryview(b"[]"))
    with pytest.raises(FrameError, match="not JSON"):
        Prefix(1, 2, 0, 0).split(memoryview(b"{]"))


@given(st.lists(st.binary(max_size=20), max_size=8), st.integers(0, 160))
def test_unsent_is_the_rest(pieces: list[bytes], sent: int) -> None:
    assert b"".join(bytes(p) for p in frames.unsent(pieces, sent)) == b"".join(pieces)[sent:]
