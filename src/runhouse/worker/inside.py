"""What code of this package can reach directly when it runs in a worker.

Proxies, references and clusters that arrive in a worker of the very server that they stand for use
this to stay inside: an object of the same worker is taken as it is, without a copy.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runhouse.worker.capture import current_sink
from runhouse.worker.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runhouse.wire.frames import Frame
    from runhouse.worker.store import Objects


@dataclass(frozen=True, slots=True)
class Inside:
    """Hold who this worker is, and what it holds.

    Attributes:
        worker_id: The worker.
        server_id: Its server.
        env: Its env.
        root: Its server's directory.
        objects: Its objects.
    """

    worker_id: str
    server_id: str
    env: str
    root: Path
    objects: Objects


@dataclass(slots=True)
class _Slot:
    inside: Inside | None = None
    pid: int = 0


_slot = _Slot()


def enter(inside: Inside) -> None:
    """Note that this process is a worker."""
    _slot.inside, _slot.pid = inside, os.getpid()


def own() -> Inside | None:
    """Return the worker that this process is, or None: a process that it has forked is none."""
    return _slot.inside if _slot.pid == os.getpid() else None


_receiving: ContextVar[bool] = ContextVar("runhouse_receiving", default=False)


def receive(load: Callable[[Frame], Any], frame: Frame) -> Any:
    """Unpickle what has arrived; references in it become the values that they stand for."""
    token = _receiving.set(True)
    try:
        return load(frame)
    finally:
        _receiving.reset(token)


def is_receiving() -> bool:
    """Tell whether the arguments of a call are being unpickled."""
    return _receiving.get()


def current_run_id() -> str:
    """Return the id of the run that the calling code belongs to, or nothing."""
    if own() is None:
        return ""
    sink = current_sink()
    return sink.id if isinstance(sink, Run) else ""
