"""What goes on and how far it is, shown on a terminal when it takes longer than a second.

What is written to standard error meanwhile appears above it.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType
    from rich.live import Live
    from rich.progress import Progress

    OnBytes = Callable[[int, int], None]

_PATIENCE_S = 1.0
_TURNS = 12.5  # pictures a second, as many as the spinner has


def is_terminal(stream: IO[str] | None) -> bool:
    """Tell whether a stream is a terminal, as standard error need not be, nor be there at all."""
    isatty = getattr(stream, "isatty", None)  # what others put in its place may lack that
    return isatty is not None and not getattr(stream, "closed", False) and bool(isatty())


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
            if not is_terminal(self._stream) or time.monotonic() < self._begin_at:
                return
            _spinner.hide()
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


class Spinner:
    """Show what goes on in all threads, the newest of it at a time."""

    def __init__(self, *, patience_s: float = _PATIENCE_S) -> None:
        """Have nothing to show."""
        self._patience_s = patience_s
        self._lock = threading.RLock()
        self._titles: list[str] = []
        self._timer: threading.Timer | None = None
        self._line: Live | None = None

    @contextmanager
    def working(self, title: str) -> Iterator[None]:
        """Show a title while the block runs, on a terminal, when that takes longer than a second.

        Args:
            title: What goes on, as in "Connecting to box".
        """
        if not is_terminal(sys.stderr):
            yield
            return
        with self._lock:
            self._titles.append(title)
            if len(self._titles) == 1:
                self._timer = threading.Timer(self._patience_s, self._show)
                self._timer.daemon = True
                self._timer.start()
            self._update()
        try:
            yield
        finally:
            with self._lock:
                self._titles.remove(title)
                if self._titles:
                    self._update()
                else:
                    self.hide()

    def hide(self) -> None:
        """Take it off the terminal until something else goes on; safe to repeat."""
        with self._lock:
            timer, self._timer = self._timer, None
            line, self._line = self._line, None
        if timer is not None:
            timer.cancel()
        if line is not None:
            line.stop()

    def _show(self) -> None:
        """Show it; rich is loaded with the first one."""
        live = importlib.import_module("rich.live").Live
        console = importlib.import_module("rich.console").Console(file=sys.stderr)
        with self._lock:
            if self._timer is threading.current_thread():  # not one that was given up meanwhile
                # Standard output is left alone: others put something else in its place, too.
                self._line = live(
                    _turning(self._titles[-1]),
                    console=console,
                    refresh_per_second=_TURNS,
                    transient=True,
                    redirect_stdout=False,
                )
                self._line.start()

    def _update(self) -> None:
        if self._line is not None:
            self._line.update(_turning(self._titles[-1]))


def _turning(title: str) -> RenderableType:
    """Return a title beside something that turns; names in it are no markup."""
    text = importlib.import_module("rich.text").Text(title)
    made: RenderableType = importlib.import_module("rich.spinner").Spinner("dots", text)
    return made


_spinner = Spinner()
working = _spinner.working


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
