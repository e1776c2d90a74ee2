"""One multiplexed OpenSSH connection to a target, which opens and heals itself."""

from __future__ import annotations

import atexit
import hashlib
import logging
import threading
import time
from functools import cache
from typing import IO, TYPE_CHECKING

from runhouse import settings as settings_module
from runhouse.errors import (
    AuthenticationError,
    ConnectError,
    HostKeyChangedError,
    HostUnreachableError,
    SettingsError,
)
from runhouse.ssh.command import (
    Completed,
    ConnectionDroppedError,
    Exchange,
    OnOutput,
    as_line,
    check_arguments,
    failed_error,
    timeout_error,
)
from runhouse.ssh.connection import Connection
from runhouse.ssh.leash import run_leashed
from runhouse.ssh.mux import ConnectionGoneError, Control, NoAnswerError, RefusedError
from runhouse.ssh.tunnel import Tunnel, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runhouse.settings import Settings
    from runhouse.ssh.target import Target

LANES = 8
_HEAL_FIRST_S = 1.0
_HEAL_LAST_S = 30.0
_LOG = logging.getLogger(__name__)


class Session(Connection):
    """Run commands and forward sockets over the one connection to a target.

    Everything here connects by itself when that is needed and may be called from several threads.
    """

    def __init__(self, target: Target, settings: Settings | None = None, *, lane: int = 0) -> None:
        """Store the target; nothing is connected.

        Args:
            target: Where to connect.
            settings: Time-outs and directories; None for those of this process.
            lane: The number of this connection among those to the same target.
        """
        super().__init__(target, settings, lane=lane)
        self._overflow: Session | None = None
        self._keeper: threading.Thread | None = None

    @classmethod
    def shared(cls, target: Target) -> Session:
        """Return the one session of this process for a target, under the settings of now."""
        return _shared(target, settings_module.load())

    def close(self) -> None:
        """End the connection, with all that goes over it in any process; safe to repeat."""
        with self._lock:
            if self._overflow is not None:
                self._overflow.close()
            super().close()

    # Commands

    def run(
        self,
        command: str | Sequence[str],
        *,
        input: bytes | memoryview | None = None,  # noqa: A002 - as in subprocess.run
        on_output: OnOutput | None = None,
        stdout_to: IO[bytes] | None = None,
        timeout_s: float | None = None,
        check: bool = False,
    ) -> Completed:
        """Run a command on the host and wait for its end.

        It is run by the login shell of the user there. When this process ends, however that
        happens, or the connection does, the command is hung up (SIGHUP to its process group).
        An exception raised here while it runs, Ctrl-C for example, does the same.

        Args:
            command: A shell line, or a sequence of words that are quoted for the shell.
            input: What it reads on standard input; None for nothing.
            on_output: Called with the stream's name and each piece of text, as it comes.
            stdout_to: File for the standard output as it is, which is then not in the result.
            timeout_s: Longest time it may run; None for no limit.
            check: Whether an exit code other than 0 is an error.

        Returns:
            The exit code and the whole output; bytes that are not UTF-8 become U+FFFD.

        Raises:
            ConnectError: There is no connection, or it dropped while the command ran; a command
                is never started twice.
            CommandFailedError: `check` is set and the exit code is not 0.
            CommandTimeoutError: It ran longer than `timeout_s` and was hung up.
            TypeError: An argument is of the wrong type.
            ValueError: The command cannot be run, or `timeout_s` is not positive.
        """
        text = as_line(command)
        check_arguments(input, on_output, timeout_s)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        data = b"" if input is None else input
        session: Session = self
        for _ in range(LANES):
            exchange = Exchange(session._control(), data, on_output, stdout_to, deadline)
            try:
                completed = session._follow(exchange, text)
            except RefusedError:
                session = session.next_lane()
                continue
            except TimeoutError as error:
                raise timeout_error(text, exchange, timeout_s) from error
            finally:
                if session is not self:  # a further connection stays for its commands only
                    session.release()
            if check and completed.exit_code:
                raise failed_error(text, completed)
            return completed
        why = f"It allows no more sessions on any of {LANES} connections (MaxSessions of sshd)"
        raise self._unreachable(why)

    def _control(self) -> Control:
        """Return a new conversation, for one command."""
        for _ in range(2):
            self.connect()
            control = self._master.attach()
            if control is not None:
                return control
            with self._lock:
                self.release()
        why = "The connection ends as soon as it is made"
        raise self._unreachable(why)

    def _follow(self, exchange: Exchange, text: str) -> Completed:
        """Run an exchange, and tell a connection that dropped from a command that ended oddly."""
        label = self.target.label
        try:
            return exchange.run(text)
        except NoAnswerError as error:
            # Its owner would wait for the host much longer, and everybody with it.
            self.close()
            why = f"It has not answered for {self.settings.connect_timeout_s:g} s"
            raise self._unreachable(why) from error
        except ConnectionGoneError as error:
            why = "The connection ended before the command began"
            raise self._unreachable(why) from error
        except ConnectionDroppedError as error:
            if self._still_answers():  # ended by the host itself, without a code
                return Completed(255, exchange.text("stdout"), exchange.text("stderr"))
            msg = (
                f"The connection to {label} dropped while a command ran. It may have run to its "
                "end or not, so it is not started again. Look at its effects and repeat it if "
                f"that does no harm: {text[:200]}"
            )
            raise HostUnreachableError(msg, host=label) from error

    def next_lane(self) -> Session:
        """Return the session for what the host refuses to run on this connection as well.

        sshd allows 10 commands at once on a connection (MaxSessions); each further lane is
        another connection, shared and ended like the first.
        """
        with self._lock:
            if self._overflow is None:
                lane = self._master.lane + 1
                self._overflow = Session(self.target, self.settings, lane=lane)
            return self._overflow

    def interactive(self, command: str | None = None) -> int:
        """Give the terminal to a shell on the host, or to a command there, until it ends.

        Returns:
            Its exit code; 255 when the connection broke.

        Raises:
            ConnectError: There is no connection.
        """
        line = None if command is None else as_line(command)
        self.connect()
        argv = [*self.command(), "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"]
        argv += ["-t", "--", self.target.destination]
        return run_leashed(argv if line is None else [*argv, line])

    # Forwards

    def forward_socket(self, remote_path: str) -> Path:
        """Return a Unix socket here that leads to one on the host.

        It is made once and shared by all processes of the user. After a reconnect it is another
        one, so ask before each connection: when nothing has changed this is one system call.

        Args:
            remote_path: Absolute path of the socket on the host; it need not be there yet.

        Raises:
            ConnectError: There is no connection.
            ValueError: The path is not absolute.
        """
        path = self._sockets.get(remote_path)
        if path is not None and self._is_leased():
            return path
        if not isinstance(remote_path, str) or not remote_path.startswith("/"):
            msg = (
                f"The socket {remote_path!r} cannot be forwarded. Its path is not absolute. "
                "Give a text that starts with a slash."
            )
            raise ValueError(msg)
        return self._ask(lambda control: self._forward_socket(control, remote_path))

    def _forward_socket(self, control: Control, remote_path: str) -> Path:
        digest = hashlib.sha256(remote_path.encode("utf-8", "surrogateescape")).hexdigest()[:6]
        # Named after the ssh process, so that a socket left by one that has ended is never used.
        path = self._master.socket
        local = path.with_name(f"{path.name}-{self._process_id}{digest}")
        try:
            control.forward(local, remote_path)
        except RefusedError:
            local.unlink(missing_ok=True)  # a process id used again
            try:
                control.forward(local, remote_path)
            except RefusedError as error:
                why = f"Its ssh process cannot listen at {local}: {error}"
                raise self._unreachable(why) from error
        self._sockets[remote_path] = local
        return local

    def forward_port(self, local_port: int, remote_port: int, *, attempts: int = 1) -> Tunnel:
        """Make a TCP port here that leads to a TCP port on the host, loopback to loopback.

        Args:
            local_port: The port here; 0 for any free one.
            remote_port: The port on the host.
            attempts: How many ports to try from `local_port` on when it is taken.

        Returns:
            The tunnel, open; close it after use.

        Raises:
            ConnectError: There is no connection.
            SettingsError: None of the ports is free.
            TypeError: An argument is not a whole number.
            ValueError: An argument is out of range.
        """
        _check_number("local_port", local_port, 0, 65535)
        _check_number("remote_port", remote_port, 1, 65535)
        _check_number("attempts", attempts, 1, 65535)
        last = min(65535, local_port + attempts - 1)
        for candidate in range(local_port, last + 1):
            port = free_port(candidate)
            if port is None:
                continue
            tunnel = Tunnel(port, remote_port, on_close=self._close_tunnel)
            try:
                self._ask(lambda control, ends=tunnel.ends: control.forward(*ends))  # type: ignore[misc]
            except RefusedError:
                continue
            self._keep(tunnel)
            return tunnel
        msg = (
            f"No tunnel to port {remote_port} of {self.target.label} can be made. The ports "
            f"{local_port} to {last} of this machine are taken. Give another local port, or more "
            "attempts."
        )
        raise SettingsError(msg)

    def _keep(self, tunnel: Tunnel) -> None:
        """See that a tunnel is made again though nobody calls, and that it ends with us."""
        atexit.register(tunnel.close)
        with self._lock:
            self._tunnels.append(tunnel)
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._heal, name="rh-tunnels", daemon=True)
                self._keeper.start()

    def _heal(self) -> None:
        """Connect again whenever the connection has dropped, as long as there are tunnels."""
        pause_s = _HEAL_FIRST_S
        while True:
            with self._lock:
                if not self._tunnels:
                    self._keeper = None
                    return
            try:
                self.connect()
                pause_s = _HEAL_FIRST_S
            except (AuthenticationError, HostKeyChangedError) as error:
                _LOG.warning("%s", error)
                pause_s = _HEAL_LAST_S
            except (ConnectError, ConnectionGoneError):
                pause_s = min(_HEAL_LAST_S, 2 * pause_s)
            time.sleep(pause_s)

    def _close_tunnel(self, tunnel: Tunnel) -> None:
        atexit.unregister(tunnel.close)
        with self._lock:
            if tunnel in self._tunnels:
                self._tunnels.remove(tunnel)
            if self._lease is None:
                return
            try:
                self._lease.cancel(*tunnel.ends)
            except (RefusedError, ConnectionGoneError):
                return  # it has gone with its connection


@cache
def _shared(target: Target, settings: Settings) -> Session:
    return Session(target, settings)


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        kind = type(value).__name__
        msg = f"{name} cannot be used. It is of type {kind}. Give a whole number."
        raise TypeError(msg)
    if not least <= value <= most:
        msg = f"{name} cannot be used. {value} is out of range. Give {least} to {most}."
        raise ValueError(msg)
