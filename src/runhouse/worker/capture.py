"""Bring each call's output to its caller: prints, log records, and writes of C code.

`sys.stdout` and `sys.stderr` know which call is running in the current context (thread or task).
Writes past Python (C libraries, child processes) arrive through a pipe behind file descriptors 1
and 2: they belong to the running call when there is just one, and otherwise only to the worker's
log, since nobody can tell whose they are.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import io
import logging
import os
import select
import struct
import sys
import termios
import threading
from codecs import getincrementaldecoder
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runhouse.wire.messages import LogEntry

StreamName = Literal["stdout", "stderr"]
_CHUNK = 64 * 1024


class Sink(Protocol):
    """Take the output of one call."""

    log_level: int

    def log(self, entry: LogEntry) -> None:
        """Take one piece of output."""


current: ContextVar[Sink | None] = ContextVar("runhouse_call", default=None)


def current_sink() -> Sink | None:
    """Return the call that the calling code belongs to, threads that it started included."""
    sink = current.get()
    if sink is None:
        sink = getattr(threading.current_thread(), "_runhouse_call", None)
    return sink


class _Bytes(io.RawIOBase):
    """Be the `buffer` of a captured stream: decode bytes and pass them on as text."""

    def __init__(self, stream: CapturedStream) -> None:
        self._stream = stream
        self._decoder = getincrementaldecoder("utf-8")(errors="replace")

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._stream.write(self._decoder.decode(raw))
        return len(raw)


class CapturedStream(io.TextIOBase):
    """Stand in for `sys.stdout` or `sys.stderr`."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, name: StreamName, capture: Capture) -> None:
        """Store the stream's name and where its text goes."""
        self._name = name
        self._capture = capture
        self.buffer = _Bytes(self)

    @property
    def name(self) -> str:
        """Return the name that Python's own stream has."""
        return f"<{self._name}>"

    def fileno(self) -> int:
        """Return the file descriptor, so that child processes can write to it."""
        return 1 if self._name == "stdout" else 2

    def writable(self) -> bool:
        """Tell that the stream can be written to."""
        return True

    def write(self, text: str) -> int:
        """Pass text on to the caller of the current call and to the worker's log."""
        if not isinstance(text, str):
            msg = f"write() takes a str, not {type(text).__name__}."
            raise TypeError(msg)
        if text:
            self._capture.deliver(self._name, text, current_sink())
        return len(text)


class RecordHandler(logging.Handler):
    """Take the place of `logging.lastResort`: records nobody here handles go to the caller.

    The caller's own logging configuration then decides what becomes of them, as if the function
    had run there.
    """

    def __init__(self, capture: Capture) -> None:
        """Accept every level; each call says which it wants."""
        super().__init__(logging.NOTSET)
        self._capture = capture

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record to the caller of the current call."""
        sink = current_sink()
        text = record.getMessage()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if sink is not None and record.levelno >= sink.log_level:
            fields = {
                "name": record.name,
                "levelno": record.levelno,
                "levelname": record.levelname,
                "msg": text,
                "created": record.created,
                "pathname": record.pathname,
                "filename": record.filename,
                "module": record.module,
                "lineno": record.lineno,
                "funcName": record.funcName,
                "exc_text": record.exc_text,
                "threadName": record.threadName,
                "process": record.process,
                "processName": record.processName,
            }
            sink.log(("record", fields))
        if record.levelno >= logging.WARNING or sink is not None:
            self._capture.write_log(f"{record.levelname}:{record.name}:{text}\n")


def want_level(level: int) -> None:
    """Let records of a level be made, unless user code has set up logging itself."""
    root = logging.getLogger()
    if level < root.level and not root.handlers:
        root.setLevel(level)


class Capture:
    """Own the worker's output: the two streams, the pipes behind 1 and 2, and the log file."""

    def __init__(
        self, writers: Callable[[], Sequence[Sink]], log_fd: int, pipes: dict[int, StreamName]
    ) -> None:
        """Store where output comes from and goes to.

        Args:
            writers: Returns the calls whose code may be writing now.
            log_fd: The worker's log file, open for appending.
            pipes: Read ends of the pipes behind file descriptors 1 and 2.
        """
        self._writers = writers
        self._log_fd = log_fd
        self._pipes = pipes
        self._decoders = {fd: getincrementaldecoder("utf-8")(errors="replace") for fd in pipes}
        self._lock = threading.Lock()
        self._libc: ctypes.CDLL | None = None

    def install(self) -> None:
        """Replace the streams, take log records, and start to read the pipes."""
        with contextlib.suppress(OSError):  # no C library to flush (a static interpreter)
            self._libc = ctypes.CDLL(None)
        sys.stdout = CapturedStream("stdout", self)
        sys.stderr = CapturedStream("stderr", self)
        logging.lastResort = RecordHandler(self)
        os.register_at_fork(after_in_child=_use_plain_streams)
        _remember_call_in_threads()
        for fd in self._pipes:
            os.set_blocking(fd, False)
        threading.Thread(target=self._pump, name="runhouse-output", daemon=True).start()

    def deliver(self, name: StreamName, text: str, sink: Sink | None) -> None:
        """Give text to a call and to the log."""
        if sink is not None:
            sink.log((name, text))
        self.write_log(text)

    def write_log(self, text: str) -> None:
        """Append to the worker's log; a full disk must not end a call."""
        with contextlib.suppress(OSError):
            os.write(self._log_fd, text.encode("utf-8", "replace"))

    def drain(self) -> None:
        """Pass on what C code has written until now (called when a call ends)."""
        if self._libc is not None:
            self._libc.fflush(None)
        for fd in self._pipes:
            if _unread(fd):
                self._read(fd)

    def _pump(self) -> None:
        """Read the pipes for ever."""
        poller = select.poll()
        for fd in self._pipes:
            poller.register(fd, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                self._read(fd)

    def _read(self, fd: int) -> None:
        with self._lock:
            try:
                data = os.read(fd, _CHUNK)
            except BlockingIOError:
                return  # the other reader was quicker
            text = self._decoders[fd].decode(data)
            writers = self._writers()
            self.deliver(self._pipes[fd], text, writers[0] if len(writers) == 1 else None)


def _unread(fd: int) -> bool:
    """Tell whether a pipe holds bytes that nobody has read."""
    answer = fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4)
    return bool(struct.unpack("i", answer)[0])


def _plain(fd: int) -> TextIO:
    return io.TextIOWrapper(
        open(fd, "wb", buffering=0, closefd=False),  # noqa: SIM115 - lives as long as the process
        encoding="utf-8",
        errors="replace",
        write_through=True,
    )


def _use_plain_streams() -> None:
    """Let a forked child write to the pipes, since the caller's connection is its parent's."""
    sys.stdout = _plain(1)
    sys.stderr = _plain(2)
    logging.lastResort = logging.StreamHandler(sys.stderr)
    logging.lastResort.setLevel(logging.WARNING)


def _remember_call_in_threads() -> None:
    """Let threads that a call starts belong to that call."""
    start = threading.Thread.start

    def start_and_remember(self: threading.Thread) -> None:
        self._runhouse_call = current_sink()  # type: ignore[attr-defined]
        start(self)

    threading.Thread.start = start_and_remember  # type: ignore[method-assign]
