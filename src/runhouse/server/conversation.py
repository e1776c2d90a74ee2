"""One run as the server follows it for a client that speaks HTTP: frames, and no payload held.

The server makes a pair of sockets, hands one to the worker as if it were a client's, and speaks
frames over the other. Bodies pass through in pieces, unopened: a pickle stays closed here, and JSON
goes out as the worker wrote it. The events of a run whose worker is gone come from its file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runhouse.server.journals import open_events
from runhouse.server.problem import ProblemError, problem_of
from runhouse.wire import frames, stored
from runhouse.wire.frames import Frame, Prefix
from runhouse.wire.messages import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import BinaryIO

    from runhouse.server.worker import Worker
    from runhouse.server.workers import Workers
    from runhouse.wire.messages import Call

# A multiple of 3, so that each piece but the last has a Base64 form without padding.
_CHUNK = 3 * 64 * 1024
_BUFFER = 256 * 1024
_ACK_EVENTS = 128
_ACK_BYTES = 1024 * 1024
_DEATH_S = 2.0


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one event of a run, but not its body.

    Attributes:
        number: Counted from 0.
        kind: What it says.
        meta: Its message.
        size: How many bytes its body has.
        buffers_size: How many bytes follow in buffers apart.
    """

    number: int
    kind: int
    meta: dict[str, object]
    size: int
    buffers_size: int


class Source(Protocol):
    """Be where the bytes of events come from."""

    async def read(self, size: int) -> bytes:
        """Return exactly so many bytes.

        Raises:
            EOFError: There are no more.
        """

    def write(self, data: bytes) -> None:
        """Send bytes to the worker, if there is one."""

    async def drain(self) -> None:
        """Wait until the worker has taken enough."""

    def close(self, *, at_once: bool) -> None:
        """Let go of the connection; what was written still goes out, unless at once."""

    async def why_ended(self) -> ProblemError:
        """Say why there are no more events."""


