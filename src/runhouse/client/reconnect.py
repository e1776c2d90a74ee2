"""How a call whose connection broke gets it back, without any I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


@dataclass(slots=True)
class Reconnect:
    """Count the attempts of one broken connection.

    Attributes:
        timeout_s: How long to go on trying.
    """

    timeout_s: float
    _began: float = field(default_factory=monotonic)
    _pause_s: float = _FIRST_PAUSE_S

    def next_pause(self) -> float | None:
        """Return how many seconds to wait before the next attempt, or None: give up."""
        if monotonic() - self._began > self.timeout_s:
            return None
        pause = self._pause_s
        self._pause_s = min(2 * pause, _LONGEST_PAUSE_S)
        return pause
