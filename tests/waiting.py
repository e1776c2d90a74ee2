"""Wait for a condition with a deadline: what tests do instead of sleeping."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
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


def is_running(pid: int) -> bool:
    """Tell whether any thread of a process is still there (its first one may be a zombie)."""
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            states.append(task.read_text())
    return any("\nState:\tZ" not in state for state in states)