class WorkerSource:
    """Speak with a worker over a socket of our own."""

    def __init__(
        self,
        workers: Workers,
        worker: Worker,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Store the connection; use `open`."""
        self._workers = workers
        self._worker = worker
        self._reader, self._writer = streams

    @classmethod
    async def open(cls, workers: Workers, worker: Worker) -> WorkerSource:
        """Connect to a worker.

        Raises:
            ProblemError: It is gone, or does not take connections now.
        """
        ours, theirs = socket.socketpair()
        with contextlib.closing(theirs):
            try:
                streams = await asyncio.open_connection(sock=ours, limit=_BUFFER)
            except BaseException:
                ours.close()
                raise
            source = cls(workers, worker, streams)
            if not workers.hand_over(worker, theirs):
                source.close(at_once=True)
                raise ProblemError("unavailable", "The worker takes no connections now.")
        return source

    async def read(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        try:
            return await self._reader.readexactly(size)
        except OSError as error:
            raise EOFError from error

    def write(self, data: bytes) -> None:
        """Send bytes to the worker."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the worker has taken enough."""
        try:
            await self._writer.drain()
        except OSError as error:
            raise EOFError from error

    def close(self, *, at_once: bool) -> None:
        """Let go of the connection."""
        if at_once:
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def why_ended(self) -> ProblemError:
        """Say how the worker has ended, if it has."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._worker.dead.wait(), _DEATH_S)
        death = self._workers.death(self._worker.id)
        if death is None:
            return ProblemError("unavailable", "The worker has closed the connection.")
        how = death.signal_name or f"exit code {death.exit_code}"
        return ProblemError(
            "worker-died",
            f"The worker (pid {death.pid}) ended with {how}. Its calls and objects are lost.",
            exit_code=death.exit_code,
            signal_name=death.signal_name,
            log_tail=death.log_tail,
        )


class FileSource:
    """Read the events of a recorded run that has ended."""

    def __init__(self, file: BinaryIO, *, spent: bool) -> None:
        """Take over an open file; use `open`."""
        self._file = file
        self.spent = spent

    @classmethod
    async def open(cls, path: Path, received: int) -> FileSource:
        """Open a run's file at the event with a number.

        Raises:
            ProblemError: The file was removed.
        """
        try:
            return await asyncio.to_thread(cls._open, path, received)
        except OSError as error:
            raise ProblemError("run-not-found", "The run's file is gone.") from error

    @classmethod
    def _open(cls, path: Path, received: int) -> FileSource:
        file = open_events(path)
        start = file.seek(stored.skip(file.fileno(), received))
        return cls(file, spent=start >= os.fstat(file.fileno()).st_size)

    async def read(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        data = await asyncio.to_thread(self._file.read, size)
        if len(data) < size:
            raise EOFError
        return data

    def write(self, data: bytes) -> None:
        """Do nothing: nobody is there."""

    async def drain(self) -> None:
        """Do nothing: nobody is there."""

    def close(self, *, at_once: bool) -> None:
        """Close the file."""
        del at_once
        self._file.close()

    async def why_ended(self) -> ProblemError:
        """Say that the file has no more."""
        return ProblemError("run-lost", "The run's file ends before its result.")


async def once(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body that is there already."""
    if body:
        yield body


class Conversation:
    """Follow the events of one run."""

    def __init__(self, source: Source, run_id: str, *, recorded: bool, received: int = 0) -> None:
        """Store where events come from, and how many the client has already."""
        self.run_id = run_id
        self._source = source
        self.recorded = recorded
        self._received = received
        self._unread = 0
        self._unacknowledged = 0
        self._unacknowledged_bytes = 0
        self._whole = True
        self.ended = False

    async def call(self, call: Call, body: AsyncIterator[bytes], size: int) -> None:
        """Send a call with its arguments, as they come.

        Raises:
            ProblemError: The worker has ended.
        """
        self._whole = False
        self._source.write(frames.encode_head(Kind.CALL, call.to_meta(), size))
        try:
            async for data in body:
                self._source.write(data)
                await self._source.drain()
        except EOFError as error:
            raise await self._source.why_ended() from error
        self._whole = True

    def attach(self) -> None:
        """Ask for the events of a run that goes on."""
        self._send(Kind.ATTACH, {"id": self.run_id, "received": self._received})

    def _send(self, kind: Kind, meta: dict[str, object]) -> None:
        for piece in frames.encode(Frame(kind, meta)):
            self._source.write(bytes(piece))

    async def next(self) -> Event:
        """Wait for the next event; what was not read of the last one is left out.

        Raises:
            ProblemError: There are no more, because the worker has ended.
        """
        try:
            async for _ in self.pieces():
                continue
            self._acknowledge()
            prefix = Prefix.parse(await self._source.read(frames.PREFIX_SIZE))
            meta, sizes = prefix.split(memoryview(await self._source.read(prefix.head_size)))
        except (EOFError, frames.FrameError) as error:
            raise await self._source.why_ended() from error
        self._unread = prefix.body_size + sum(sizes)
        self._unacknowledged += 1
        self._unacknowledged_bytes += self._unread
        self.ended = prefix.kind in (Kind.RESULT, Kind.ERROR, Kind.UNKNOWN)
        self._received += 1
        return Event(self._received - 1, prefix.kind, meta, prefix.body_size, sum(sizes))

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body of the last event, with what follows in buffers.

        Raises:
            ProblemError: The worker has ended within it.
        """
        while self._unread:
            try:
                data = await self._source.read(min(self._unread, _CHUNK))
            except EOFError as error:
                raise await self._source.why_ended() from error
            self._unread -= len(data)
            yield data

    async def result(self) -> bytes:
        """Wait for the result, which must be small, and return its body.

        Raises:
            ProblemError: The run has failed, or its worker has ended.
        """
        while True:
            event = await self.next()
            if event.kind == Kind.ERROR:
                raise problem_of(event.meta)
            if event.kind == Kind.RESULT:
                return b"".join([data async for data in self.pieces()])

    def _acknowledge(self) -> None:
        """Let the worker go on once its window is half used; a recorded run has none."""
        if self.recorded or (
            self._unacknowledged < _ACK_EVENTS and self._unacknowledged_bytes < _ACK_BYTES
        ):
            return
        self._unacknowledged = self._unacknowledged_bytes = 0
        self._send(Kind.ACK, {"id": self.run_id, "received": self._received})

    def close(self) -> None:
        """Let go of the run; one that is not recorded is cancelled."""
        if self._whole and not self.recorded and not self.ended:
            self._send(Kind.CANCEL, {"id": self.run_id})
        self._source.close(at_once=not self._whole)
