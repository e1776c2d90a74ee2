"""What server and worker say to each other over the socket between them.

Each message is a JSON object in one packet. One that does not fit goes in memory whose file
descriptor is passed instead (memfd). A connection of a client travels as a descriptor, too.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

_PACKET_LIMIT = 64 * 1024
_INLINE = 32 * 1024
_LONG = b"long"


def send(
    control: socket.socket, message: dict[str, Any], sock: socket.socket | None = None
) -> None:
    """Send one message, with a client's socket if there is one.

    Raises:
        OSError: The other side is gone, or does not take messages now.
    """
    data = json.dumps(message, separators=(",", ":")).encode()
    if sock is not None:
        socket.send_fds(control, [data], [sock.fileno()])
    elif len(data) <= _INLINE:
        control.send(data)
    else:
        memory = os.memfd_create("runhouse-message")
        with os.fdopen(memory, "wb") as file:
            file.write(data)
            file.flush()
            socket.send_fds(control, [_LONG], [memory])


def receive(control: socket.socket) -> tuple[dict[str, Any], int | None] | None:
    """Receive one message.

    Returns:
        The message and the file descriptor that came with it; None when the other side is gone.

    Raises:
        OSError: Nothing is there on a non-blocking socket, or the socket broke.
    """
    data, descriptors, _, _ = socket.recv_fds(control, _PACKET_LIMIT, 1)
    if not data:
        return None
    descriptor = descriptors[0] if descriptors else None
    if data == _LONG and descriptor is not None:
        with os.fdopen(descriptor, "rb") as file:
            file.seek(0)
            data = file.read()
        descriptor = None
    return json.loads(data), descriptor
