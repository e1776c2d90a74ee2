"""Speak with an OpenSSH connection that is open already, over its control socket.

The messages are those of OpenSSH's `PROTOCOL.mux`, version 4. Speaking it directly costs no ssh
process for each command, takes any path as it is, and binds a remote command to this process:
when this process ends, however it ends, its control socket closes and OpenSSH ends the session.
"""

from __future__ import annotations

import array
import select
import socket
import struct
import weakref
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = 4
_STREAM_LOCAL: Final = 0xFFFFFFFE  # stands where a port would, for a Unix socket
_LOCAL_FORWARD = 1
_NO_ESCAPE = 0xFFFFFFFF
_LONGEST = 1 << 20


class _Kind(IntEnum):
    HELLO = 0x00000001
    NEW_SESSION = 0x10000002
    ALIVE_CHECK = 0x10000004
    TERMINATE = 0x10000005
    OPEN_FORWARD = 0x10000006
    CLOSE_FORWARD = 0x10000007
    OK = 0x80000001
    PERMISSION_DENIED = 0x80000002
    FAILURE = 0x80000003
    EXIT = 0x80000004
    ALIVE = 0x80000005
    SESSION_OPENED = 0x80000006
    TTY_ALLOC_FAIL = 0x80000008


class ConnectionGoneError(Exception):
    """The ssh process that holds the connection has ended, or does not answer."""


class NoAnswerError(ConnectionGoneError):
    """The connection is there, but the host does not answer on it."""


class RefusedError(Exception):
    """The connection is there, but a session or a forward was refused."""


def _string(text: str | bytes) -> bytes:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data


def _endpoint(place: Path | str | tuple[str, int]) -> bytes:
    """Write a host and a port, or the path of a Unix socket, as the protocol wants them."""
    if isinstance(place, tuple):
        host, port = place
        return _string(host) + struct.pack(">I", port)
    return _string(str(place)) + struct.pack(">I", _STREAM_LOCAL)


