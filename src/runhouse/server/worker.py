"""One worker process as the server sees it, and the socket to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runhouse.wire import control

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from runhouse.wire.messages import Scope


class WorkerSilentError(Exception):
    """Report a worker that has ended, or does not answer in time."""


Place = tuple[str, str, int]
"""Env, project, and which one of the workers that share its calls."""


@dataclass(slots=True)
class Worker:
    """Hold what the server knows about one worker process.

    Attributes:
        id: Unique for ever, so that a client notices another worker in its place.
        env: The env that it runs in.
        scope: The code that it was started for.
        log_start: Where in the log, which is that of its env, its own lines begin.
        state: What the worker last told: running, objects, connections, calls.
        retired: Whether it ends as soon as nobody needs it any more.
        cancelled: Ids of runs for whose sake it is ended.
        binding: Digest of what its env was when it was started; empty for none.
        slot: Which one it is of those that share an env's calls.
        gpus: The GPUs that it sees, when they were chosen for it.
    """

    id: str
    env: str
    scope: Scope
    process: asyncio.subprocess.Process
    control: socket.socket
    pipes: tuple[int, int]
    log_path: Path
    started_at: float
    log_start: int = 0
    python: str = ""
    retired: bool = False
    binding: str = ""
    slot: int = 0
    gpus: tuple[int, ...] = ()
    state: dict[str, int] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _asked: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _unsent: deque[tuple[dict[str, Any], socket.socket | None]] = field(default_factory=deque)

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self.process.pid

    @property
    def load(self) -> int:
        """Return how much it has to do: calls that run, and clients that are connected."""
        return self.state.get("running", 0) + self.state.get("connections", 0)

    @property
    def idle(self) -> bool:
        """Tell whether nothing runs in it, it holds nothing, and nobody is connected."""
        return not any(self.state.get(key) for key in ("running", "objects", "connections"))

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield the messages that have arrived; None after them when the worker has hung up."""
        while True:
            try:
                received = control.receive(self.control)
            except OSError:  # nothing more is there, or the worker has ended
                return
            if received is None:
                return
            message = received[0]
            if message["op"] != "answer":
                yield message
                continue
            future = self._asked.pop(message["id"], None)
            if future is not None and not future.done():
                future.set_result(message["answer"])

    def tell(self, message: dict[str, Any], sock: socket.socket | None = None) -> bool:
        """Send a message, with a client's socket if there is one; return False when it is gone.

        What a busy worker has not read yet fills the socket: then the message is sent later.
        """
        try:
            if not self._unsent:
                control.send(self.control, message, sock)
                return True
        except BlockingIOError:
            asyncio.get_running_loop().add_writer(self.control, self._send_rest)
        except OSError:
            return False
        try:
            self._unsent.append((message, sock.dup() if sock is not None else None))
        except OSError:  # out of file descriptors
            return False
        return True

    def _send_rest(self) -> None:
        """Send what was kept back, as far as the worker takes it."""
        while self._unsent:
            message, sock = self._unsent[0]
            try:
                control.send(self.control, message, sock)
            except BlockingIOError:
                return
            except OSError:  # it has ended, which `ended` will be told
                self._drop_rest()
                return
            self._unsent.popleft()
            if sock is not None:
                sock.close()
        asyncio.get_running_loop().remove_writer(self.control)

    def _drop_rest(self) -> None:
        if self._unsent:
            asyncio.get_running_loop().remove_writer(self.control)
        while self._unsent:
            sock = self._unsent.popleft()[1]
            if sock is not None:
                sock.close()

    async def ask(self, what: str, timeout_s: float, **fields: object) -> Any:
        """Ask for something and wait for the answer.

        Raises:
            WorkerSilentError: The worker has ended, or does not answer in time.
        """
        number = next(self._numbers)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                if self.tell({"op": "ask", "id": number, "what": what, **fields}):
                    return await asyncio.wait_for(future, timeout_s)
        finally:
            self._asked.pop(number, None)
        msg = f"The worker {self.pid} does not answer."
        raise WorkerSilentError(msg)

    def ended(self) -> None:
        """Let go of the socket; whoever waits for an answer is told."""
        self._drop_rest()
        self.control.close()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(WorkerSilentError(f"The worker {self.pid} has ended."))

    def discard(self) -> None:
        """End a process that nobody has used, and let go of what was between it and the server."""
        self.kill()
        self.ended()
        for fd in self.pipes:
            os.close(fd)

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
