"""One run: a call while it is running in this worker, and how it is interrupted."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import TYPE_CHECKING, SupportsIndex

from runhouse.errors import RunCancelledError
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind, LogEntry
from runhouse.wire.pickling import dump_error
from runhouse.worker.outbox import Outbox

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from runhouse.worker.connections import Connection


class RunInterrupt(KeyboardInterrupt):
    """End a call from outside; code that handles Ctrl-C handles it too."""


def _raise_in_thread(thread_id: int, error: type[BaseException] | None) -> None:
    """Make a thread raise at its next bytecode; None takes back what was not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), ctypes.py_object(error) if error is not None else None
    )


class Run:
    """Hold the state of one call."""

    def __init__(self, call: Call, connection: Connection | None) -> None:
        """Store the call and its caller's connection."""
        self.call = call
        self.id = call.run_id
        self.log_level = call.log_level
        self.outbox = Outbox(connection)
        self.done = False
        self.interrupted = threading.Event()
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._task: asyncio.Task[None] | None = None

    def log(self, entry: LogEntry) -> None:
        """Send output to the caller, if it wants it."""
        if self.call.logs:
            self.outbox.log(entry)

    def enter_thread(self) -> None:
        """Note that user code of this run begins on the current thread.

        Raises:
            RunInterrupt: The run was cancelled before.
        """
        with self._lock:
            if self.interrupted.is_set():
                raise RunInterrupt
            self._thread_id = threading.get_ident()

    def leave_thread(self) -> None:
        """Note that user code has ended here; take back an interrupt that is still under way."""
        with self._lock:
            if self._thread_id is not None and self.interrupted.is_set():
                _raise_in_thread(self._thread_id, None)
            self._thread_id = None

    def set_task(self, task: asyncio.Task[None]) -> None:
        """Note the task that runs this run's coroutine."""
        with self._lock:
            self._task = task
        if self.interrupted.is_set():
            task.cancel()

    def finish(self, frame: Frame) -> None:
        """Send the last event; only the first one counts."""
        self.done = True
        self.outbox.finish(frame)

    def cancel(self, reason: str) -> None:
        """Answer the caller at once, and stop the user's code as soon as it can be stopped.

        A thread that sleeps in `time.sleep` or runs Python code stops now; one that waits in C code
        stops when it comes back from there.
        """
        if self.done:
            return
        error = RunCancelledError(
            f"The call was cancelled. {reason} Call again if it is still wanted."
        )
        meta, pickled = dump_error(error)
        self.finish(Frame(Kind.ERROR, meta, pickled.body, pickled.buffers))
        with self._lock:
            self.interrupted.set()
            if self._thread_id is not None:
                _raise_in_thread(self._thread_id, RunInterrupt)
            task = self._task
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)


def make_sleep_interruptible(current_run: Callable[[], object]) -> None:
    """Replace `time.sleep` by one that a cancel wakes up.

    Args:
        current_run: A callable that returns the run of the calling code, or None.
    """
    plain_sleep = time.sleep

    def sleep(seconds: float | SupportsIndex, /) -> None:
        run = current_run()
        if not isinstance(run, Run) or not isinstance(seconds, (int, float)) or seconds <= 0:
            plain_sleep(seconds)
        elif run.interrupted.wait(seconds):
            raise RunInterrupt

    sleep.__doc__ = plain_sleep.__doc__
    time.sleep = sleep
