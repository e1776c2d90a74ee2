"""Frames in a file: the events of a recorded run as they were sent, and objects on disk.

The server reads these files too, so nothing here looks into a frame's body.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from runhouse.wire import frames
from runhouse.wire.frames import Frame, FrameError, Prefix

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from runhouse.wire.messages import RunStatus

_CHUNK = 8 * 1024 * 1024
_MAX_PIECES = 1000
_OBJECT = ".object"

OPEN = "open"
ENDED: tuple[RunStatus, ...] = ("done", "failed", "cancelled", "lost")


def append(file: int, pieces: Sequence[frames.Buffer]) -> int:
    """Write the pieces of a frame at the end of a file; return how many bytes that were.

    Raises:
        OSError: The disk is full, or the file cannot be written to; nothing was added.
    """
    start = os.lseek(file, 0, os.SEEK_END)
    rest = list(pieces)
    try:
        while rest:
            written = os.writev(file, rest[:_MAX_PIECES])
            rest = list(frames.unsent(rest, written))
    except OSError:
        os.ftruncate(file, start)
        raise
    return frames.pieces_size(pieces)


def _head(file: int, offset: int) -> tuple[Prefix, memoryview] | None:
    raw = os.pread(file, frames.PREFIX_SIZE, offset)
    if len(raw) < frames.PREFIX_SIZE:
        return None
    prefix = Prefix.parse(raw)
    head = os.pread(file, prefix.head_size, offset + frames.PREFIX_SIZE)
    return (prefix, memoryview(head)) if len(head) == prefix.head_size else None


def frame_at(file: int, offset: int) -> tuple[Frame, int] | None:
    """Read a frame's kind and message, but not its body.

    Returns:
        The frame and the offset of the next one, or None when no whole frame begins there.
    """
    try:
        found = _head(file, offset)
        if found is None:
            return None
        prefix, head = found
        meta, sizes = prefix.split(head)
    except FrameError:
        return None
    end = offset + frames.PREFIX_SIZE + prefix.head_size + prefix.body_size + sum(sizes)
    if end > os.fstat(file).st_size:
        return None
    return Frame(prefix.kind, meta), end


def walk(file: int, offset: int = 0) -> Iterator[tuple[Frame, int, int]]:
    """Yield each whole frame from an offset on, without bodies, with where it begins and ends."""
    while (found := frame_at(file, offset)) is not None:
        yield found[0], offset, found[1]
        offset = found[1]


def skip(file: int, count: int) -> int:
    """Return where the frame with a number begins, or the file's end when there are fewer."""
    offset = 0
    for number, (_, start, end) in enumerate(walk(file)):
        if number == count:
            return start
        offset = end
    return offset


def send_range(sock: socket.socket, file: int, start: int, end: int) -> None:
    """Send bytes of a file through a blocking socket; they do not pass through Python.

    Raises:
        OSError: The peer is gone.
    """
    while start < end:
        start += os.sendfile(sock.fileno(), file, start, min(_CHUNK, end - start))


def run_path(directory: Path, run_id: str) -> Path | None:
    """Return the file of a recorded run, or None when there is none.

    A run's file changes its name at its end, so the name of an open one is looked for first.
    """
    paths = (directory / f"{run_id}.{status}" for status in (OPEN, *ENDED))
    return next((path for path in paths if path.exists()), None)


def object_path(directory: Path, key: str) -> Path:
    """Return the file of the object that is kept on disk under a key."""
    return directory / f"{quote(key, safe='')}{_OBJECT}"


def object_key(path: Path) -> str:
    """Return the key of the object in a file."""
    return unquote(path.name.removesuffix(_OBJECT))
