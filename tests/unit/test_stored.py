"""Frames in a file are found again, and one that was cut short is no frame."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from runhouse.wire import frames, stored
from runhouse.wire.frames import Frame
from tests.unit.wiring import Lines, full_disk, read

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES = [
    Frame(1, {"number": 0}),
    Frame(2, {"number": 1, "text": "é"}, b"body"),
    Frame(3, {}, b"", [b"buffer", b"", b"another"]),
    Frame(4, {"number": 3}, b"x" * 3000, [b"y" * 5000]),
]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """Give an open, empty file."""
    opened = os.open(tmp_path / "frames", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    yield opened
    os.close(opened)


def fill(file: int, made: list[Frame]) -> list[int]:
    """Write frames; return where each one ends, and 0 first."""
    ends = [0]
    for frame in made:
        ends.append(ends[-1] + stored.append(file, frames.encode(frame)))
    return ends


def test_what_was_appended_is_walked_over_in_order_without_bodies(file: int) -> None:
    ends = fill(file, FRAMES)
    assert ends[-1] == os.fstat(file).st_size
    found = list(stored.walk(file))
    assert [(frame.kind, frame.meta) for frame, _, _ in found] == [(f.kind, f.meta) for f in FRAMES]
    assert [(start, end) for _, start, end in found] == list(zip(ends, ends[1:], strict=False))
    assert all(len(frame.body) == 0 and not frame.buffers for frame, _, _ in found)
    assert [frame.kind for frame, _, _ in stored.walk(file, ends[2])] == [3, 4]


def test_many_buffers_are_written_although_the_kernel_takes_a_thousand_at_once(file: int) -> None:
    many = Frame(1, {}, b"", [bytes([number % 251]) for number in range(2500)])
    (end,) = fill(file, [many])[1:]
    found = stored.frame_at(file, 0)
    assert found is not None
    assert found[1] == end
    assert os.pread(file, 2500, end - 2500) == b"".join(many.buffers)


def test_a_file_that_is_cut_at_any_byte_gives_its_whole_frames_only(tmp_path: Path) -> None:
    small = [Frame(1, {"number": 0}), Frame(2, {}, b"body", [b"buffer"]), Frame(3, {"last": True})]
    whole = b"".join(b"".join(map(bytes, frames.encode(frame))) for frame in small)
    path = tmp_path / "torn"
    path.write_bytes(whole)
    with path.open("rb") as file:
        ends = [end for _, _, end in stored.walk(file.fileno())]
    assert ends[-1] == len(whole)
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        with path.open("rb") as file:
            left = [end for _, _, end in stored.walk(file.fileno())]
            assert left == [end for end in ends if end <= size]
            assert stored.skip(file.fileno(), 99) == max(left, default=0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff" * 200,
        b"{}",
        b"\x01\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0[]",
        b"\x01\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0{!",
        b"\x01\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x01\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_what_is_no_frame_is_told_as_none(file: int, garbage: bytes) -> None:
    os.write(file, garbage)
    assert stored.frame_at(file, 0) is None
    assert list(stored.walk(file)) == []
    assert stored.skip(file, 0) == 0


@given(st.binary(max_size=80))
def test_no_bytes_make_reading_fail(data: bytes) -> None:
    file = os.memfd_create("frames")
    try:
        os.write(file, data)
        for _, start, end in stored.walk(file):
            assert start < end <= len(data)
    finally:
        os.close(file)


def test_a_frame_is_skipped_to_by_its_number(file: int) -> None:
    ends = fill(file, FRAMES)
    assert [stored.skip(file, number) for number in range(6)] == [*ends[:4], ends[4], ends[4]]


def test_a_frame_that_the_disk_does_not_take_leaves_no_trace(file: int) -> None:
    ends = fill(file, FRAMES)
    size = ends[-1]
    large = frames.encode(Frame(9, {}, b"z" * 100_000))
    with full_disk(size + 1000), pytest.raises(OSError, match="large"):
        stored.append(file, large)
    assert os.fstat(file).st_size == size
    stored.append(file, frames.encode(Frame(5)))
    assert [frame.kind for frame, _, _ in stored.walk(file)] == [1, 2, 3, 4, 5]


def test_a_file_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.touch()
    with path.open("rb") as file, pytest.raises(OSError, match="Errno"):
        stored.append(file.fileno(), frames.encode(Frame(1)))
    assert path.read_bytes() == b""
    with pytest.raises(OSError, match="descriptor"):
        stored.append(-1, frames.encode(Frame(1)))


def test_a_range_of_frames_is_sent_as_it_is(file: int) -> None:
    big = Frame(7, {"big": True}, b"b" * 3_000_000)
    ends = fill(file, [*FRAMES, big])
    with Lines() as lines:
        ours, theirs = lines.pair()
        arguments = (theirs, file, ends[1], ends[-1])
        sender = threading.Thread(target=stored.send_range, args=arguments)
        sender.start()
        got = [read(ours) for _ in range(4)]
        sender.join(timeout=10)
        assert [frame.kind for frame in got] == [2, 3, 4, 7]
        assert bytes(got[0].body) == b"body"
        assert [bytes(each) for each in got[1].buffers] == [b"buffer", b"", b"another"]
        assert got[3].body[:] == big.body
        stored.send_range(theirs, file, ends[1], ends[1])
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)


def test_sending_to_a_peer_that_is_gone_is_an_error(file: int) -> None:
    end = fill(file, FRAMES)[-1]
    with Lines() as lines:
        ours, theirs = lines.pair()
        ours.close()
        with pytest.raises(OSError, match="pipe"):
            stored.send_range(theirs, file, 0, end)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_key_has_a_file_of_its_own_in_the_directory(key: str) -> None:
    directory = Path("/objects")
    path = stored.object_path(directory, key)
    assert path.parent == directory
    assert path.name.endswith(".object")
    assert stored.object_key(path) == key