class Control:
    """Hold one conversation with the ssh process that owns a connection.

    An idle conversation keeps that process from ending for want of users, and becomes readable
    when the process ends, so `is_open` costs one system call.
    """

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        """Connect and greet.

        Args:
            path: The control socket.
            timeout_s: Longest wait for each answer.

        Raises:
            ConnectionGoneError: Nobody listens there, or nobody answers.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        weakref.finalize(self, self._socket.close)
        self._buffer = b""
        self._request = 0
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
            self._send(_Kind.HELLO, struct.pack(">I", _VERSION))
            kind, body = self._receive()
        except OSError as error:
            self.close()
            raise ConnectionGoneError(str(error)) from error
        except BaseException:
            self.close()
            raise
        if kind != _Kind.HELLO or struct.unpack_from(">I", body)[0] != _VERSION:
            self.close()
            msg = "the process at the control socket speaks another protocol"
            raise ConnectionGoneError(msg)

    def fileno(self) -> int:
        """Return the file descriptor, for select."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the conversation; a session opened by it ends too."""
        self._socket.close()

    def is_open(self) -> bool:
        """Tell whether the process at the other end lives, without asking it."""
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return not poll.poll(0)
        except (OSError, ValueError):  # closed by another thread
            return False

    def process_id(self) -> int:
        """Return the process id of the ssh that owns the connection."""
        _, rest = self._ask(_Kind.ALIVE_CHECK, b"")
        return int(struct.unpack_from(">I", rest)[0])

    def terminate(self) -> None:
        """End the connection and everything that goes over it; return when it has ended."""
        try:
            self._ask(_Kind.TERMINATE, b"")
            while self._socket.recv(4096):
                pass
        except (ConnectionGoneError, OSError):
            return  # OpenSSH may end before its answer is out

    def forward(self, listen: Path | tuple[str, int], to: str | tuple[str, int]) -> None:
        """Listen here and connect there; asking again for the same forward does no harm.

        Raises:
            RefusedError: The place to listen at is taken or cannot be made.
            ConnectionGoneError: The connection has ended.
        """
        place = struct.pack(">I", _LOCAL_FORWARD) + _endpoint(listen) + _endpoint(to)
        self._ask(_Kind.OPEN_FORWARD, place)

    def cancel(self, listen: Path | tuple[str, int], to: str | tuple[str, int]) -> None:
        """Stop listening; connections that are open stay.

        Raises:
            RefusedError: There is no such forward.
            ConnectionGoneError: The connection has ended.
        """
        place = struct.pack(">I", _LOCAL_FORWARD) + _endpoint(listen) + _endpoint(to)
        self._ask(_Kind.CLOSE_FORWARD, place)

    def open_session(self, command: str, stdin: int, stdout: int, stderr: int) -> None:
        """Start a command on the host.

        Args:
            command: What the user's shell on the host is to run.
            stdin: File descriptor to read from; it is duplicated, so close yours.
            stdout: File descriptor to write to, likewise.
            stderr: File descriptor to write to, likewise.

        Raises:
            RefusedError: The host allows no further session on this connection; nothing was run.
            ConnectionGoneError: The connection has ended.
            NoAnswerError: The host did not answer in time; the command has not started.
        """
        # Without a tty or X11; the agent is forwarded if the user's configuration says so.
        flags = struct.pack(">IIIII", 0, 0, 1, 0, _NO_ESCAPE)
        body = _string("") + flags + _string("") + _string(command)
        try:
            self._request += 1
            self._send(_Kind.NEW_SESSION, struct.pack(">I", self._request) + body)
            for fd in (stdin, stdout, stderr):
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
                self._socket.sendmsg([b"\0"], rights)
            self._answer()
        except TimeoutError as error:
            raise NoAnswerError(str(error)) from error
        except OSError as error:
            raise ConnectionGoneError(str(error)) from error

    def exit_code(self) -> int | None:
        """Read what has come, without waiting.

        Returns:
            The exit code of the session's command, or None when there is none yet.

        Raises:
            ConnectionGoneError: The conversation has ended.
        """
        self._socket.setblocking(False)
        while True:
            try:
                kind, body = self._receive()
            except BlockingIOError:
                return None
            except OSError as error:
                raise ConnectionGoneError(str(error)) from error
            if kind == _Kind.EXIT:
                return int(struct.unpack_from(">I", body, 4)[0])

    def _ask(self, kind: _Kind, body: bytes) -> tuple[int, bytes]:
        self._request += 1
        try:
            self._send(kind, struct.pack(">I", self._request) + body)
            return self._answer()
        except OSError as error:
            raise ConnectionGoneError(str(error)) from error

    def _answer(self) -> tuple[int, bytes]:
        """Wait for the answer to the last request."""
        kind, body = self._receive()
        if kind in (_Kind.FAILURE, _Kind.PERMISSION_DENIED):
            (length,) = struct.unpack_from(">I", body, 4)
            raise RefusedError(body[8 : 8 + length].decode("utf-8", "replace"))
        return kind, body[4:]

    def _send(self, kind: _Kind, body: bytes) -> None:
        self._socket.sendall(struct.pack(">II", len(body) + 4, kind) + body)

    def _receive(self) -> tuple[int, bytes]:
        """Read one message; what has come of it is kept when the wait ends early."""
        self._fill(4)
        (length,) = struct.unpack_from(">I", self._buffer)
        if not 4 <= length <= _LONGEST:
            self._gone()
        self._fill(4 + length)
        message, self._buffer = self._buffer[4 : 4 + length], self._buffer[4 + length :]
        return struct.unpack_from(">I", message)[0], message[4:]

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            chunk = self._socket.recv(4096)
            if not chunk:
                self._gone()
            self._buffer += chunk

    def _gone(self) -> NoReturn:
        msg = "the ssh process has ended"
        raise ConnectionGoneError(msg)
