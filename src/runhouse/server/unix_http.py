"""HTTP over a Unix socket, with the standard library's client."""

from __future__ import annotations

import http.client
import socket


class UnixHTTPConnection(http.client.HTTPConnection):
    """Speak HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        """Store the socket's path."""
        super().__init__("runhouse", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
