"""Frames: how messages and values travel on a connected stream socket.

A frame is a fixed prefix, then a head, then buffers::

    prefix   kind (u8), 3 zero bytes, meta length (u32), buffer count (u32), body length (u64)
    head     buffer lengths (u64 each), meta (UTF-8 JSON), body (a pickle stream, or nothing);
             the highest bit of a length says that the buffer is to be a `bytes` object
    buffers  raw bytes of out-of-band buffers (pickle protocol 5), one after the other

All integers are big-endian. Large buffers are received straight into memory of their own, so that
an array of many gigabytes is copied once, by the kernel.
"""

from __future__ import annotations

import importlib
import json
import mmap
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Buffer: TypeAlias = "bytes | bytearray | memoryview | mmap.mmap"

_PREFIX = struct.Struct("!BxxxIIQ")
PREFIX_SIZE = _PREFIX.size
# A body up to this size is received together with the head, in one system call.
_SMALL = 256 * 1024
# From here on a buffer gets pages of its own instead of zeroed memory from the allocator.
_MAPPED = 1024 * 1024
_MAX_META = 64 * 1024 * 1024
_MAX_BUFFERS = 16 * 1024 * 1024
_IS_BYTES = 1 << 63
# sendmsg takes at most IOV_MAX (1024 on Linux) pieces.
_MAX_PIECES = 1000


class FrameError(ValueError):
    """Report bytes that are not a frame; the connection cannot be used any further."""


@dataclass(slots=True)
class Frame:
    """Hold one frame.

    Attributes:
        kind: What the frame says, a value of `wire.messages.Kind`.
        meta: The message itself, JSON values only.
        body: Pickle stream, or nothing.
        buffers: Out-of-band buffers of the pickle stream.
    """

    kind: int
    meta: dict[str, object] = field(default_factory=dict)
    body: Buffer = b""
    buffers: Sequence[Buffer] = ()


class BufferSize(int):
    """Be the length of a buffer.

    Attributes:
        is_bytes: Whether the buffer is to be a `bytes` object.
    """

    is_bytes: bool

    def __new__(cls, size: int, *, is_bytes: bool) -> BufferSize:
        """Store both."""
        made = super().__new__(cls, size)
        made.is_bytes = is_bytes
        return made

    def allocate(self) -> tuple[Buffer, memoryview]:
        """Return memory for the buffer, and a view of it to write to.

        Raises:
            FrameError: There is not so much memory.
        """
        if self.is_bytes and self >= _MAPPED:
            return allocate_bytes(self)
        memory = allocate(self)
        return memory, memoryview(memory)


@dataclass(frozen=True, slots=True)
class Prefix:
    """Hold the decoded prefix of a frame: how much follows."""

    kind: int
    meta_size: int
    buffer_count: int
    body_size: int

    @classmethod
    def parse(cls, data: Buffer) -> Prefix:
        """Decode and check a prefix.

        Args:
            data: Exactly `PREFIX_SIZE` bytes.

        Raises:
            FrameError: The sizes cannot be those of a frame.
        """
        prefix = cls(*_PREFIX.unpack(data))
        if prefix.meta_size > _MAX_META or prefix.buffer_count > _MAX_BUFFERS:
            msg = (
                f"The peer sent something that is not a frame. It announces {prefix.meta_size} "
                f"bytes of meta and {prefix.buffer_count} buffers. Close the connection."
            )
            raise FrameError(msg)
        return prefix

    @property
    def head_size(self) -> int:
        """Return how many bytes follow the prefix before the body."""
        return self.meta_size + 8 * self.buffer_count

    @property
    def body_in_head(self) -> bool:
        """Tell whether the body is small enough to be received with the head."""
        return self.body_size <= _SMALL

    def split(self, head: memoryview) -> tuple[dict[str, object], tuple[BufferSize, ...]]:
        """Take a head apart into the message and the lengths of the buffers.

        Raises:
            FrameError: The message is not a JSON object.
        """
        table = 8 * self.buffer_count
        lengths = struct.unpack(f"!{self.buffer_count}Q", head[:table])
        sizes = tuple(BufferSize(n & ~_IS_BYTES, is_bytes=n >= _IS_BYTES) for n in lengths)
        try:
            meta = json.loads(bytes(head[table : table + self.meta_size])) if self.meta_size else {}
        except ValueError as error:
            msg = f"The peer sent a frame whose message is not JSON: {error}."
            raise FrameError(msg) from error
        if not isinstance(meta, dict):
            msg = "The peer sent a frame whose message is not a JSON object."
            raise FrameError(msg)
        return meta, sizes


