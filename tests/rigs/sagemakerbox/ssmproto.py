"""Framing of the Session Manager data channel: binary messages, JSON acknowledgements.

Layout (big endian): header length u32 = 116, message type 32 bytes padded with spaces, schema
version u32, created date u64 (ms), sequence number i64, flags u64, message id 16 bytes (low half
first), SHA-256 of the payload 32 bytes, payload type u32, payload length u32, payload. Source: the
public amazon-ssm-agent and session-manager-plugin repositories (message/messageparser, contracts).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator

Send = Callable[[bytes], Awaitable[None]]

HEADER = struct.Struct(">I32sIQqQ16s32sI")
HEADER_BYTES = 116
INPUT, OUTPUT, ACK = "input_stream_data", "output_stream_data", "acknowledge"
CLOSED, PAUSE, START = "channel_closed", "pause_publication", "start_publication"
T_OUTPUT, T_HANDSHAKE_REQUEST, T_HANDSHAKE_RESPONSE = 1, 5, 6
T_HANDSHAKE_COMPLETE, T_FLAG = 7, 10
FLAG_DISCONNECT_TO_PORT, FLAG_TERMINATE_SESSION, FLAG_CONNECT_TO_PORT_ERROR = 1, 2, 3
PAYLOAD_MAX = 1024  # what agent and plugin put into one stream message
_ACK_FLAGS = 3
_SIGNS = (PAUSE, START)  # the gateway's own two, which carry no digest


def pack(
    kind: str,
    payload: bytes = b"",
    seq: int = 0,
    payload_type: int = 0,
    flags: int = 0,
) -> bytes:
    """Return a message as bytes."""
    mid = uuid.uuid4().bytes
    digest = bytes(32) if kind in _SIGNS else hashlib.sha256(payload).digest()
    now = int(time.time() * 1000)
    name, swapped = kind.encode().ljust(32), mid[8:] + mid[:8]
    head = HEADER.pack(HEADER_BYTES, name, 1, now, seq, flags, swapped, digest, payload_type)
    return head + struct.pack(">I", len(payload)) + payload


class Message:
    """Hold a message that has come.

    Raises:
        ValueError: It is damaged.
    """

    __slots__ = ("flags", "id", "kind", "payload", "payload_type", "seq")

    def __init__(self, raw: bytes) -> None:
        """Read it."""
        fields = HEADER.unpack_from(raw)
        head, kind, _, _, self.seq, self.flags, mid, digest, self.payload_type = fields
        (size,) = struct.unpack_from(">I", raw, head)
        self.kind = kind.rstrip(b" \0").decode()
        self.id = uuid.UUID(bytes=mid[8:] + mid[:8])
        self.payload = raw[head + 4 : head + 4 + size]
        checked = size and self.kind not in _SIGNS
        if len(self.payload) != size or (
            checked and hashlib.sha256(self.payload).digest() != digest
        ):
            message = "damaged message"
            raise ValueError(message)

    def ack(self) -> bytes:
        """Return what acknowledges it."""
        told = {
            "AcknowledgedMessageType": self.kind,
            "AcknowledgedMessageId": str(self.id),
            "AcknowledgedMessageSequenceNumber": self.seq,
            "IsSequentialMessage": True,
        }
        return pack(ACK, json.dumps(told).encode(), flags=_ACK_FLAGS)


class Sender:
    """Number outgoing stream messages, keep them until acknowledged, and send late ones again."""

    def __init__(
        self,
        send: Send,
        kind: str,
        *,
        window: int = 512,
        resend_s: float = 0.3,
        head_only: bool = False,
    ) -> None:
        """Have sent nothing.

        Args:
            send: Sends a message, or loses it.
            kind: What the messages are.
            window: How many may be unacknowledged.
            resend_s: After how long a message is late.
            head_only: Look only at the oldest, as AWS's agent and plugin do.
        """
        self.unacked: dict[int, tuple[float, bytes]] = {}
        self.running = asyncio.Event()
        self.running.set()
        self._send = send
        self._kind = kind
        self._resend_s = resend_s
        self._head_only = head_only
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
        seq = json.loads(message.payload)["AcknowledgedMessageSequenceNumber"]
        if self.unacked.pop(seq, None) is not None:
            self._room.release()

    async def resend_forever(self) -> None:
        """Send late messages again, until cancelled."""
        while True:
            await asyncio.sleep(self._resend_s / 3)
            if not self.running.is_set():
                continue
            now = time.monotonic()
            for seq, (sent, raw) in list(self.unacked.items())[: 1 if self._head_only else None]:
                if now - sent > self._resend_s and seq in self.unacked:
                    self.unacked[seq] = (now, raw)
                    await self._send(raw)


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
