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

    def book(self, run: Run) -> None:
        """Give a run its place, inside or in the queue; a caller is told before anything begins.

        A call that was made by a run inside does not wait: that run waits for it.

        Raises:
            QueueFullError: Too many are waiting.
        """
        with self._lock:
            limits, is_inside = self._limits, run.call.parent in self._inside
            if limits.concurrency is None or is_inside or self._is_free(limits.concurrency):
                self._inside.add(run.id)
                return
            if limits.queue is not None and len(self._waiting) >= limits.queue:
                msg = (
                    f"The call was not taken. Its env runs {limits.concurrency} calls at once, and "
                    f"{len(self._waiting)} are waiting, which is the limit. Call again later."
                )
                raise QueueFullError(msg, waiting=len(self._waiting))
            self._waiting.append(run)

    def _is_free(self, concurrency: int) -> bool:
        return len(self._inside) < concurrency and not self._waiting

    def enter(self, run: Run) -> None:
        """Wait for the turn of a run that has its place.

        Raises:
            RunInterrupt: The run was ended while it waited.
        """
        with self._changed:
            while run in self._waiting:
                if run.done:
                    raise RunInterrupt
                if self._is_next(run):
                    self._waiting.remove(run)
                    self._inside.add(run.id)
                    self._changed.notify_all()
                else:
                    self._changed.wait()

    def _is_next(self, run: Run) -> bool:
        limit = self._limits.concurrency
        return limit is None or (len(self._inside) < limit and self._waiting[0] is run)

    def leave(self, run: Run) -> None:
        """Let a run out, also out of the queue, and the next one in; safe to repeat."""
        with self._lock:
            self._inside.discard(run.id)
            if run in self._waiting:
                self._waiting.remove(run)
            if self._waiting:
                self._changed.notify_all()

    def wake(self) -> None:
        """Let runs that wait see that they were ended."""
        with self._changed:
            self._changed.notify_all()
