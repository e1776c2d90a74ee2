"""Alarms on runs: the time that one is kept for an absent caller, and the time that it may take.

One thread watches all alarms of one sort. Setting one takes no lock: a lock that the watching
thread wants too is handed over at the pace at which busy threads let go of the interpreter, while
calls come in faster.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.worker.run import Run

log = logging.getLogger(__name__)

_LONGEST_S = 24 * 3600.0


class Alarms:
    """Act on runs whose time is up."""

    def __init__(self, act: Callable[[Run], None]) -> None:
        """Store what to do with a run when its time is up."""
        self._act = act
        self._deadlines: dict[Run, float] = {}
        self._starting = threading.Lock()
        self._started = False
        self._wakes_at = math.inf
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def __len__(self) -> int:
        """Return how many runs are watched."""
        return len(self._deadlines)

    def begin(self, run: Run, after_s: float) -> None:
        """Begin a run's time; one that has begun goes on."""
        deadline = time.monotonic() + after_s
        self._deadlines.setdefault(run, deadline)
        if deadline < self._wakes_at:
            self._wake.put(None)
        if not self._started:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                self._started = True
                threading.Thread(target=self._watch, name="runhouse-alarms", daemon=True).start()

    def end(self, run: Run) -> None:
        """Forget a run's time; safe to repeat."""
        self._deadlines.pop(run, None)

    def _watch(self) -> None:
        while True:
            for run in self._due():
                if self._deadlines.pop(run, None) is not None:  # it may have been ended meanwhile
                    self._try(run)
            self._sleep()

    def _try(self, run: Run) -> None:
        """Act on a run; what fails is told in the log, and later alarms still go off."""
        try:
            self._act(run)
        except Exception:
            log.exception("the alarm of run %s failed", run.id)

    def _due(self) -> list[Run]:
        """Return the runs whose time is up, the first one first."""
        now = time.monotonic()
        # A copy is made in one step. To list the items is not: each makes a tuple, at which the
        # collector of garbage may run, and with it other code and threads.
        due = [(run, at) for run, at in self._deadlines.copy().items() if at <= now]
        return [run for run, _ in sorted(due, key=lambda item: item[1])]

    def _sleep(self) -> None:
        """Wait until the first time is up, or one begins that is up earlier."""
        first = min(self._deadlines.copy().values(), default=math.inf)
        self._wakes_at = first
        left_s = first - time.monotonic()
        with contextlib.suppress(queue.Empty):
            self._wake.get(timeout=min(max(left_s, 0.0), _LONGEST_S))
            while True:  # one look is enough for all who have called
                self._wake.get_nowait()
        self._wakes_at = math.inf  # whatever begins from now on calls
