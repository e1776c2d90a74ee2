"""The gateway's door: websockets of data channels, many frames for each system call.

aiohttp's websockets cost more for each message than the agent's half may, so bytes are read and
written here as they come; the handshake is that of `websockets`.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, cast

from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.rigs.sagemakerbox.signature import is_right

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.rigs.sagemakerbox.session import Session

_BINARY, _TEXT, _CLOSE, _PING, _PONG = 0x82, 0x81, 0x88, 0x89, 0x8A
_PATH = "/v1/data-channel/"


def frame(first: int, payload: bytes) -> bytes:
    """Return a frame as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size <= 0xFFFF:
        return bytes((first, 126, size >> 8, size & 0xFF)) + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


class Frames:
    """Turn what a client sends into frames."""

    def __init__(self) -> None:
        """Have nothing."""
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return what is complete: first byte and payload of each frame."""
        if self._rest:
            data = self._rest + data
        found: list[tuple[int, bytes]] = []
        at, size = 0, len(data)
        while size - at >= 6:
            length = data[at + 1] & 0x7F
            body = at + 6
            if length == 126:
                length = data[at + 2] << 8 | data[at + 3]
                body = at + 8
            elif length == 127:
                length = int.from_bytes(data[at + 2 : at + 10], "big")
                body = at + 14
            if body + length > size:
                break
            mask = data[body - 4 : body]
            found.append((data[at], apply_mask(data[body : body + length], mask)))
            at = body + length
        self._rest = data[at:]
        return found


class Connection(asyncio.Protocol):
    """Serve one websocket of a client: the upgrade, the token, then the session."""

    def __init__(
        self,
        sessions: Mapping[str, Session],
        secrets: Mapping[str, str],
        faults: Mapping[str, float],
    ) -> None:
        """Wait for the upgrade.

        Args:
            sessions: Those that there are, by id.
            secrets: The secret of each access key.
            faults: What goes wrong.
        """
        self._sessions, self._secrets, self._faults = sessions, secrets, faults
        self._upgrade: ServerProtocol | None = ServerProtocol()
        self._session: Session | None = None
        self._is_known = False  # by its token
        self._frames = Frames()
        self._out: list[bytes] = []
        self._held: list[bytes] = []
        self._waiting: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the session."""
        del exc
        if self._session is not None and self._is_known:
            self._session.detached(self)

    def data_received(self, data: bytes) -> None:
        """Take what a client sends."""
        if self._upgrade is not None:
            self._answer(self._upgrade, data)
            return
        for first, payload in self._frames.feed(data):
            if first == _CLOSE:
                self.transport.close()
            elif first == _PING:
                self._out.append(frame(_PONG, payload))
                if self._session is not None:
                    self._session.info["Pings"] += 1
            elif not self._is_known:
                self._greet(payload)
            elif self._session is not None and not self._is_lost():
                self._session.received(payload)
        if self._session is not None:
            self._session.write_to_port()
        self.flush()
        if self._session is not None and self._session.is_behind and not self._waiting:
            self._waiting = asyncio.create_task(self._wait_for(self._session))

    async def _wait_for(self, session: Session) -> None:
        """Take no more until the port has caught up."""
        self.transport.pause_reading()
        await session.caught_up()
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _answer(self, upgrade: ServerProtocol, data: bytes) -> None:
        upgrade.receive_data(data)
        for event in upgrade.events_received():
            if isinstance(event, Request):
                identity = event.path.removeprefix(_PATH).partition("?")[0]
                self._session = self._sessions.get(identity)
                refused = self._refusal(event)
                if refused is None:
                    upgrade.send_response(upgrade.accept(event))
                    self._upgrade = None
                else:
                    upgrade.send_response(upgrade.reject(*refused))
        for piece in upgrade.data_to_send():
            if piece:
                self.transport.write(piece)
            else:
                self.transport.close()

    def _refusal(self, request: Request) -> tuple[int, str] | None:
        if self._session is None:
            return 404, "no such session"
        signed = is_right(request.path, request.headers, self._secrets)
        self._session.info["Signed"] = signed
        if signed is False:
            return 403, "The request signature we calculated does not match the one you provided."
        if signed is None and self._faults.get("require_signed"):
            return 403, "Missing Authentication Token"
        return None

    def _greet(self, payload: bytes) -> None:
        assert self._session is not None
        token = json.loads(payload).get("TokenValue")
        if token not in self._session.tokens or self._faults.get("expired_tokens"):
            self._session.info["Expired"] += 1
            self._out.append(
                frame(_CLOSE, CloseCode.POLICY_VIOLATION.to_bytes(2, "big") + b"token")
            )
            self.flush()
            self.transport.close()
            return
        self._is_known = True
        self._session.attached(self)

    # -- what the session uses --------------------------------------------------------------------

    def _is_lost(self) -> bool:
        loss = self._faults.get("loss", 0)
        return bool(loss) and random.random() < loss  # noqa: S311

    def send(self, raw: bytes) -> None:
        """Send a message with the next `flush`, over a bad network."""
        faults = self._faults
        if not faults:
            self._out.append(frame(_BINARY, raw))
            return
        if self._is_lost():
            return
        if random.random() < faults.get("reorder", 0):  # noqa: S311
            self._held.append(raw)
            return
        twice = random.random() < faults.get("dup", 0)  # noqa: S311
        for each in [raw, *([raw] if twice else []), *self._held]:
            self._out.append(frame(_BINARY, each))
        self._held.clear()

    def say(self, raw: bytes) -> None:
        """Send a message at once, with no fault in between."""
        self._out.append(frame(_BINARY, raw))
        self.flush()

    def flush(self) -> None:
        """Hand to the network what was sent."""
        if self._out:
            self.transport.write(b"".join(self._out))
            self._out.clear()
