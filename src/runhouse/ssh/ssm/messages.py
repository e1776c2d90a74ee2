"""The messages of a data channel: a fixed head, then the payload.

All numbers are big-endian: length of the head (u32, always 116), message type (32 bytes, padded),
schema version (u32), date of creation (u64, ms), sequence number (i64), flags (u64), message id (16
bytes, lower half first), SHA-256 of the payload, payload type (u32), then payload length (u32) and
payload. Source: the public repositories of amazon-ssm-agent and session-manager-plugin.
"""

from __future__ import annotations

import json
import os
import struct
import time
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

INPUT: Final = b"input_stream_data".ljust(32)
OUTPUT: Final = b"output_stream_data".ljust(32)
ACKNOWLEDGE: Final = b"acknowledge".ljust(32)
CLOSED: Final = b"channel_closed".ljust(32)
PAUSE: Final = b"pause_publication".ljust(32)
START: Final = b"start_publication".ljust(32)

# What agent and plugin put into one message; nothing public says that the gateway passes on more.
LONGEST_PAYLOAD: Final = 1024

_HEAD = struct.Struct(">I32sIQqQ16s32sII")
_HEAD_LENGTH = 116
_PAYLOAD_AT = _HEAD.size
_ACKNOWLEDGE_FLAGS = 3
_SEQUENCE = b'AcknowledgedMessageSequenceNumber":'


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


class Message(NamedTuple):
    """Hold one message that has come.

    Attributes:
        kind: One of the constants of this module, or another type as it came.
        sequence: Its number; only of meaning in stream messages.
        id: Its id as it was sent, lower half first.
        payload_type: What its payload is, for stream messages.
        payload: The payload.
    """

    kind: bytes
    sequence: int
    id: bytes
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
    length, kind, _, _, sequence, _, name, digest, payload_type, size = head
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
    if size and sha256(payload).digest() != digest and kind not in _UNSIGNED:
        msg = "a message's payload does not have its digest"
        raise DamagedMessageError(msg)
    return Message(kind, sequence, name, payload_type, payload)


_UNSIGNED = frozenset({PAUSE, START})  # from the gateway itself, without digests
_KINDS = frozenset({INPUT, OUTPUT, ACKNOWLEDGE, CLOSED, PAUSE, START})


class Stamp:
    """Pack messages of one sender: ids are unique and unguessable, at the cost of an addition."""

    def __init__(self) -> None:
        """Draw the random part of all ids."""
        random = bytearray(os.urandom(16))
        random[0] = random[0] & 0x3F | 0x80  # variant 1 and version 4 of RFC 9562
        random[14] = random[14] & 0x0F | 0x40
        self._prefix, self._suffix = bytes(random[:3]), bytes(random[8:])
        self._count = 0

    def pack(
        self, kind: bytes, payload: bytes, *, sequence: int = 0, payload_type: int = 0
    ) -> bytes:
        """Return a message with a new id and the time of now."""
        (message,) = self.pack_all(kind, [payload], sequence, payload_type)
        return message

    def pack_all(
        self,
        kind: bytes,
        payloads: Iterable[bytes],
        sequence: int = 0,
        payload_type: int = 0,
        flags: int = 0,
    ) -> list[bytes]:
        """Return messages with consecutive numbers, or with number 0 if they have flags."""
        pack, digest = _HEAD.pack, sha256
        prefix, suffix, count = self._prefix, self._suffix, self._count
        date = int(time.time() * 1000)
        step = 0 if flags else 1
        messages = []
        for payload in payloads:
            count += 1
            messages.append(
                pack(
                    _HEAD_LENGTH,
                    kind,
                    1,
                    date,
                    sequence,
                    flags,
                    prefix + count.to_bytes(5, "big") + suffix,
                    digest(payload).digest(),
                    payload_type,
                    len(payload),
                )
                + payload
            )
            sequence += step
        self._count = count
        return messages

    def acknowledge(self, received: Iterable[Message]) -> list[bytes]:
        """Return the messages that acknowledge stream messages."""
        texts = []
        for kind, sequence, name, _, _ in received:
            digits = name.hex()
            texts.append(
                f'{{"AcknowledgedMessageType":"{kind.rstrip().decode()}","AcknowledgedMessageId":"'
                f"{digits[16:24]}-{digits[24:28]}-{digits[28:]}-{digits[:4]}-{digits[4:16]}"
                f'","AcknowledgedMessageSequenceNumber":{sequence},"IsSequentialMessage":true}}'.encode()
            )
        return self.pack_all(ACKNOWLEDGE, texts, flags=_ACKNOWLEDGE_FLAGS)


def number_acknowledged(payload: bytes) -> int:
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
