"""The ssh process that owns a connection: found by its control socket, or started.

All processes of the user share it. It ends itself when nobody has used it for `ssh_persist_s`.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runhouse.errors import HostUnreachableError
from runhouse.ssh.askpass import LAUNCHER, answering
from runhouse.ssh.diagnosis import Attempt
from runhouse.ssh.directory import configuration, private_directory
from runhouse.ssh.mux import ConnectionGoneError, Control

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runhouse.settings import Settings
    from runhouse.ssh.target import Target

_ENOUGH_LOG = 1 << 18


@dataclass(frozen=True, slots=True)
class Master:
    """Know how to find and to start the ssh process that owns a target's connection.

    Attributes:
        target: Where it connects.
        settings: Time-outs and directories.
        lane: 0, or the number of a further connection to the same target, for when the host
            allows no more sessions on the ones before.
    """

    target: Target
    settings: Settings
    lane: int = 0

    @property
    def directory(self) -> Path:
        """Return the private directory, made if need be."""
        return private_directory(self.settings)

    @property
    def socket(self) -> Path:
        """Return the path of the control socket."""
        mark = f"{self.target.identity}{self.settings.ssh_config}" + "+" * self.lane
        return self.directory / _digest(mark)

    def command(self) -> list[str]:
        """Return the start of every ssh command line for this target."""
        config = configuration(self.directory, self.settings)
        return ["ssh", "-F", str(config), "-S", str(self.socket), *self.target.arguments()]

    def shell_command(self) -> list[str]:
        """Return an ssh command line that uses the connection and never makes one of its own."""
        config = configuration(self.directory, self.settings)
        alone = _options("ProxyCommand=false", "BatchMode=yes", "RemoteCommand=none")
        return ["ssh", "-F", str(config), "-S", str(self.socket), *alone]

    def attach(self) -> Control | None:
        """Return a conversation with the process, or None when there is none."""
        try:
            return Control(self.socket, timeout_s=self.settings.connect_timeout_s)
        except ConnectionGoneError:
            return None

    def reach(self) -> Control:
        """Return a conversation with the process, which is started if need be.

        Blocks for `connect_timeout_s` at most, and as long again while another process of the
        user is connecting to the same target.

        Raises:
            ConnectError: The host cannot be reached or does not let us in.
        """
        control = self.attach()
        if control is not None:
            return control
        with self._lock():
            control = self.attach()
            if control is not None:
                return control
            self._remove_remains()
            self._start()
            control = self.attach()
        if control is None:
            label = self.target.label
            msg = (
                f"{label} was connected to, but the connection ended at once. "
                f"No ssh process listens at {self.socket}. Try by hand: {self.target.by_hand}"
            )
            raise HostUnreachableError(msg, host=label)
        return control

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one process at a time start a connection: ssh itself does not look out for this."""
        path = self.socket.with_suffix(".lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _remove_remains(self) -> None:
        """Remove what an ended process has left, or ssh would not share its connection."""
        socket = self.socket
        socket.unlink(missing_ok=True)
        for path in socket.parent.glob(f"{socket.name}-*"):
            path.unlink(missing_ok=True)

    def _start(self) -> None:
        """Start ssh and wait until it has logged in and gone to the background."""
        settings = self.settings
        command = self.command() + [
            *("-f", "-N", "-M", "-E", "/dev/stderr"),
            *_options(
                # Not -v: that would let the standard error of a ProxyCommand out as well.
                "LogLevel=DEBUG1",
                f"ControlPersist={max(1, settings.ssh_persist_s)}",
                f"ConnectTimeout={max(1, math.ceil(settings.connect_timeout_s))}",
                f"ServerAliveInterval={settings.ssh_alive_s}",
                "ServerAliveCountMax=3",
                "ClearAllForwardings=yes",
                "RemoteCommand=none",
                "StreamLocalBindMask=0177",
                "ExitOnForwardFailure=no",
            ),
            *("--", self.target.destination),
        ]
        if shutil.which("ssh") is None:
            msg = (
                f"{self.target.label} cannot be reached. There is no ssh program here. "
                "Install OpenSSH's client (Debian: apt install openssh-client)."
            )
            raise HostUnreachableError(msg, host=self.target.label)
        with answering(self.directory, self.target.password) as variables:
            attempt = _attempt(command, variables, self.target, settings.connect_timeout_s)
        if attempt is not None:
            raise attempt.error()


def _digest(mark: str) -> str:
    return hashlib.sha256(mark.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _options(*options: str) -> list[str]:
    return [word for option in options for word in ("-o", option)]


def _attempt(
    command: list[str], variables: dict[str, str], target: Target, timeout_s: float
) -> Attempt | None:
    """Run an ssh that goes to the background; return what happened if it did not get there."""
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", LAUNCHER, "sh", *command],
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=writing,
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _kill(process)

    timer = threading.Timer(timeout_s, expire)
    timer.daemon = True
    timer.start()
    try:
        log = _read_until_exit(process, reading)
    except BaseException:
        _kill(process)
        process.wait()
        raise
    finally:
        timer.cancel()
        os.close(reading)
    if process.returncode == 0:
        return None
    return Attempt(target, log, timeout_s, timed_out=expired.is_set())


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End an ssh that has not logged in yet, and its ProxyCommand."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _read_until_exit(process: subprocess.Popen[bytes], reading: int) -> str:
    """Collect the log until the process has ended.

    The end of the log cannot be waited for: an ssh that has gone to the background holds it open.
    """
    os.set_blocking(reading, False)
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    watch = _watch(process.pid)
    if watch is not None:
        poll.register(watch, select.POLLIN)
    log = b""
    try:
        while True:
            ended = process.poll() is not None
            with suppress(BlockingIOError):
                while chunk := os.read(reading, 1 << 16):
                    log = (log + chunk)[-_ENOUGH_LOG:]
            if ended:
                return log.decode("utf-8", "replace").replace("\r", "")
            for descriptor, event in poll.poll(None if watch is not None else 10):
                if descriptor == reading and not event & select.POLLIN:
                    poll.unregister(reading)
    finally:
        if watch is not None:
            os.close(watch)


def _watch(process_id: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends, where there are such."""
    if sys.platform == "linux":
        with suppress(OSError):
            return os.pidfd_open(process_id)
    return None
