"""One Session Manager session as amazon-ssm-agent 3.3 behaves in it (its source, agent/session/**).

The agent's half outlives the client's websocket, as on AWS: a client that vanishes leaves the agent
paused, ResumeSession brings a new token, numbering and unacknowledged messages go on. Behaviour
that bites real clients is played: data before HandshakeComplete is acknowledged and thrown away;
data before the port is dialled is not acknowledged, so it must be sent again; only the oldest
unacknowledged message is sent again; a refused port closes the channel with a text in Output after
the handshake succeeded; AWS-StartPortForwardingSession speaks smux v1 when the client says 1.1.70
or later.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.rigs.sagemakerbox import ssmproto as p
from tests.rigs.sagemakerbox.smux import Smux

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

AGENT_VERSION = "3.3.3572.0"
_MUX_SINCE = "1.1.70"
_DRAIN_S = 2.0
_IDLE_S = 1200.0
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
        ws: The client's websocket.
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
        self.ws: web.WebSocketResponse | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        self._way_in, self._port, self._local_port = way_in, port, local_port
        self._faults, self._forget = faults, forget
        self._held: list[bytes] = []
        self._over = False
        self._sender = p.Sender(self._send, p.OUTPUT, head_only=True)
        self._receiver = p.Receiver()
        self._stage = "new"  # then handshake, complete, connected
        self._writer: asyncio.StreamWriter | None = None
        self._mux: Smux | None = None
        self._dialled = asyncio.Event()
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
        }

    def _begin(self, work: Any) -> None:
        self.tasks.append(asyncio.create_task(work))

    # -- towards the client, over a bad network -------------------------------------------------

    async def _send(self, raw: bytes) -> None:
        ws = self.ws
        if ws is None or ws.closed or random.random() < self._faults.get("loss", 0):  # noqa: S311
            return
        if random.random() < self._faults.get("reorder", 0):  # noqa: S311
            self._held.append(raw)
            return
        twice = random.random() < self._faults.get("dup", 0)  # noqa: S311
        with suppress(ConnectionError):  # unacknowledged: sent again after a resume
            for each in [raw, *([raw] if twice else []), *self._held]:
                await ws.send_bytes(each)
            self._held.clear()

    async def close(self, output: str = "") -> None:
        """End the session, and tell the client why."""
        if self._over:
            return
        end = time.monotonic() + _DRAIN_S  # as long as the agent waits for acknowledgements
        while self._sender.unacked and self._is_attached() and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self._over = True
        if self.ws is not None and not self.ws.closed:
            told = {
                "MessageType": p.CLOSED,
                "SchemaVersion": 1,
                "SessionId": self.id,
                "DestinationId": self.target,
                "CreatedDate": str(int(time.time() * 1000)),
                "Output": output,
            }
            with suppress(ConnectionError):
                await self.ws.send_bytes(p.pack(p.CLOSED, json.dumps(told).encode()))
        await self._drop()

    def _is_attached(self) -> bool:
        return self.ws is not None and not self.ws.closed

    async def _drop(self) -> None:
        self._over = True
        self._forget(self.id)
        if self._writer is not None:
            self._writer.close()
        if self._mux is not None:
            self._mux.close()
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        if self.ws is not None and not self.ws.closed:
            await self.ws.close()

    def cut(self) -> bool:
        """Break the client's connection, and tell whether there was one."""
        if self.ws is None or self.ws.closed:
            return False
        transport = self.ws._req.transport if self.ws._req is not None else None
        if transport is not None:
            transport.abort()
        return True

    # -- one websocket of the client ------------------------------------------------------------

    async def serve(self, ws: web.WebSocketResponse) -> None:
        """Talk to a client until its websocket ends."""
        if self.ws is not None and not self.ws.closed:
            await self.ws.close()
        self.ws = ws
        self.info["Attached"] += 1
        await ws.send_bytes(p.pack(p.START))
        self._sender.running.set()
        if self._stage == "new":
            self._stage = "handshake"
            self._begin(self._sender.resend_forever())
            await self._sender.put(self._handshake(), p.T_HANDSHAKE_REQUEST)
        async for frame in ws:
            lost = random.random() < self._faults.get("loss", 0)  # noqa: S311
            if isinstance(frame.data, bytes) and not lost:
                await self._incoming(p.Message(frame.data))
        if self.ws is ws and not self._over:  # gone without a word: paused until a resume
            self._sender.running.clear()
            self._begin(self._expire(ws))

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

    async def _expire(self, ws: web.WebSocketResponse) -> None:
        await asyncio.sleep(self._faults.get("idle_s", _IDLE_S))
        if self.ws is ws:
            await self._drop()

    async def _incoming(self, message: p.Message) -> None:
        if message.kind == p.ACK:
            self._sender.acked(message)
            return
        if message.kind != p.INPUT:
            return
        if message.seq < self._receiver.next:
            self.info["Resent"] += 1
        elif self._stage == "complete":
            if self._faults.get("dial_s"):
                self.info["Refused"] += 1  # unacknowledged, since the port is not reached yet
                return
            await self._dialled.wait()  # a dial to localhost is over long before a round trip is
        await self._send(message.ack())
        for each in self._receiver.take(message):
            await self._handle(each)

    async def _handle(self, message: p.Message) -> None:
        self.info["Received"] += len(message.payload)
        if message.payload_type == p.T_HANDSHAKE_RESPONSE:
            await self._agree(json.loads(message.payload))
        elif self._stage == "handshake":
            self.info["Discarded"] += len(message.payload)
        elif message.payload_type == p.T_FLAG:
            flag = int.from_bytes(message.payload, "big")
            if flag == p.FLAG_TERMINATE_SESSION:
                self._begin(self.close())
            elif flag == p.FLAG_DISCONNECT_TO_PORT and self._writer is not None:
                self._writer.close()
        elif message.payload_type == p.T_OUTPUT:
            if self._mux is not None:
                await self._mux.feed(message.payload)
            elif self._writer is not None and not self._writer.is_closing():
                self._writer.write(message.payload)
                await self._writer.drain()

    async def _agree(self, answer: Mapping[str, Any]) -> None:
        self.info["ClientVersion"] = answer.get("ClientVersion")
        for action in answer["ProcessedClientActions"]:
            if action["ActionStatus"] != 1:
                said = f"{action['ActionType']} failed on client with status"
                why = f"{said} {action['ActionStatus']} error: {action.get('Error', '')}"
                self._begin(self.close(why))
                return
        told = {"HandshakeTimeToComplete": 1000000, "CustomerMessage": ""}
        await self._sender.put(json.dumps(told).encode(), p.T_HANDSHAKE_COMPLETE)
        self._stage = "complete"
        self._begin(self._serve_port())

    # -- towards the port -----------------------------------------------------------------------

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self._way_in)
        writer.write(f"{self._port}\n".encode())
        if await reader.readline() != b"connected\n":
            writer.close()
            message = f"dial tcp 127.0.0.1:{self._port}: connect: connection refused"
            raise ConnectionRefusedError(message)
        return reader, writer

    async def _serve_port(self) -> None:
        await asyncio.sleep(self._faults.get("dial_s", 0))
        version = self.info["ClientVersion"] or "0"
        if self.document == _FORWARDING and not older(version, _MUX_SINCE):
            self._mux = Smux(self._dial, self._output, self._flag, self.close)
            self._stage = "connected"
            self._dialled.set()
            return
        try:
            reader, self._writer = await self._dial()
        except OSError as error:
            self._dialled.set()
            await self.close(f"Unable to connect to specified port: {error}")
            return
        self._stage = "connected"
        self._dialled.set()
        with suppress(ConnectionError):
            while data := await reader.read(p.PAYLOAD_MAX):
                await self._output(data)
        await self.close()

    async def _flag(self, flag: int) -> None:
        await self._sender.put(flag.to_bytes(4, "big"), p.T_FLAG)

    async def _output(self, data: bytes) -> None:
        pace_s = self._faults.get("pace_ms", 0) / 1000
        for start in range(0, len(data), p.PAYLOAD_MAX):
            await self._sender.put(data[start : start + p.PAYLOAD_MAX])
            if pace_s:  # the agent sleeps 1 ms after every 1,024 bytes
                await asyncio.sleep(pace_s)
