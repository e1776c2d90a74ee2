"""When a call that raised is repeated, without any I/O."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runhouse.wire.messages import Call

_LONGEST_PAUSE_S = 60.0


class Retry:
    """Count the attempts of one call.

    Attributes:
        is_answering: Whether the call has given something: what fails from then on is its answer,
            and an item that a caller has got must not come twice.
    """

    def __init__(self, call: Call) -> None:
        """Store how often and for what the call may be repeated."""
        self.is_answering = False
        self._retries = call.retries
        self._retry_on = frozenset(call.retry_on)
        self._next_pause_s = min(call.backoff_s, threading.TIMEOUT_MAX)
        self._failed = 0

    @property
    def is_first(self) -> bool:
        """Tell whether no attempt has failed yet."""
        return not self._failed

    def pause_after(self, error: Exception) -> float | None:
        """Return how many seconds to wait before the next attempt, or None: give up."""
        if self.is_answering or self._failed >= self._retries or not self._is_meant(error):
            return None
        self._failed += 1
        pause_s = self._next_pause_s
        self._next_pause_s = max(pause_s, min(2 * pause_s, _LONGEST_PAUSE_S))
        return pause_s

    def _is_meant(self, error: Exception) -> bool:
        names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__}
        return not self._retry_on or not self._retry_on.isdisjoint(names)

    def describe(self, error: Exception, pause_s: float) -> str:
        """Return a line about the attempt that has failed."""
        return (
            f"attempt {self._failed} of {self._retries + 1} raised {type(error).__name__}: "
            f"{error}; again in {pause_s:g} s"
        )
