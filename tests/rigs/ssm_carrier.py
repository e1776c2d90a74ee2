"""A proxy command that runs, by its pipes: for tests of data channels."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

from runhouse.errors import SSMUnavailableError
from runhouse.ssh.ssm.channel import SSH_DOCUMENT
from runhouse.ssh.ssm.pump import Pump
from runhouse.ssh.ssm.service import Service
from tests.rigs.ssm import PORT, Target

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

_MEGABYTE = 1 << 20


class Carrier:
    """Hold a proxy command that runs, by its two pipes.

    It runs in a thread of this process, which saves the time to load it, or as a program.
    """

    def __init__(self, target: Target, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.target, self.stdin, self.stdout = target, stdin, stdout

    def read(self, size: int) -> bytes:
        parts = []
        while size:
            data = self.stdout.read(min(size, _MEGABYTE))
            assert data, f"{size} bytes are missing"
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def say(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.stdin.write(view) :]

    def begin(self) -> None:
        self.say(b"ready\n")
        assert self.read(6) == b"ready\n"

    def send(self, data: bytes) -> None:
        """Send data, and compare its digest with the other side's."""
        self.say(f"up {len(data)}\n".encode() + data)
        assert self.read(64).decode() == hashlib.sha256(data).hexdigest()

    def fetch(self, size: int) -> None:
        """Have data sent, and compare its digest with the other side's."""
        self.say(f"down {size}\n".encode())
        data = self.read(size)
        assert self.read(64).decode() == hashlib.sha256(data).hexdigest()

    def echo(self, data: bytes) -> None:
        self.say(data)
        assert self.read(len(data)) == data

    def session(self) -> dict[str, Any]:
        """Return what the box tells of the session, which must be the only one."""
        (only,) = self.target.sessions()
        return only


@contextmanager
def carrying(
    target: Target, *, port: int = PORT, document: str = SSH_DOCUMENT, profile: str | None = None
) -> Iterator[Carrier]:
    """Run the inside of the proxy command, and raise what it raises."""
    failed: list[SSMUnavailableError] = []
    (source, stdin), (stdout, sink) = os.pipe(), os.pipe()
    pump = Pump(
        Service(target.name, profile=profile),
        port=port,
        document=document,
        source=source,
        sink=sink,
        connect_timeout_s=5,
        resume_timeout_s=5,
    )

    def run() -> None:
        try:
            pump.run()
        except SSMUnavailableError as error:
            failed.append(error)
        finally:
            os.close(sink)
            os.close(source)

    thread = Thread(target=run)
    thread.start()
    try:
        with (
            suppress(BrokenPipeError),
            open(stdin, "wb", buffering=0) as writing,
            open(stdout, "rb", buffering=0) as reading,
        ):
            yield Carrier(target, writing, reading)
    finally:
        thread.join(15)
        assert not thread.is_alive()
    if failed:
        raise failed[0]


@contextmanager
def program(target: Target, *options: str) -> Iterator[tuple[Carrier, subprocess.Popen[bytes]]]:
    """Run the proxy command as ssh does."""
    with target.start(target.command(*options)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Carrier(target, process.stdin, process.stdout), process
        finally:
            if process.poll() is None:
                process.kill()
