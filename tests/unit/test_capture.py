"""Output goes to the call that made it, and to the worker's log."""

from __future__ import annotations

import contextvars
import io
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from runhouse.worker.capture import Capture, CapturedStream, RecordHandler, current, want_level

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runhouse.wire.messages import LogEntry


class Heard:
    """Remember what a call has said."""

    log_level = logging.INFO

    def __init__(self) -> None:
        """Start with nothing."""
        self.entries: list[LogEntry] = []

    def log(self, entry: LogEntry) -> None:
        """Remember one piece."""
        self.entries.append(entry)

    def text(self, name: str) -> str:
        """Return all that was said on a stream."""
        return "".join(str(what) for stream, what in self.entries if stream == name)


class Rig:
    """Hold a capture that is not installed, and the places that it writes to."""

    def __init__(self, folder: Path) -> None:
        """Make the log and a pipe."""
        self.log = folder / "log"
        self.running: list[Heard] = []
        self.read_end, self.write_end = os.pipe()
        self.log_fd = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.set_blocking(self.read_end, False)
        self.capture = Capture(lambda: self.running, self.log_fd, {self.read_end: "stdout"})

    def close(self) -> None:
        """Give back the descriptors."""
        for fd in (self.read_end, self.write_end, self.log_fd):
            os.close(fd)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Give a capture of one test."""
    made = Rig(tmp_path)
    yield made
    made.close()


def test_text_goes_to_the_call_of_its_context(rig: Rig) -> None:
    stream, first, second = CapturedStream("stdout", rig.capture), Heard(), Heard()

    def speak(heard: Heard, text: str) -> None:
        current.set(heard)
        print(text, file=stream)

    contextvars.copy_context().run(speak, first, "one")
    contextvars.copy_context().run(speak, second, "two")
    print("nobody's", file=stream)
    assert (first.text("stdout"), second.text("stdout")) == ("one\n", "two\n")
    assert rig.log.read_text() == "one\ntwo\nnobody's\n"


def test_bytes_are_decoded_even_in_pieces(rig: Rig) -> None:
    stream, heard = CapturedStream("stderr", rig.capture), Heard()
    token = current.set(heard)
    try:
        for byte in "é✓\n".encode():
            stream.buffer.write(bytes([byte]))
    finally:
        current.reset(token)
    assert heard.text("stderr") == "é✓\n"


def test_a_stream_behaves_like_pythons_own(rig: Rig) -> None:
    stream = CapturedStream("stdout", rig.capture)
    assert (stream.fileno(), stream.name, stream.encoding) == (1, "<stdout>", "utf-8")
    assert stream.writable()
    assert not stream.isatty()
    assert stream.write("") == 0
    with pytest.raises(TypeError, match="takes a str, not bytes"):
        stream.write(b"x")  # type: ignore[arg-type]
    assert isinstance(stream, io.TextIOBase)


def test_writes_past_python_belong_to_the_only_call_or_to_nobody(rig: Rig) -> None:
    first, second = Heard(), Heard()
    rig.running.append(first)
    os.write(rig.write_end, b"from C\n")
    rig.capture.drain()
    rig.running.append(second)
    os.write(rig.write_end, b"whose?\n")
    rig.capture.drain()
    assert first.text("stdout") == "from C\n"
    assert second.text("stdout") == ""
    assert rig.log.read_text() == "from C\nwhose?\n"


def test_records_carry_what_a_handler_needs(rig: Rig) -> None:
    handler, heard = RecordHandler(rig.capture), Heard()
    token = current.set(heard)
    try:
        logger = logging.Logger("a.b")
        try:
            raise ValueError("no")  # noqa: TRY301 - it is raised to be caught
        except ValueError:
            record = logger.makeRecord(
                "a.b", logging.ERROR, "file.py", 7, "said %s", ("x",), sys.exc_info(), "f"
            )
        handler.handle(record)
        debug = logger.makeRecord("a.b", logging.DEBUG, "file.py", 8, "quiet", (), None)
        handler.handle(debug)
    finally:
        current.reset(token)
    ((name, fields),) = heard.entries
    assert name == "record"
    assert isinstance(fields, dict)
    assert (fields["msg"], fields["lineno"], fields["funcName"]) == ("said x", 7, "f")
    assert "ValueError: no" in fields["exc_text"]
    assert logging.makeLogRecord(fields).getMessage() == "said x"


def test_a_lower_level_is_asked_for_only_without_a_configuration() -> None:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        root.handlers[:] = []
        root.setLevel(logging.WARNING)
        want_level(logging.INFO)
        assert root.level == logging.INFO
        want_level(logging.ERROR)
        assert root.level == logging.INFO
        root.handlers[:] = [logging.NullHandler()]
        want_level(logging.DEBUG)
        assert root.level == logging.INFO
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_a_full_log_ends_no_call(rig: Rig) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        capture = Capture(list, full, {})
        CapturedStream("stdout", capture).write("text")
    finally:
        os.close(full)


def test_writers_in_many_threads_lose_nothing(rig: Rig) -> None:
    stream, heard = CapturedStream("stdout", rig.capture), [Heard() for _ in range(4)]

    def speak(number: int) -> None:
        current.set(heard[number])
        for line in range(200):
            stream.write(f"{number} {line}\n")

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, each in enumerate(heard):
        assert each.text("stdout") == "".join(f"{number} {line}\n" for line in range(200))
