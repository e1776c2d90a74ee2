"""One run: a call while it is running in this worker, and how it is ended from outside."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from typing import TYPE_CHECKING, SupportsIndex

from runhouse.errors import CallError, RunCancelledError
from runhouse.wire.exceptions import dump_error
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind, LogEntry, RunInfo, RunStatus

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from runhouse.worker.outbox import Outbox


class RunInterrupt(KeyboardInterrupt):
    """End a call from outside; code that handles Ctrl-C handles it too."""

    def __init__(self) -> None:
        """Note in the thread that it has got its interrupt: made when it is raised there."""
        super().__init__()
        _thread.has_got_interrupt = True


class _Thread(threading.local):
    """Hold whether the code that runs in a thread has got its interrupt, and so may clean up."""

    has_got_interrupt = False


_thread = _Thread()


def _raise_in_thread(thread_id: int, error: type[BaseException] | None) -> None:
    """Make a thread raise at its next bytecode; None takes back what was not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), ctypes.py_object(error) if error is not None else None
    )


class Run:
    """Hold the state of one call."""

    def __init__(self, call: Call, outbox: Outbox, on_status: Callable[[Run], None]) -> None:
        """Store the call, where its events go, and what to call when the status changes.

        That is called before anybody is told by an event.
        """
        self.call = call
        self.id = call.run_id
        self.log_level = call.log_level
        self.outbox = outbox
        self.status: RunStatus = "queued"
        self.created_at = time.time()
        self.ended_at = 0.0
        self.error = ""
        self.interrupted = threading.Event()
        self.forced = False
        self.may_write = False  # whether its code has begun, and has not come back yet
        self._on_status = on_status
        self._ending = threading.Lock()
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._woken: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        """Tell whether the last event has been sent."""
        return self.status not in ("queued", "running")

    def info(self, env: str, worker_id: str) -> RunInfo:
        """Return what is told about the run."""
        call = self.call
        return RunInfo(
            id=call.run_id,
            name=call.name,
            call=f"{call.key}.{call.method}" if call.method else call.key,
            status=self.status,
            env=env,
            worker_id=worker_id,
            recorded=call.record,
            created_at=self.created_at,
            ended_at=self.ended_at,
            error=self.error,
            kept=call.keep,
            caller=call.caller,
        )

    def log(self, entry: LogEntry) -> None:
        """Send output to the caller, if it wants it; a recorded run keeps it in any case."""
        if self.call.logs or self.call.record:
            with self.shielded():
                self.outbox.log(entry)

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Let no interrupt land in the block, where it could leave a lock behind that is held.

        Raises:
            RunInterrupt: The run was ended meanwhile; raised after the block, and only once, so
                that what cleans up may print.
        """
        if self._thread_id != threading.get_ident() or _thread.has_got_interrupt:
            yield
            return
        self.leave_thread()
        try:
            yield
        finally:
            self._enter()

    def begin(self) -> None:
        """Note that the run does not wait any more."""
        with self._ending:
            if self.status == "queued":
                self.status = "running"
                self.may_write = True
                if self.call.record:
                    self._on_status(self)

    def enter_thread(self) -> None:
        """Note that user code of this run begins on the current thread.

        Raises:
            RunInterrupt: The run was ended before.
        """
        _thread.has_got_interrupt = False
        self._enter()

    def _enter(self) -> None:
        with self._lock:
            self._thread_id = threading.get_ident()
            if self.interrupted.is_set():
                raise RunInterrupt

    def sleep(self, seconds: float) -> bool:
        """Sleep until the run is interrupted; return False if the thread knows that already.

        Raises:
            RunInterrupt: The run was ended meanwhile.
        """
        thread_id = threading.get_ident()
        knows = _thread.has_got_interrupt if thread_id == self._thread_id else False
        if knows or thread_id in self._woken:
            return False
        if self.interrupted.wait(seconds):
            self._woken.add(thread_id)
            raise RunInterrupt
        return True

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

    def finish(self, frame: Frame, status: RunStatus, error: str = "") -> bool:
        """Send the last event; return whether it counts: only the first one does."""
        with self._ending:
            if self.done:
                return False
            self._end(status, error)
            try:
                self.outbox.finish(frame)
            except OSError as failure:
                self._not_kept(failure)
            self.outbox.close(self.status)
            return True

    def _end(self, status: RunStatus, error: str) -> None:
        self.ended_at = time.time()
        self.error = error
        self.status = status
        self._on_status(self)

    def _not_kept(self, failure: OSError) -> None:
        """End a recorded run whose result the disk did not take."""
        error = CallError(
            f"The run has ended, but its result is lost. It cannot be written to the host's disk: "
            f"{failure}. Make room there and run it again, or keep the result with .remote()."
        )
        self._end("failed", f"CallError: {error}")
        meta, pickled = dump_error(error)
        with contextlib.suppress(OSError):  # not even that: the server tells the status
            self.outbox.finish(Frame(Kind.ERROR, meta, pickled.body, pickled.buffers))

    def cancel(self, reason: str) -> bool:
        """Cancel the run; see `end`."""
        error = RunCancelledError(
            f"The call was cancelled. {reason} Call again if it is still wanted."
        )
        return self.end(error, "cancelled")

    def end(self, error: CallError, status: RunStatus) -> bool:
        """Answer the caller at once, and stop the user's code as soon as it can be stopped.

        A thread that sleeps in `time.sleep` or runs Python code stops now; one that waits in C code
        stops when it comes back from there.

        Returns:
            Whether the run was ended by this.
        """
        if self.done:
            return False
        self.forced = True
        meta, pickled = dump_error(error)
        frame = Frame(Kind.ERROR, meta, pickled.body, pickled.buffers)
        ended = self.finish(frame, status, f"{type(error).__name__}: {error}")
        with self._lock:
            self.interrupted.set()
            if self._thread_id is not None:
                _raise_in_thread(self._thread_id, RunInterrupt)
            task = self._task
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)
        return ended


def make_sleep_interruptible(current_run: Callable[[], object]) -> None:
    """Replace `time.sleep` by one that a cancel wakes up.

    Args:
        current_run: A callable that returns the run of the calling code, or None.
    """
    plain_sleep = time.sleep

    def sleep(seconds: float | SupportsIndex, /) -> None:
        run = current_run()
        is_time = isinstance(seconds, (int, float)) and seconds > 0
        if not (isinstance(run, Run) and is_time and run.sleep(float(seconds))):
            plain_sleep(seconds)

    sleep.__doc__ = plain_sleep.__doc__
    time.sleep = sleep
