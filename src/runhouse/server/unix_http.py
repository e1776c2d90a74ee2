"""HTTP over a Unix socket, with the standard library's client."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    from http import client
else:
    client = LazyModule("http.client")


def unix_connection(path: str, timeout_s: float) -> client.HTTPConnection:
    """Connect to a Unix socket, to speak HTTP there.

    Raises:
        OSError: Nobody listens there.
    """
    connection = client.HTTPConnection("runhouse", timeout=timeout_s)
    connection.auto_open = 0  # to a host of that name, once the server has closed this one
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(timeout_s)
        connection.sock.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection
