"""Wait for a condition with a deadline: what tests do instead of sleeping."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSE = threading.Event()


def wait_until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Return when a condition holds; fail when it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not so within {timeout_s} s"
        _PAUSE.wait(0.02)