def allocate(size: int) -> bytearray | mmap.mmap:
    """Return writable memory for a buffer of `size` bytes.

    Raises:
        FrameError: There is not so much memory.
    """
    if size < _MAPPED:
        return bytearray(size)
    try:
        # Private, so that it has huge pages and a forked child gets a copy of its own.
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError, ValueError) as error:
        msg = f"The peer announces {size} bytes, for which there is no memory: {error}."
        raise FrameError(msg) from error
    memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def allocate_bytes(size: int) -> tuple[bytes, memoryview]:
    """Return a large `bytes` object that nobody has seen yet, and a view to write its content.

    Raises:
        FrameError: There is not so much memory.
    """
    try:
        made = bytes(size)
    except (MemoryError, OverflowError) as error:
        msg = f"The peer announces {size} bytes, for which there is no memory."
        raise FrameError(msg) from error
    # CPython keeps the content behind the object's head, with one zero byte at its end.
    ctypes = importlib.import_module("ctypes")
    place = id(made) + bytes.__basicsize__ - 1
    return made, memoryview((ctypes.c_char * size).from_address(place)).cast("B")


def encode(frame: Frame) -> list[Buffer]:
    """Return the pieces to write for a frame, in order; large buffers are not copied."""
    meta = json.dumps(frame.meta, separators=(",", ":")).encode() if frame.meta else b""
    body = memoryview(frame.body).cast("B") if frame.body else b""
    views = [memoryview(buffer).cast("B") for buffer in frame.buffers]
    sizes = b""
    if views:
        marks = [_IS_BYTES if type(buffer) is bytes else 0 for buffer in frame.buffers]
        lengths = [len(view) | mark for view, mark in zip(views, marks, strict=True)]
        sizes = struct.pack(f"!{len(views)}Q", *lengths)
    prefix = _PREFIX.pack(frame.kind, len(meta), len(views), len(body))
    if len(body) <= _SMALL:
        return [b"".join((prefix, sizes, meta, body)), *(v for v in views if len(v))]
    return [b"".join((prefix, sizes, meta)), body, *(v for v in views if len(v))]


def encode_head(kind: int, meta: dict[str, object], body_size: int) -> bytes:
    """Return the beginning of a frame without buffers, whose body the caller sends itself."""
    raw = json.dumps(meta, separators=(",", ":")).encode()
    return _PREFIX.pack(kind, len(raw), 0, body_size) + raw


def pieces_size(pieces: Sequence[Buffer]) -> int:
    """Return how many bytes the pieces hold together."""
    return sum(len(piece) for piece in pieces)


def unsent(pieces: Sequence[Buffer], sent: int) -> Iterator[Buffer]:
    """Yield what is left of the pieces after `sent` bytes have gone."""
    for piece in pieces:
        if sent >= len(piece):
            sent -= len(piece)
        elif sent:
            yield memoryview(piece)[sent:]
            sent = 0
        else:
            yield piece


def send_pieces(sock: socket.socket, pieces: Sequence[Buffer]) -> None:
    """Write all pieces to a blocking socket.

    Raises:
        OSError: The peer is gone.
    """
    if len(pieces) == 1:
        sock.sendall(pieces[0])
        return
    rest = list(pieces)
    while rest:
        sent = sock.sendmsg(rest[:_MAX_PIECES])
        rest = list(unsent(rest, sent))


def send(sock: socket.socket, frame: Frame) -> None:
    """Write one frame to a blocking socket.

    Raises:
        OSError: The peer is gone.
    """
    send_pieces(sock, encode(frame))


def _fill(sock: socket.socket, view: memoryview) -> bool:
    """Receive until `view` is full; return False when the peer closed before the first byte."""
    done, size = 0, len(view)
    while done < size:
        count = sock.recv_into(view[done:], size - done, socket.MSG_WAITALL)
        if count == 0:
            if done == 0:
                return False
            msg = "The peer closed the connection in the middle of a frame."
            raise ConnectionResetError(msg)
        done += count
    return True


def _must_fill(sock: socket.socket, view: memoryview) -> None:
    if len(view) and not _fill(sock, view):
        msg = "The peer closed the connection in the middle of a frame."
        raise ConnectionResetError(msg)


def receive(sock: socket.socket) -> Frame | None:
    """Read one frame from a blocking socket, never a byte more.

    Returns:
        The frame, or None when the peer closed the connection between two frames.

    Raises:
        OSError: The connection broke, or ended within a frame.
        FrameError: The bytes are not a frame.
    """
    raw = bytearray(PREFIX_SIZE)
    if not _fill(sock, memoryview(raw)):
        return None
    prefix = Prefix.parse(raw)
    head_size = prefix.head_size
    inline = prefix.body_size if prefix.body_in_head else 0
    head = memoryview(bytearray(head_size + inline))
    _must_fill(sock, head)
    meta, sizes = prefix.split(head)
    body: Buffer = head[head_size:]
    if not prefix.body_in_head:
        body = allocate(prefix.body_size)
        _must_fill(sock, memoryview(body))
    buffers = []
    for size in sizes:
        memory, view = size.allocate()
        _must_fill(sock, view)
        buffers.append(memory)
    return Frame(prefix.kind, meta, body, buffers)
