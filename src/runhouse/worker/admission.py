"""How many calls run at once in a worker: the others wait in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from runhouse.errors import QueueFullError
from runhouse.wire.messages import Limits
from runhouse.worker.run import RunInterrupt

if TYPE_CHECKING:
    from runhouse.worker.run import Run


class Admission:
    """Let runs in, as many as the limits allow."""

    def __init__(self) -> None:
        """Start without limits."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._limits = Limits()
        self._inside: set[str] = set()
        self._waiting: deque[Run] = deque()

    def set_limits(self, limits: Limits) -> None:
        """Change the limits; calls that run already go on."""
        with self._changed:
            self._limits = limits
            self._changed.notify_all()

    def enter(self, run: Run) -> None:
        """Let a run in; wait for its turn.

        A call that was made by a run inside does not wait: that run waits for it.

        Raises:
            QueueFullError: Too many are waiting.
            RunInterrupt: The run was ended while it waited.
        """
        with self._lock:
            limit = self._limits.concurrency
            if limit is not None and run.call.parent not in self._inside:
                self._wait(run, is_free=len(self._inside) < limit and not self._waiting)
            self._inside.add(run.id)

    def _wait(self, run: Run, *, is_free: bool) -> None:
        limits = self._limits
        if is_free:
            return
        if limits.queue is not None and len(self._waiting) >= limits.queue:
            msg = (
                f"The call was not taken. Its env runs {limits.concurrency} calls at once, and "
                f"{len(self._waiting)} are waiting, which is the limit. Call again later."
            )
            raise QueueFullError(msg, waiting=len(self._waiting))
        self._waiting.append(run)
        try:
            while not self._is_next(run):
                if run.done:
                    raise RunInterrupt
                self._changed.wait()
        finally:
            self._waiting.remove(run)
            self._changed.notify_all()

    def _is_next(self, run: Run) -> bool:
        limit = self._limits.concurrency
        return limit is None or (len(self._inside) < limit and self._waiting[0] is run)

    def leave(self, run: Run) -> None:
        """Let a run out, and the next one in; safe to repeat."""
        with self._lock:
            self._inside.discard(run.id)
            if self._waiting:
                self._changed.notify_all()

    def wake(self) -> None:
        """Let runs that wait see that they were ended."""
        with self._changed:
            self._changed.notify_all()
