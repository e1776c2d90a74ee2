"""How far a transfer is, shown on a terminal when it takes longer than a second."""

from __future__ import annotations

import importlib
import sys
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

    OnBytes = Callable[[int, int], None]

_PATIENCE_S = 1.0


class Meter:
    """Show bytes that are through; nothing before a second has passed, or without a terminal."""

    def __init__(
        self, title: str, stream: IO[str] | None = None, *, patience_s: float = _PATIENCE_S
    ) -> None:
        """Store what is transferred, and where to show it; None for standard error."""
        self._stream = sys.stderr if stream is None else stream
        self._title = title
        self._begin_at = time.monotonic() + patience_s
        self._progress: Progress | None = None

    def on_bytes(self, done: int, total: int) -> None:
        """Take how far it is; a total of 0 is not known yet."""
        if self._progress is None:
            if not self._stream.isatty() or time.monotonic() < self._begin_at:
                return
            self._progress = _bar(self._title, self._stream)
        (task,) = self._progress.task_ids
        self._progress.update(task, completed=done, total=total or None)

    def close(self) -> None:
        """Take it off the terminal; safe to repeat."""
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.stop()


def _bar(title: str, stream: IO[str]) -> Progress:
    """Show a bar; rich is loaded with the first one, so that nothing else waits for it."""
    rich = importlib.import_module("rich.progress")
    console = importlib.import_module("rich.console").Console(file=stream)
    bar: Progress = rich.Progress(
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        rich.DownloadColumn(),
        rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    bar.add_task(title, total=None)
    bar.start()
    return bar


@contextmanager
def shown(title: str) -> Iterator[OnBytes]:
    """Show how far a transfer is while the block runs.

    Yields:
        What is to be told of bytes.
    """
    meter = Meter(title)
    try:
        yield meter.on_bytes
    finally:
        meter.close()
