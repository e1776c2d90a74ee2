"""One session of Session Manager: what to send and what has come, without any I/O.

Documents: `AWS-StartSSHSession` carries one connection to sshd, which is all that ssh needs.
`AWS-StartPortForwardingSession` can take its place where an account allows no other: agents
multiplex its connections (smux) for clients of version 1.1.70 and later only, so to them this is
an older one.
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from typing import Any, Final

from runhouse.ssh.ssm import messages
from runhouse.ssh.ssm.frames import FrameReader, Opcode, write_frames
from runhouse.ssh.ssm.incoming import Incoming
from runhouse.ssh.ssm.messages import (
    ACKNOWLEDGE,
    Flag,
    Message,
    PayloadType,
    Stamp,
    number_acknowledged,
    parse,
)
from runhouse.ssh.ssm.outgoing import Outgoing

SSH_DOCUMENT: Final = "AWS-StartSSHSession"
FORWARDING_DOCUMENT: Final = "AWS-StartPortForwardingSession"
# Agents go by the version of AWS's plugin: of this one on, the upgrade of the websocket is signed.
CLIENT_VERSIONS: Final = {SSH_DOCUMENT: "1.2.764.0", FORWARDING_DOCUMENT: "1.1.61.0"}
_MANY: Final = 16
_ANSWERS_KEPT: Final = 4096
_SUCCESS, _FAILED, _UNSUPPORTED = 1, 2, 3
_INCOMPLETE = "the agent closed it before all of its output had arrived"
_NO_ENCRYPTION = (
    "this client does not encrypt with KMS; turn KMS encryption off in the Session Manager "
    "preferences, or install AWS's session-manager-plugin"
)


class Channel:
    """Hold the state of one session, across its connections.

    Attributes:
        ready: Whether the agent takes data.
        closed: What the agent said when it closed the session; None while it is open.
        notes: Lines for the user, to be taken by whoever shows them.
        lost: Whether the gateway has ended the connection.
    """

    def __init__(self, document: str = SSH_DOCUMENT) -> None:
        """Begin a session that was started with a document."""
        self.ready = False
        self.closed: str | None = None
        self.lost = False
        self.notes: list[str] = []
        self._version = CLIENT_VERSIONS[document]
        self._client_id = str(uuid.uuid4())
        self._stamp = Stamp()
        self.outgoing = Outgoing(self._stamp)
        self._incoming = Incoming()
        self._paused = False
        self._reader = FrameReader()
        self._queue: list[bytes] = []
        self._control: list[bytes] = []
        self._received: list[Message] = []  # and not acknowledged yet
        self._answers: deque[bytes] = deque(maxlen=_ANSWERS_KEPT)
        self._output: deque[bytes] = deque()

    def connected(self, token: str, now: float) -> None:
        """Begin on a new connection, the first one or one after a break."""
        self._reader = FrameReader()
        self._paused = self.lost = False
        greeting = {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid.uuid4()),
            "TokenValue": token,
            "ClientId": self._client_id,
            "ClientVersion": self._version,
        }
        self._control = [write_frames(Opcode.TEXT, [json.dumps(greeting).encode()])]
        # Acknowledgements that were lost would come back one in 100 ms, as the agent repeats only
        # its oldest message; so they are all given again.
        self._queue = [*self._answers, *self.outgoing.resumed(now)]

    @property
    def room(self) -> int:
        """How many bytes may be written now."""
        return self.outgoing.room if self.ready and not self._paused else 0

    def write(self, data: bytes, now: float) -> None:
        """Send data to the port."""
        self._queue += self.outgoing.send(data, now)

    def finish(self, now: float) -> None:
        """Ask the agent to end the session, after all that was written."""
        flag = int(Flag.TERMINATE_SESSION).to_bytes(4, "big")
        self._queue += self.outgoing.send_whole(flag, now, PayloadType.FLAG)

    def ping(self) -> None:
        """Ask the gateway for a sign of life."""
        self._control.append(write_frames(Opcode.PING, [b"keepalive"]))

    def tick(self, now: float) -> None:
        """Repeat what is late."""
        if not self._paused:
            self._queue += self.outgoing.late(now)

    @property
    def is_waiting(self) -> bool:
        """Whether anything is to be acknowledged, by either side."""
        return bool(self._received or self.outgoing.missing)

    @property
    def holds(self) -> bool:
        """Whether acknowledgements wait for data to go with."""
        return bool(self._received)

    def to_send(self, *, hold: bool = False) -> bytes:
        """Take what is to go over the connection.

        Args:
            hold: Keep a few acknowledgements back when there is nothing else to send: whoever
                reads what has come often has an answer at once, and one packet wakes the agent
                once.
        """
        if self._received and (
            self._queue or not hold or len(self._received) >= _MANY or self.closed is not None
        ):
            answers = self._stamp.acknowledge(self._received)
            self._received = []
            self._answers.extend(answers)
            self._queue += answers
        data = b"".join(self._control)
        self._control = []
        if self._queue:
            data += write_frames(Opcode.BINARY, self._queue)
            self._queue = []
        return data

    def output(self) -> list[bytes]:
        """Take what has come from the port."""
        taken = list(self._output)
        self._output.clear()
        return taken

    def feed(self, data: bytes, now: float) -> None:
        """Take what came over the connection.

        Raises:
            FramingError: It is no websocket traffic.
            DamagedMessageError: It is no message of a data channel.
        """
        acknowledged: list[int] = []
        for opcode, payload in self._reader.feed(data):
            if opcode == Opcode.BINARY:
                message = parse(payload)
                if message.kind == ACKNOWLEDGE:
                    acknowledged.append(number_acknowledged(message.payload))
                else:
                    self._take(message, now)
            elif opcode == Opcode.PING:
                self._control.append(write_frames(Opcode.PONG, [payload]))
            elif opcode == Opcode.CLOSE:
                self.lost = True
        if acknowledged:
            repeat = not self._paused
            self._queue += self.outgoing.acknowledge(acknowledged, now, repeat=repeat)

    def _take(self, message: Message, now: float) -> None:
        kind = message.kind
        if kind == messages.OUTPUT:
            if self._incoming.accepts(message):
                self._received.append(message)
                for each in self._incoming.take(message):
                    if each.payload_type == PayloadType.DATA:
                        self._output.append(each.payload)
                    else:
                        self._handle(each, now)
        elif kind == messages.PAUSE:
            self._paused = True
        elif kind == messages.START:
            self._paused = False
        elif kind == messages.CLOSED:
            why = str(_fields(message).get("Output") or "")
            self.closed = why if why or self._incoming.is_complete else _INCOMPLETE

    def _handle(self, message: Message, now: float) -> None:
        """Handle a message of the handshake."""
        if message.payload_type == PayloadType.HANDSHAKE_REQUEST:
            actions = _fields(message).get("RequestedClientActions") or []
            done = [_processed(action) for action in actions]
            answer = {
                "ClientVersion": self._version,
                "ProcessedClientActions": done,
                "Errors": [action["Error"] for action in done if action["Error"]],
            }
            text = json.dumps(answer).encode()
            self._queue += self.outgoing.send_whole(text, now, PayloadType.HANDSHAKE_RESPONSE)
        elif message.payload_type == PayloadType.HANDSHAKE_COMPLETE:
            self.ready = True
            note = _fields(message).get("CustomerMessage")
            if note:
                self.notes.append(str(note))


def _fields(message: Message) -> dict[str, Any]:
    try:
        fields = json.loads(message.payload)
    except ValueError as error:
        msg = f"a message of type {message.payload_type} is no JSON"
        raise messages.DamagedMessageError(msg) from error
    return fields if isinstance(fields, dict) else {}


def _processed(action: dict[str, Any]) -> dict[str, Any]:
    """Say what was done of one thing that the agent has asked for."""
    name = action.get("ActionType")
    status, error = _SUCCESS, ""
    if name == "SessionType":
        kind = (action.get("ActionParameters") or {}).get("SessionType")
        if kind != "Port":
            status, error = _FAILED, f"this client knows sessions of type Port, not {kind}"
    elif name == "KMSEncryption":
        status, error = _FAILED, _NO_ENCRYPTION
    else:
        status, error = _UNSUPPORTED, f"this client knows no action {name}"
    return {"ActionType": name, "ActionStatus": status, "ActionResult": None, "Error": error}
