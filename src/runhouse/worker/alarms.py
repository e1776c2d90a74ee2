"""Alarms on runs: the time that one is kept for an absent caller, and the time that it may take.

One thread watches all alarms of one sort.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.worker.run import Run


class Alarms:
    """Act on runs whose time is up."""

    def __init__(self, act: Callable[[Run], None]) -> None:
        """Store what to do with a run when its time is up."""
        self._act = act
        self._changed = threading.Condition()
        self._deadlines: dict[Run, float] = {}
        self._started = False

    def __len__(self) -> int:
        """Return how many runs are watched."""
        return len(self._deadlines)

    def begin(self, run: Run, after_s: float) -> None:
        """Begin a run's time; one that has begun goes on."""
        with self._changed:
            if run in self._deadlines:
                return
            self._deadlines[run] = time.monotonic() + after_s
            if not self._started:
                self._started = True
                threading.Thread(target=self._watch, name="runhouse-alarms", daemon=True).start()
            self._changed.notify()

    def end(self, run: Run) -> None:
        """Forget a run's time; safe to repeat."""
        if run in self._deadlines:
            with self._changed:
                self._deadlines.pop(run, None)

    def _watch(self) -> None:
        while True:
            for run in self._take_due():
                self._act(run)

    def _take_due(self) -> list[Run]:
        """Wait until the time of at least one run is up."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = [run for run, deadline in self._deadlines.items() if deadline <= now]
                if due:
                    for run in due:
                        del self._deadlines[run]
                    return due
                first = min(self._deadlines.values(), default=None)
                wait_s = None if first is None else min(first - now, threading.TIMEOUT_MAX)
                self._changed.wait(wait_s)
