"""The messages of a data channel: a fixed head, then the payload.

All numbers are big-endian: length of the head (u32, always 116), message type (32 bytes, padded),
schema version (u32), date of creation (u64, ms), sequence number (i64), flags (u64), message id (16
bytes, lower half first), SHA-256 of the payload, payload type (u32), then payload length (u32) and
payload. Source: the public repositories of amazon-ssm-agent and session-manager-plugin.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

INPUT: Final = b"input_stream_data".ljust(32)
OUTPUT: Final = b"output_stream_data".ljust(32)
ACKNOWLEDGE: Final = b"acknowledge".ljust(32)
CLOSED: Final = b"channel_closed".ljust(32)
PAUSE: Final = b"pause_publication".ljust(32)
START: Final = b"start_publication".ljust(32)

# What agent and plugin put into one message; nothing public says that the gateway passes on more.
LONGEST_PAYLOAD: Final = 1024

_HEAD = struct.Struct(">I32sIQqQQQ32sII")
_HEAD_LENGTH = 116
_PAYLOAD_AT = _HEAD.size
_ACKNOWLEDGE_FLAGS = 3
_SEQUENCE = b'AcknowledgedMessageSequenceNumber":'
_ACKNOWLEDGEMENT = (
    '{{"AcknowledgedMessageType":"{}","AcknowledgedMessageId":"{}-{}-{}-{}-{}",'
    '"AcknowledgedMessageSequenceNumber":{},"IsSequentialMessage":true}}'
).format


class PayloadType(IntEnum):
    """What a stream message carries."""

    DATA = 1
    HANDSHAKE_REQUEST = 5
    HANDSHAKE_RESPONSE = 6
    HANDSHAKE_COMPLETE = 7
    FLAG = 10


class Flag(IntEnum):
    """What a message of type FLAG says."""

    DISCONNECT_TO_PORT = 1
    TERMINATE_SESSION = 2
    CONNECT_TO_PORT_ERROR = 3


class DamagedMessageError(Exception):
    """Bytes that are no message, or whose digest is wrong."""


@dataclass(frozen=True, slots=True)
class Message:
    """Hold one message that has come.

    Attributes:
        kind: One of the constants of this module, or another type as it came.
        sequence: Its number; only of meaning in stream messages.
        id: Its id as it was sent: lower half, upper half.
        payload_type: What its payload is, for stream messages.
        payload: The payload.
    """

    kind: bytes
    sequence: int
    id: tuple[int, int]
    payload_type: int
    payload: bytes


def parse(raw: bytes) -> Message:
    """Take a message apart.

    Raises:
        DamagedMessageError: It is shorter than it says, or its payload does not have its digest.
    """
    try:
        head = _HEAD.unpack_from(raw)
    except struct.error as error:
        msg = f"{len(raw)} bytes are no message"
        raise DamagedMessageError(msg) from error
    length, kind, _, _, sequence, _, low, high, digest, payload_type, size = head
    start = _PAYLOAD_AT
    if length != _HEAD_LENGTH:  # the payload's length follows wherever the head says that it ends
        start = length + 4
        size = int.from_bytes(raw[length:start], "big")
    payload = raw[start : start + size]
    if len(payload) != size:
        msg = f"a message has {len(payload)} bytes of payload and says {size}"
        raise DamagedMessageError(msg)
    if kind not in _KINDS:
        kind = kind.rstrip(b" \0").ljust(32)
    if size and kind not in _UNSIGNED and hashlib.sha256(payload).digest() != digest:
        msg = "a message's payload does not have its digest"
        raise DamagedMessageError(msg)
    return Message(kind, sequence, (low, high), payload_type, payload)


_UNSIGNED = frozenset({PAUSE, START})  # from the gateway itself, without digests
_KINDS = frozenset({INPUT, OUTPUT, ACKNOWLEDGE, CLOSED, PAUSE, START})


class Stamp:
    """Pack messages of one sender: ids are unique and unguessable, at the cost of an addition."""

    def __init__(self) -> None:
        """Draw the random part of all ids."""
        random = os.urandom(16)
        # Version 4 and variant 1 of RFC 9562; the lowest 40 bits count.
        self._high = (int.from_bytes(random[:8], "big") & ~0xF000) | 0x4000
        low = int.from_bytes(random[8:], "big") & ((1 << 62) - 1) & ~((1 << 40) - 1)
        self._low = low | (1 << 63)
        self._date = 0

    def pack(
        self,
        kind: bytes,
        payload: bytes,
        *,
        sequence: int = 0,
        payload_type: int = 0,
        flags: int = 0,
    ) -> bytes:
        """Return a message with a new id and the time of now."""
        self._low += 1
        return (
            _HEAD.pack(
                _HEAD_LENGTH,
                kind,
                1,
                int(time.time() * 1000),
                sequence,
                flags,
                self._low,
                self._high,
                hashlib.sha256(payload).digest(),
                payload_type,
                len(payload),
            )
            + payload
        )

    def acknowledge(self, message: Message) -> bytes:
        """Return the message that acknowledges a stream message."""
        low, high = message.id
        name = f"{high:016x}{low:016x}"
        text = _ACKNOWLEDGEMENT(
            message.kind.rstrip().decode(),
            name[:8],
            name[8:12],
            name[12:16],
            name[16:20],
            name[20:],
            message.sequence,
        )
        return self.pack(ACKNOWLEDGE, text.encode(), flags=_ACKNOWLEDGE_FLAGS)


def acknowledged(payload: bytes) -> int:
    """Return the sequence number that an acknowledgement is about.

    Raises:
        DamagedMessageError: It does not say any.
    """
    start = payload.find(_SEQUENCE) + len(_SEQUENCE)
    number = payload[start : payload.find(b",", start)].strip()
    if number.isdigit():  # as Go and Python write it
        return int(number)
    try:
        return int(json.loads(payload)["AcknowledgedMessageSequenceNumber"])
    except (ValueError, KeyError, TypeError) as error:
        msg = "an acknowledgement does not say of what"
        raise DamagedMessageError(msg) from error
