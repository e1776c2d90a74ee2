"""A TCP port here that leads to a TCP port on the host."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_LOOPBACK = "127.0.0.1"


class Tunnel:
    """Lead `127.0.0.1:local_port` here to `127.0.0.1:remote_port` on the host until closed.

    It is open from the start, made again when the connection has dropped, and closed at the latest
    when this process ends.

    Attributes:
        local_port: The port here.
        remote_port: The port on the host.
    """

    def __init__(
        self, local_port: int, remote_port: int, *, on_close: Callable[[Tunnel], None]
    ) -> None:
        """Store the ports and what ends the forward."""
        self.local_port = local_port
        self.remote_port = remote_port
        self._on_close: Callable[[Tunnel], None] | None = on_close

    @property
    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Return the address here and the one on the host."""
        return (_LOOPBACK, self.local_port), (_LOOPBACK, self.remote_port)

    def close(self) -> None:
        """Stop listening here; connections that are open stay. Safe to repeat."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close(self)

    def __enter__(self) -> Tunnel:
        """Return the tunnel, which is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the tunnel."""
        self.close()

    def __repr__(self) -> str:
        """Show both ports."""
        return f"Tunnel(local_port={self.local_port}, remote_port={self.remote_port})"


def free_port(port: int) -> int | None:
    """Return the port if it can be listened on here (any free one for 0), else None."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return None
        return int(probe.getsockname()[1])
