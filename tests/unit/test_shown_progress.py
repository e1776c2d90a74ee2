"""What goes on is shown on terminals, when it takes a while, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runhouse.specs.progress import Meter, Spinner, shown, working
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(autouse=True)
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a terminal that can do what most can."""
    monkeypatch.setenv("TERM", "xterm")


class Terminal(io.StringIO):
    """Be a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_is_shown_on_a_terminal_after_a_while() -> None:
    quick, quiet, slow = Terminal(), io.StringIO(), Terminal()
    for stream, patience_s in ((quick, 60.0), (quiet, 0.0), (slow, 0.0)):
        meter = Meter("data", stream, patience_s=patience_s)
        meter.on_bytes(5_000_000, 0)
        meter.on_bytes(5_000_000, 10_000_000)
        meter.close()
        meter.close()
    assert quick.getvalue() == quiet.getvalue() == ""
    assert "data" in slow.getvalue()
    assert "10.0 MB" in slow.getvalue()


def test_a_bar_goes_when_the_transfer_ends() -> None:
    with shown("data") as on_bytes:
        on_bytes(1, 2)


# -- what goes on ---------------------------------------------------------------------------------


@contextlib.contextmanager
def on_terminal() -> Iterator[Terminal]:
    """Have standard error be a terminal."""
    with contextlib.redirect_stderr(Terminal()) as terminal:
        yield terminal
        assert sys.stderr is terminal, "nothing is left of what was put before it"


def shows(terminal: Terminal, text: str) -> Callable[[], bool]:
    return lambda: text in terminal.getvalue()


def test_what_takes_a_while_is_shown_and_goes() -> None:
    with on_terminal() as terminal:
        with Spinner(patience_s=0).working("Connecting to [red]box"):
            wait_until(shows(terminal, "Connecting to [red]box"))
            assert sys.stderr is not terminal
        assert sys.stderr is terminal
        ended = terminal.getvalue()
        assert ended.endswith("\x1b[2K"), "the line is empty again"


def test_what_is_quick_is_not_shown() -> None:
    with on_terminal() as terminal:
        with working("Connecting to box"):
            assert threading.active_count() > 1
        assert terminal.getvalue() == ""


def test_a_timer_that_was_given_up_shows_nothing() -> None:
    spinner = Spinner(patience_s=60)
    with on_terminal() as terminal:
        with spinner.working("Connecting to box"):
            late = spinner._show  # of what took a while to begin, and has ended
            thread = threading.Thread(target=late)
            thread.start()
            thread.join()
        assert terminal.getvalue() == ""


class Bare:
    """Take what is written, as what people put in place of standard error does."""

    def write(self, text: str) -> int:
        return len(text)


def closed() -> Terminal:
    made = Terminal()
    made.close()
    return made


@pytest.mark.parametrize("stream", [None, closed(), Bare()], ids=["none", "closed", "bare"])
def test_a_program_need_not_have_standard_error(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with Spinner(patience_s=0).working("Connecting to box"), shown("data") as on_bytes:
            on_bytes(1, 2)
        assert sys.stderr is stream


def test_nothing_is_shown_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    before = threading.active_count()
    with Spinner(patience_s=0).working("Connecting to box"):
        assert threading.active_count() == before
    assert capsys.readouterr() == ("", "")


def test_the_newest_is_shown_and_then_what_it_is_part_of() -> None:
    with on_terminal() as terminal:
        spinner = Spinner(patience_s=0)
        with spinner.working("Setting up lab"):
            wait_until(shows(terminal, "Setting up lab"))
            with spinner.working("Connecting to box"):
                wait_until(shows(terminal, "Connecting to box"))
            terminal.truncate(0)
            wait_until(shows(terminal, "Setting up lab"))


def test_each_thread_may_have_something_to_do() -> None:
    with on_terminal() as terminal:
        spinner, end = Spinner(patience_s=0), threading.Event()

        def work(number: int) -> None:
            with spinner.working(f"Connecting to box {number}"):
                end.wait(10)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        wait_until(shows(terminal, "Connecting to box"))
        end.set()
        for thread in threads:
            thread.join()
        assert sys.stderr is terminal
        with spinner.working("Starting runhouse"):
            wait_until(shows(terminal, "Starting runhouse"))


def test_lines_that_are_written_meanwhile_stay_whole() -> None:
    with on_terminal() as terminal:
        with Spinner(patience_s=0).working("Setting up lab"):
            wait_until(shows(terminal, "Setting up lab"))
            for piece in ("Resolved 3", " packages\n", "Installed\n"):
                sys.stderr.write(piece)
        lines = _CODES.sub("", terminal.getvalue()).replace("\r", "\n").splitlines()
        assert {"Resolved 3 packages", "Installed"} <= set(lines)


def test_a_bar_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_terminal() as terminal:
        spinner = Spinner(patience_s=0)
        monkeypatch.setattr("runhouse.specs.progress._spinner", spinner)
        with spinner.working("Setting up lab"):
            wait_until(shows(terminal, "Setting up lab"))
            meter = Meter("data", terminal, patience_s=0)
            meter.on_bytes(1, 2)
            terminal.truncate(0)
            meter.on_bytes(2, 2)
            meter.close()
            assert "Setting up lab" not in terminal.getvalue()


def test_it_goes_also_when_the_work_fails() -> None:
    with on_terminal() as terminal:
        with pytest.raises(KeyboardInterrupt), Spinner(patience_s=0).working("Connecting to box"):
            wait_until(shows(terminal, "Connecting to box"))
            raise KeyboardInterrupt
        assert sys.stderr is terminal
