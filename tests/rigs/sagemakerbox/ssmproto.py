"""Framing of the Session Manager data channel: binary messages, JSON acknowledgements.

Layout (big endian): header length u32 = 116, message type 32 bytes padded with spaces, schema
version u32, created date u64 (ms), sequence number i64, flags u64, message id 16 bytes (low half
first), SHA-256 of the payload 32 bytes, payload type u32, payload length u32, payload. Source: the
public amazon-ssm-agent and session-manager-plugin repositories (message/messageparser, contracts).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
import time
from collections.abc import Awaitable, Callable, Iterator

Send = Callable[[bytes], Awaitable[None]]

HEADER = struct.Struct(">I32sIQqQ16s32sII")
HEADER_BYTES = 116
INPUT, OUTPUT, ACK = "input_stream_data", "output_stream_data", "acknowledge"
CLOSED, PAUSE, START = "channel_closed", "pause_publication", "start_publication"
T_OUTPUT, T_HANDSHAKE_REQUEST, T_HANDSHAKE_RESPONSE = 1, 5, 6
T_HANDSHAKE_COMPLETE, T_FLAG = 7, 10
FLAG_DISCONNECT_TO_PORT, FLAG_TERMINATE_SESSION, FLAG_CONNECT_TO_PORT_ERROR = 1, 2, 3
PAYLOAD_MAX = 1024  # what agent and plugin put into one stream message
_ACK_FLAGS = 3
_SIGNS = (PAUSE, START)  # the gateway's own two, which carry no digest
_KINDS = {kind: kind.encode().ljust(32) for kind in (INPUT, OUTPUT, ACK, CLOSED, PAUSE, START)}
_NAMES = {name: kind for kind, name in _KINDS.items()}
_NUMBER = b'SequenceNumber":'


def pack(
    kind: str,
    payload: bytes = b"",
    seq: int = 0,
    payload_type: int = 0,
    flags: int = 0,
) -> bytes:
    """Return a message as bytes."""
    digest = bytes(32) if kind in _SIGNS else hashlib.sha256(payload).digest()
    now = int(time.time() * 1000)
    name, mid, size = _KINDS[kind], os.urandom(16), len(payload)
    head = HEADER.pack(HEADER_BYTES, name, 1, now, seq, flags, mid, digest, payload_type, size)
    return head + payload


class Message:
    """Hold a message that has come.

    Raises:
        ValueError: It is damaged.
    """

    __slots__ = ("flags", "kind", "mid", "payload", "payload_type", "seq")

    def __init__(self, raw: bytes) -> None:
        """Read it."""
        fields = HEADER.unpack_from(raw)
        head, kind, _, _, self.seq, self.flags, self.mid, digest, self.payload_type, size = fields
        self.kind = _NAMES.get(kind) or kind.rstrip(b" \0").decode()
        self.payload = raw[HEADER.size : HEADER.size + size]
        checked = size and self.kind not in _SIGNS
        if (
            head != HEADER_BYTES
            or len(self.payload) != size
            or (checked and hashlib.sha256(self.payload).digest() != digest)
        ):
            message = "damaged message"
            raise ValueError(message)

    def ack(self) -> bytes:
        """Return what acknowledges it, in the words of the agent."""
        name = (self.mid[8:] + self.mid[:8]).hex()
        name = f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"
        told = (
            f'{{"AcknowledgedMessageType":"{self.kind}","AcknowledgedMessageId":"{name}",'
            f'"AcknowledgedMessageSequenceNumber":{self.seq},"IsSequentialMessage":true}}'
        )
        return pack(ACK, told.encode(), flags=_ACK_FLAGS)

    def acknowledged(self) -> int:
        """Return the number that this acknowledgement is about."""
        start = self.payload.find(_NUMBER) + len(_NUMBER)
        return int(self.payload[start : self.payload.find(b",", start)])


class Sender:
    """Number a client's messages, keep them until acknowledged, and send late ones again."""

    def __init__(
        self,
        send: Send,
        kind: str,
        *,
        window: int = 512,
        resend_s: float = 0.3,
    ) -> None:
        """Have sent nothing.

        Args:
            send: Sends a message, or loses it.
            kind: What the messages are.
            window: How many may be unacknowledged.
            resend_s: After how long a message is late.
        """
        self.unacked: dict[int, tuple[float, bytes]] = {}
        self.running = asyncio.Event()
        self.running.set()
        self._send = send
        self._kind = kind
        self._resend_s = resend_s
        self._seq = 0
        self._room = asyncio.Semaphore(window)

    async def put(self, payload: bytes, payload_type: int = T_OUTPUT) -> None:
        """Send a payload; waits while too many are unacknowledged."""
        await self.running.wait()
        await self._room.acquire()
        first = 1 if self._seq == 0 else 0
        raw = pack(self._kind, payload, self._seq, payload_type, flags=first)
        self.unacked[self._seq] = (time.monotonic(), raw)
        self._seq += 1
        await self._send(raw)

    def acked(self, message: Message) -> None:
        """Take an acknowledgement."""
        if self.unacked.pop(message.acknowledged(), None) is not None:
            self._room.release()

    async def resend_forever(self) -> None:
        """Send late messages again, until cancelled."""
        while True:
            await asyncio.sleep(self._resend_s / 3)
            if not self.running.is_set():
                continue
            now = time.monotonic()
            for seq, (sent, raw) in list(self.unacked.items()):
                if now - sent > self._resend_s and seq in self.unacked:
                    self.unacked[seq] = (now, raw)
                    await self._send(raw)


class Outbox:
    """Do the same for the agent, which looks only at the oldest message, every 100 ms."""

    def __init__(self, *, window: int = 512) -> None:
        """Have sent nothing; `window` messages may be unacknowledged."""
        self.unacked: dict[int, tuple[float, bytes]] = {}
        self._window = window
        self._seq = 0
        self._round_trip_s, self._variation_s = 0.1, 0.0

    @property
    def is_full(self) -> bool:
        """Tell whether the port has to wait."""
        return len(self.unacked) >= self._window

    def put(self, payload: bytes, payload_type: int = T_OUTPUT) -> bytes:
        """Number a payload, and return its message."""
        first = 1 if self._seq == 0 else 0
        raw = pack(OUTPUT, payload, self._seq, payload_type, flags=first)
        self.unacked[self._seq] = (time.monotonic(), raw)
        self._seq += 1
        return raw

    def acked(self, seq: int) -> None:
        """Take an acknowledgement."""
        sent = self.unacked.pop(seq, None)
        if sent is not None:
            round_trip_s = time.monotonic() - sent[0]
            self._variation_s += (abs(self._round_trip_s - round_trip_s) - self._variation_s) / 4
            self._round_trip_s += (round_trip_s - self._round_trip_s) / 8

    def late(self) -> bytes | None:
        """Return the oldest message if it is late."""
        late_s = min(1.0, self._round_trip_s + max(0.01, 4 * self._variation_s))
        for seq, (sent, raw) in self.unacked.items():
            if time.monotonic() - sent > late_s:
                self.unacked[seq] = (time.monotonic(), raw)
                return raw
            break
        return None


class Receiver:
    """Give incoming stream messages in order, each once, whatever the network did."""

    def __init__(self) -> None:
        """Have received nothing."""
        self.next = 0
        self._held: dict[int, Message] = {}

    def take(self, message: Message) -> Iterator[Message]:
        """Take a message, and give those whose turn it is."""
        if message.seq >= self.next:
            self._held[message.seq] = message
        while self.next in self._held:
            yield self._held.pop(self.next)
            self.next += 1
