"""One Session Manager session as amazon-ssm-agent 3.3 behaves in it (its source, agent/session/**).

The agent's half outlives the client's websocket, as on AWS: a client that vanishes leaves the agent
paused, ResumeSession brings a new token, numbering and unacknowledged messages go on. Behaviour
that bites real clients is played: data before HandshakeComplete is acknowledged and thrown away;
data before the port is dialled is not acknowledged, so it must be sent again; only the oldest
unacknowledged message is sent again; with the fault `acks_once`, what it has seen before is not
acknowledged again (without, lost acknowledgements do no harm); a refused port closes the channel
with a text in Output after the handshake succeeded; AWS-StartPortForwardingSession speaks smux v1
when the client says 1.1.70 or later.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.rigs.sagemakerbox import ssmproto as p
from tests.rigs.sagemakerbox.smux import Smux

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.rigs.sagemakerbox.gateway import Connection

AGENT_VERSION = "3.3.3572.0"
_MUX_SINCE = "1.1.70"
_DRAIN_S = 2.0
_IDLE_S = 1200.0
_RESEND_S = 0.1
_DIAL_S = 5.0
_MOST_WAITING = 1 << 20
_PIECE = 1 << 16
_FORWARDING = "AWS-StartPortForwardingSession"
_KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/1"


def older(this: str, other: str) -> bool:
    """Compare versions as the agent does: by component, as numbers where both are, else as text."""
    ours, theirs = this.split("."), other.split(".")
    for one, two in zip(ours, theirs, strict=False):
        if one != two:
            numbers = one.isdigit() and two.isdigit()
            return int(one) < int(two) if numbers else one < two
    return len(ours) < len(theirs)


class Session:
    """Be the agent's half of a session.

    Attributes:
        tokens: Those that may open its data channel.
        connection: The client's websocket; None while it has none.
        info: What tests want to know of it.
        tasks: What goes on for it.
    """

    def __init__(
        self,
        identity: str,
        target: str,
        document: str,
        way_in: str,
        port: int,
        local_port: str,
        faults: Mapping[str, float],
        forget: Callable[[str], None],
    ) -> None:
        """Wait for a client.

        Args:
            identity: The session's id.
            target: What was asked for.
            document: What is done with it.
            way_in: The socket that leads to ports of the container.
            port: The port there.
            local_port: What the client says that its own port is.
            faults: What goes wrong.
            forget: Is told the id at the end.
        """
        self.id, self.target, self.document = identity, target, document
        self.tokens: set[str] = set()
        self.connection: Connection | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        self._way_in, self._port, self._local_port = way_in, port, local_port
        self._faults, self._forget = faults, forget
        self._over = False
        self._outbox = p.Outbox()
        self._may_send = asyncio.Event()
        self._receiver = p.Receiver()
        self._stage = "new"  # then handshake, complete, connected
        self._writer: asyncio.StreamWriter | None = None
        self._to_port: list[bytes] = []
        self._early: list[p.Message] = []
        self._for_mux: asyncio.Queue[bytes] = asyncio.Queue()
        self._mux: Smux | None = None
        self.info: dict[str, Any] = {
            "SessionId": identity,
            "Target": target,
            "DocumentName": document,
            "Attached": 0,
            "Signed": None,
            "ClientVersion": None,
            "Received": 0,
            "Discarded": 0,
            "Refused": 0,
            "Resent": 0,
            "Paused": False,
            "Unasked": 0,  # came while the client was to be quiet
            "Expired": 0,  # tokens that were refused
            "Pings": 0,
        }

    def _begin(self, work: Any) -> None:
        self.tasks.append(asyncio.create_task(work))

    # -- towards the client ---------------------------------------------------------------------

    def _send(self, raw: bytes) -> None:
        if self.connection is not None:
            self.connection.send(raw)

    def _flush(self) -> None:
        if self.connection is not None:
            self.connection.flush()

    def _put(self, payload: bytes, payload_type: int = p.T_OUTPUT) -> None:
        raw = self._outbox.put(payload, payload_type)
        if not self._paused:
            self._send(raw)
        self._set_whether_to_read()

    @property
    def _paused(self) -> bool:
        return self.connection is None

    def _set_whether_to_read(self) -> None:
        """Let output go on, or wait, as there is room for it and somebody to take it."""
        if self._paused or self._outbox.is_full:
            self._may_send.clear()
        else:
            self._may_send.set()

    async def _resend_forever(self) -> None:
        while True:
            await asyncio.sleep(_RESEND_S)
            if not self._paused and (raw := self._outbox.late()) is not None:
                self._send(raw)
                self._flush()

    async def close(self, output: str = "") -> None:
        """End the session, and tell the client why."""
        if self._over:
            return
        end = time.monotonic() + _DRAIN_S  # as long as the agent waits for acknowledgements
        while self._outbox.unacked and self.connection is not None and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self._over = True
        told = {
            "MessageType": p.CLOSED,
            "SchemaVersion": 1,
            "SessionId": self.id,
            "DestinationId": self.target,
            "CreatedDate": str(int(time.time() * 1000)),
            "Output": output,
        }
        if self.connection is not None:
            self.connection.say(p.pack(p.CLOSED, json.dumps(told).encode()))
        self._drop()

    def _drop(self) -> None:
        self._over = True
        self._forget(self.id)
        if self._writer is not None:
            self._writer.close()
        if self._mux is not None:
            self._mux.close()
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        if self.connection is not None:
            self.connection.transport.close()

    def cut(self) -> bool:
        """Break the client's connection, and tell whether there was one."""
        if self.connection is None:
            return False
        self.connection.transport.abort()
        return True

    def described(self) -> dict[str, Any]:
        """Return what tests want to know of it now."""
        now = {"Connected": self.connection is not None, "Full": self._outbox.is_full}
        return self.info | now

    def pause(self, *, paused: bool) -> None:
        """Have the gateway tell the client to be quiet for a while, or to go on."""
        if self.connection is not None:
            self.info["Paused"] = paused
            self.connection.say(p.pack(p.PAUSE if paused else p.START))

    # -- the client's websockets, one after the other -------------------------------------------

    def attached(self, connection: Connection) -> None:
        """Talk to a client that has shown its token."""
        if self.connection is not None:
            self.connection.transport.close()
        self.connection = connection
        self.info["Attached"] += 1
        connection.say(p.pack(p.START))
        if self._stage == "new":
            self._stage = "handshake"
            self._begin(self._resend_forever())
            self._put(self._handshake(), p.T_HANDSHAKE_REQUEST)
        self._set_whether_to_read()

    def detached(self, connection: Connection) -> None:
        """Wait for a resume, as the client has gone without a word."""
        if self.connection is connection:
            self.connection = None
            self._set_whether_to_read()
            if not self._over:
                self._begin(self._expire())

    def _handshake(self) -> bytes:
        properties = {"portNumber": str(self._port)}
        if self.document == _FORWARDING:
            properties |= {"type": "LocalPortForwarding", "localPortNumber": self._local_port}
        asked: list[dict[str, Any]] = [
            {
                "ActionType": "SessionType",
                "ActionParameters": {"SessionType": "Port", "Properties": properties},
            }
        ]
        if self._faults.get("kms"):
            parameters = {"KMSKeyId": _KMS_KEY}
            asked.append({"ActionType": "KMSEncryption", "ActionParameters": parameters})
        return json.dumps({"AgentVersion": AGENT_VERSION, "RequestedClientActions": asked}).encode()

    async def _expire(self) -> None:
        attached = self.info["Attached"]
        await asyncio.sleep(self._faults.get("idle_s", _IDLE_S))
        if self.info["Attached"] == attached:
            self._drop()

    def received(self, raw: bytes) -> None:
        """Take a message of the client."""
        message = p.Message(raw)
        if message.kind == p.ACK:
            self._outbox.acked(message.acknowledged())
            self._set_whether_to_read()
        elif message.kind == p.INPUT:
            self._take(message)

    def _take(self, message: p.Message) -> None:
        if self.info["Paused"]:
            self.info["Unasked"] += 1
        if message.seq < self._receiver.next:
            self.info["Resent"] += 1
            if self._faults.get("acks_once"):
                return
        elif self._stage == "complete" and not self._faults.get("dial_s"):
            self._early.append(message)  # a dial to here is over long before a round trip is
            return
        elif self._stage == "complete" and message.seq == self._receiver.next:
            self.info["Refused"] += 1  # unacknowledged, since the port is not reached yet
            return
        self._send(message.ack())
        for each in self._receiver.take(message):
            self._handle(each)

    def _handle(self, message: p.Message) -> None:
        self.info["Received"] += len(message.payload)
        if message.payload_type == p.T_HANDSHAKE_RESPONSE:
            self._agree(json.loads(message.payload))
        elif self._stage == "handshake":
            self.info["Discarded"] += len(message.payload)
        elif message.payload_type == p.T_FLAG:
            flag = int.from_bytes(message.payload, "big")
            if flag == p.FLAG_TERMINATE_SESSION:
                self._begin(self.close())
            elif flag == p.FLAG_DISCONNECT_TO_PORT and self._writer is not None:
                self.write_to_port()
                self._writer.close()
        elif message.payload_type == p.T_OUTPUT:
            if self._mux is not None:
                self._for_mux.put_nowait(message.payload)
            elif self._writer is not None:
                self._to_port.append(message.payload)

    def write_to_port(self) -> None:
        """Write what messages have brought."""
        if self._writer is not None and self._to_port:
            if not self._writer.is_closing():
                self._writer.write(b"".join(self._to_port))
            self._to_port.clear()

    @property
    def is_behind(self) -> bool:
        """Tell whether the port has not taken yet what was sent to it."""
        writer = self._writer
        return writer is not None and writer.transport.get_write_buffer_size() > _MOST_WAITING

    async def caught_up(self) -> None:
        """Wait until the port has taken what was sent to it."""
        if self._writer is not None:
            with suppress(ConnectionError):
                await self._writer.drain()

    def _agree(self, answer: Mapping[str, Any]) -> None:
        self.info["ClientVersion"] = answer.get("ClientVersion")
        for action in answer["ProcessedClientActions"]:
            if action["ActionStatus"] != 1:
                said = f"{action['ActionType']} failed on client with status"
                why = f"{said} {action['ActionStatus']} error: {action.get('Error', '')}"
                self._begin(self.close(why))
                return
        told = {"HandshakeTimeToComplete": 1000000, "CustomerMessage": ""}
        self._put(json.dumps(told).encode(), p.T_HANDSHAKE_COMPLETE)
        self._stage = "complete"
        self._begin(self._serve_port())

    # -- towards the port -----------------------------------------------------------------------

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        there = await asyncio.to_thread(_dial, self._way_in, self._port)
        return await asyncio.open_connection(sock=there, limit=_PIECE)

    async def _serve_port(self) -> None:
        await asyncio.sleep(self._faults.get("dial_s", 0))
        version = self.info["ClientVersion"] or "0"
        if self.document == _FORWARDING and not older(version, _MUX_SINCE):
            self._mux = Smux(self._dial, self._output, self._flag, self.close)
            self._is_connected()
            while True:
                await self._mux.feed(await self._for_mux.get())
        try:
            reader, self._writer = await self._dial()
        except OSError as error:
            await self.close(f"Unable to connect to specified port: {error}")
            return
        self._is_connected()
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                await self._output(data)
        await self.close()

    def _is_connected(self) -> None:
        self._stage = "connected"
        for message in self._early:
            self._take(message)
        self.write_to_port()
        self._flush()

    async def _flag(self, flag: int) -> None:
        self._put(flag.to_bytes(4, "big"), p.T_FLAG)
        self._flush()

    async def _output(self, data: bytes) -> None:
        pace_s = self._faults.get("pace_ms", 0) / 1000
        for start in range(0, len(data), p.PAYLOAD_MAX):
            if not self._may_send.is_set():
                self._flush()
                await self._may_send.wait()
            self._put(data[start : start + p.PAYLOAD_MAX])
            if pace_s:  # the agent sleeps 1 ms after every 1,024 bytes
                self._flush()
                await asyncio.sleep(pace_s)
        self._flush()


def _dial(way_in: str, port: int) -> socket.socket:
    """Have a connection to a port made within the container."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_DIAL_S)
        asking.connect(way_in)
        asking.sendall(f"{port}\n".encode())
        said, descriptors, _, _ = socket.recv_fds(asking, 256, 1)
    if not descriptors:
        reason = said.decode(errors="replace").strip()
        message = f"dial tcp 127.0.0.1:{port}: connect: connection {reason}"
        raise ConnectionRefusedError(message)
    return socket.socket(fileno=descriptors[0])
