"""One websocket to the gateway: opened in the usual blocking way, then never waited for."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.uri import parse_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHUNK: Final = 1 << 18
_LONGEST_HEAD: Final = 1 << 16
_MOST_AT_ONCE: Final = 1 << 20
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_END_OF_HEAD: Final = b"\r\n\r\n"


class LinkError(Exception):
    """The connection could not be made, or has ended.

    Attributes:
        status: The HTTP status with which the gateway refused it, or 0.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        """Store the message and the status."""
        super().__init__(message)
        self.status = status


class Link:
    """Hold one websocket after its opening handshake."""

    def __init__(
        self, url: str, headers: Mapping[str, str], *, timeout_s: float, proxy: str | None = None
    ) -> None:
        """Connect and upgrade.

        Args:
            url: `ws://…` or `wss://…`.
            headers: Headers for the upgrade beside those of a websocket.
            timeout_s: Longest wait for each step.
            proxy: An HTTP proxy to go through, as a URL.

        Raises:
            LinkError: It cannot be had.
        """
        self._backlog = b""
        self._first = b""
        try:
            self._socket = _connect(url, proxy, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            msg = f"no connection to {urlsplit(url).netloc}: {error}"
            raise LinkError(msg) from error
        try:
            self._secure = isinstance(self._socket, ssl.SSLSocket)
            self._upgrade(url, headers, time.monotonic() + timeout_s)
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            msg = f"{urlsplit(url).netloc} did not open a websocket: {error}"
            raise LinkError(msg) from error
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return the file descriptor, for poll."""
        return self._socket.fileno()

    @property
    def backlog(self) -> int:
        """How many bytes wait until the network takes them."""
        return len(self._backlog)

    def receive(self) -> bytes:
        """Return what has come; nothing when nothing has. What came before an end comes first.

        Raises:
            LinkError: The connection has ended.
        """
        parts, self._first = [self._first], b""
        size = len(parts[0])
        try:
            with suppress(*_NOT_NOW):
                while size < _MOST_AT_ONCE or self._has_more():
                    data = self._socket.recv(_CHUNK)
                    if not data:
                        if size:
                            break
                        msg = "the gateway ended the connection"
                        raise LinkError(msg)
                    parts.append(data)
                    size += len(data)
                    if not self._secure:
                        break  # poll tells of more; of what TLS has buffered it does not
        except OSError as error:
            if not size:
                msg = f"the connection to the gateway broke: {error}"
                raise LinkError(msg) from error
        return b"".join(parts)

    def _has_more(self) -> bool:
        """Tell whether TLS has decrypted what nobody has taken: poll would not tell."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def send(self, data: bytes = b"") -> None:
        """Send, or keep what the network does not take yet.

        Raises:
            LinkError: The connection has ended.
        """
        left = memoryview(self._backlog + data if self._backlog else data)
        try:
            with suppress(*_NOT_NOW):
                while left:
                    left = left[self._socket.send(left) :]
        except OSError as error:
            msg = f"the connection to the gateway broke: {error}"
            raise LinkError(msg) from error
        self._backlog = bytes(left)

    def close(self) -> None:
        """End the connection. Safe to repeat."""
        self._socket.close()

    def _upgrade(self, url: str, headers: Mapping[str, str], deadline: float) -> None:
        protocol = ClientProtocol(parse_uri(url))
        request = protocol.connect()
        request.headers.update(headers)
        protocol.send_request(request)
        self._socket.sendall(b"".join(protocol.data_to_send()))
        head = b""
        while _END_OF_HEAD not in head:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            data = self._socket.recv(_CHUNK)
            if not data or len(head) > _LONGEST_HEAD:
                msg = f"{urlsplit(url).netloc} did not answer as a web server does"
                raise LinkError(msg)
            head += data
        end = head.index(_END_OF_HEAD) + len(_END_OF_HEAD)
        protocol.receive_data(head[:end])
        status = int(head.split(b" ", 2)[1][:3]) if head.startswith(b"HTTP/") else 0
        if status != http.client.SWITCHING_PROTOCOLS:
            body = head[end:].decode("utf-8", "replace").strip()
            msg = f"the gateway refused the connection with status {status}: {body}"
            raise LinkError(msg, status=status)
        if isinstance(protocol.handshake_exc, InvalidHandshake):
            msg = f"the gateway's upgrade is wrong: {protocol.handshake_exc}"
            raise LinkError(msg)
        self._first = head[end:]


def _connect(url: str, proxy: str | None, timeout_s: float) -> socket.socket:
    """Return a connected socket, through TLS and a proxy where these are wanted."""
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    via = urlsplit(proxy) if proxy else parts
    at = (via.hostname or "", via.port or (80 if proxy else port))
    connection: http.client.HTTPConnection
    if secure:
        context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
        connection = http.client.HTTPSConnection(*at, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(*at, timeout=timeout_s)
    if proxy:
        connection.set_tunnel(host, port)
    connection.connect()
    taken = connection.sock
    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return taken
