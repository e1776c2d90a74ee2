"""A connection to a target: opened when needed, healed when it has dropped."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from runhouse import settings as settings_module
from runhouse.errors import HostUnreachableError
from runhouse.ssh.master import Master
from runhouse.ssh.mux import ConnectionGoneError, Control, RefusedError
from runhouse.ssh.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runhouse.settings import Settings
    from runhouse.ssh.tunnel import Tunnel

_T = TypeVar("_T")


class Connection:
    """Hold the one connection to a target, which belongs to an ssh process that all share.

    It outlives its last user by `ssh_persist_s`. Everything here connects by itself when that is
    needed and may be called from several threads.
    """

    def __init__(self, target: Target, settings: Settings | None = None, *, lane: int = 0) -> None:
        """Store the target; nothing is connected.

        Args:
            target: Where to connect.
            settings: Time-outs and directories; None for those of this process.
            lane: The number of this connection among those to the same target.
        """
        if not isinstance(target, Target):
            msg = (
                "The SSH session cannot be made. Its target is of type "
                f"{type(target).__name__}. Make one with Target.parse(host)."
            )
            raise TypeError(msg)
        self.target = target
        self.settings = settings_module.load() if settings is None else settings
        self._master = Master(target, self.settings, lane)
        self._lock = threading.RLock()
        self._lease: Control | None = None
        self._process_id = 0
        self._sockets: dict[str, Path] = {}
        self._tunnels: list[Tunnel] = []

    def __repr__(self) -> str:
        """Show the target, without its password."""
        return f"{type(self).__name__}({self.target.label!r})"

    def connect(self) -> None:
        """Connect, or find the connection that is there; safe to repeat, and then free.

        Blocks for `connect_timeout_s` at most, and as long again while another process of the
        user is connecting to the same target.

        Raises:
            HostUnreachableError: The host does not answer.
            AuthenticationError: It refuses every way to log in.
            HostKeyChangedError: Its host key is not the remembered one.
        """
        if not self._is_leased():
            self._ask(lambda _control: None)

    def is_connected(self) -> bool:
        """Tell whether a connection is open, made by this process or another; no network."""
        if self._is_leased():
            return True
        control = self._master.attach()
        if control is None:
            return False
        control.close()
        return True

    def _still_answers(self) -> bool:
        """Ask the very process that owned the connection: its sockets may outlive it a moment."""
        control = self._master.attach()
        if control is None:
            return False
        try:
            return control.process_id() == self._process_id
        except ConnectionGoneError:
            return False
        finally:
            control.close()

    def close(self) -> None:
        """End the connection, with all that goes over it in any process; safe to repeat."""
        with self._lock:
            for tunnel in list(self._tunnels):
                tunnel.close()
            self.release()
            control = self._master.attach()
            if control is not None:
                control.terminate()
                control.close()

    def command(self) -> list[str]:
        """Return the start of an ssh command line that uses this connection."""
        return self._master.command()

    def shell_command(self) -> list[str]:
        """Return an ssh command line that uses this connection and never makes one of its own.

        The host that follows may have any name. Connect before.
        """
        return self._master.shell_command()

    def _is_leased(self) -> bool:
        lease = self._lease
        return lease is not None and lease.is_open()

    def _attach(self, control: Control) -> None:
        """Keep a conversation with the connection's owner, and put the forwards into it."""
        self.release()
        self._process_id = control.process_id()
        self._lease = control
        for tunnel in self._tunnels:
            with suppress(RefusedError):  # its port is taken; the next connection tries again
                control.forward(*tunnel.ends)

    def release(self) -> None:
        """Let the connection end if nobody else uses it; the next use takes it up again."""
        with self._lock:
            self._sockets.clear()
            lease, self._lease = self._lease, None
            if lease is not None:
                lease.close()

    def _ask(self, question: Callable[[Control], _T]) -> _T:
        """Ask the connection's owner something, once more if it has just ended."""
        with self._lock:
            try:
                return question(self._leased())
            except ConnectionGoneError:
                self.release()
            try:
                return question(self._leased())
            except ConnectionGoneError as error:
                self.release()
                why = "The connection ends as soon as it is made"
                raise self._unreachable(why) from error

    def _leased(self) -> Control:
        """Return the conversation that is kept, after connecting if need be."""
        lease = self._lease
        if lease is None or not lease.is_open():
            lease = self._master.reach()
            self._attach(lease)
        return lease

    def _unreachable(self, why: str) -> HostUnreachableError:
        label = self.target.label
        msg = f"{label} cannot be reached. {why}. Look at the host and the network, and try again."
        return HostUnreachableError(msg, host=label)
