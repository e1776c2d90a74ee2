"""The recorded runs of a server: what workers tell of them, and what their files say.

A file `runs/ID.open` belongs to a run that goes on, `runs/ID.STATUS` to one that has ended (see
`worker.journal`). One that is open although its worker is gone is lost, and gets a last event that
says so.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from runhouse.wire import frames, stored
from runhouse.wire.frames import Frame
from runhouse.wire.messages import LOST, Kind, RunInfo
from runhouse.wire.stored import ENDED, OPEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

log = logging.getLogger(__name__)

_ABANDONED_S = 60.0


class Journals:
    """Hold the recorded runs."""

    def __init__(self, directory: Path, keep_s: float, is_alive: Callable[[str], bool]) -> None:
        """Store where their files are.

        Args:
            directory: The directory of the files.
            keep_s: How long a run is kept after its end.
            is_alive: Tells whether the worker of an id runs.
        """
        self._directory = directory
        self._keep_s = keep_s
        self._is_alive = is_alive
        self._loaded: dict[str, RunInfo] | None = None

    def _runs(self) -> dict[str, RunInfo]:
        """Return all runs by id; the first time, read what earlier servers have left."""
        if self._loaded is None:
            self._loaded = {}
            for path in self._directory.glob("*.*"):
                info = self._read(path)
                if info is not None:
                    self._loaded[info.id] = info
        return self._loaded

    def _read(self, path: Path) -> RunInfo | None:
        """Return what a file says about its run; one that is open may be lost with its server."""
        try:
            with path.open("rb") as file:
                found = stored.frame_at(file.fileno(), 0)
                if found is None:
                    _remove_torn(path)
                    return None
                info = RunInfo(**cast("dict[str, Any]", found[0].meta))
        except (OSError, TypeError):
            return None
        status = path.suffix[1:]
        if status == OPEN and self._is_alive(info.worker_id):
            return info
        if status == OPEN:
            return _close(path, info, "Its server ended before it did.")
        if status not in ENDED:
            return None
        error = _last_error(path) if status != "done" else ""
        ended_at = path.stat().st_mtime
        return replace(info, status=status, ended_at=ended_at, error=error)

    def note(self, message: dict[str, Any]) -> None:
        """Take what a worker tells about a run."""
        info = RunInfo(**message)
        self._runs()[info.id] = info

    def all(self) -> list[RunInfo]:
        """Return all recorded runs, the newest first; those that are old enough are removed."""
        self._prune()
        return sorted(self._runs().values(), key=lambda info: info.created_at, reverse=True)

    def going(self) -> list[RunInfo]:
        """Return the recorded runs that go on; reads no file."""
        return [info for info in (self._loaded or {}).values() if info.status not in ENDED]

    def find(self, key: str) -> RunInfo | None:
        """Return the run with an id, or the newest one with a name, or None."""
        found = self._runs().get(key)
        if found is not None:
            return found
        named = [info for info in self._runs().values() if info.name == key]
        return max(named, key=lambda info: info.created_at, default=None)

    def path(self, info: RunInfo) -> Path | None:
        """Return the file of a run, or None when it was removed."""
        return stored.run_path(self._directory, info.id)

    def lose(self, worker_id: str, reason: str) -> None:
        """Note that the runs of a worker that has ended are lost."""
        for info in list(self._runs().values()):
            if info.worker_id == worker_id and info.status not in ENDED:
                path = self.path(info) or self._directory / f"{info.id}.{OPEN}"
                self._runs()[info.id] = _close(path, info, reason)

    def forget(self, info: RunInfo) -> None:
        """Remove a run that has ended."""
        path = self.path(info)
        if path is not None:
            path.unlink(missing_ok=True)
        self._runs().pop(info.id, None)

    def _prune(self) -> None:
        before = time.time() - self._keep_s
        for info in list(self._runs().values()):
            if info.status in ENDED and info.ended_at < before:
                self.forget(info)


def _remove_torn(path: Path) -> None:
    """Remove a file whose worker ended before it had written what run it is of."""
    if is_open(path) and time.time() - path.stat().st_mtime > _ABANDONED_S:
        path.unlink(missing_ok=True)


def _last_error(path: Path) -> str:
    """Return the type and message of the exception with which a run ended."""
    last: Frame | None = None
    with path.open("rb") as file:
        for frame, _, _ in stored.walk(file.fileno()):
            last = frame
    if last is None or last.kind != Kind.ERROR:
        return ""
    return f"{last.meta.get('type')}: {last.meta.get('message')}"


def _close(path: Path, info: RunInfo, reason: str) -> RunInfo:
    """Give the file of a lost run a last event and its last name."""
    message = (
        f"The run {info.name or info.id!r} was lost. {reason} Its logs are kept; run it again."
    )
    try:
        with path.open("rb+") as file:
            end = max((end for _, _, end in stored.walk(file.fileno())), default=0)
            file.truncate(end)  # a frame that was cut short
            meta: dict[str, object] = {"type": LOST, "message": message, "traceback": ""}
            stored.append(file.fileno(), frames.encode(Frame(Kind.ERROR, meta)))
        path.rename(path.with_suffix(".lost"))
    except OSError as error:
        log.warning("the file of run %s cannot be closed: %s", info.id, error)
    return replace(info, status="lost", ended_at=time.time(), error=f"{LOST}: {message}")


def is_open(path: Path) -> bool:
    """Tell whether a run's file was not complete yet when its path was looked up."""
    return path.suffix == f".{OPEN}"


def open_events(path: Path) -> BinaryIO:
    """Open a run's file, which may have been given its last name since it was looked up.

    Raises:
        FileNotFoundError: It was removed.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        renamed = stored.run_path(path.parent, path.stem) or path
        return renamed.open("rb")
