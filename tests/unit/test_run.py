"""A run is cancelled where it stands, and only that run."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from runhouse.errors import RunCancelledError, RunTimeoutError
from runhouse.wire import frames
from runhouse.wire.exceptions import load_error
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind
from runhouse.worker import run as run_module
from runhouse.worker.alarms import Alarms
from runhouse.worker.connections import Connection
from runhouse.worker.outbox import Mailbox
from runhouse.worker.run import Run, RunInterrupt, make_sleep_interruptible
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, Connection]]:
    """Give both ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        yield ours, Connection(theirs)


def make_run(
    connection: Connection | None, *, logs: bool = True, statuses: list[str] | None = None
) -> Run:
    """Return a run that nobody has started; a recorded one when its statuses are of interest."""
    seen = [] if statuses is None else statuses
    call = Call("id", "call", "key", logs=logs, record=statuses is not None)
    return Run(call, Mailbox(connection), lambda run: seen.append(run.status))


def in_thread(run: Run, code: Callable[[], object]) -> tuple[threading.Thread, list[str]]:
    """Run code as a call's; note how it ended."""
    ends: list[str] = []

    def work() -> None:
        try:
            try:
                run.enter_thread()
                ends.append("began")
                code()
                ends.append("ended")
            finally:
                run.leave_thread()
        except RunInterrupt:
            ends.append("interrupted")

    thread = threading.Thread(target=work)
    thread.start()
    return thread, ends


def spin() -> None:
    """Compute for a while."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        sum(range(50))


def test_a_computing_run_is_interrupted_and_its_caller_told(
    wire: tuple[socket.socket, Connection],
) -> None:
    run = make_run(wire[1])
    thread, ends = in_thread(run, spin)
    wait_until(lambda: ends)
    run.cancel("Somebody asked for it.")
    frame = frames.receive(wire[0])
    assert frame is not None
    assert frame.kind == Kind.ERROR
    error = load_error(frame)
    assert isinstance(error, RunCancelledError)
    assert "Somebody asked for it." in str(error)
    thread.join(timeout=10)
    assert ends == ["began", "interrupted"]
    run.cancel("again")
    assert run.done


def test_a_sleeping_run_wakes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(None)
    monkeypatch.setattr(time, "sleep", time.sleep)
    make_sleep_interruptible(lambda: run)
    thread, ends = in_thread(run, lambda: time.sleep(60))
    wait_until(lambda: ends)
    run.cancel("")
    thread.join(timeout=5)
    assert ends == ["began", "interrupted"]


@pytest.mark.parametrize("wait", [spin, lambda: time.sleep(60)], ids=["computing", "sleeping"])
def test_what_cleans_up_may_print_and_sleep(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[[], None]
) -> None:
    run = make_run(None)
    monkeypatch.setattr(time, "sleep", time.sleep)
    make_sleep_interruptible(lambda: run)
    steps: list[str] = []

    def work() -> None:
        try:
            wait()
        finally:
            run.log(("stdout", "saving"))
            steps.append("printed")
            time.sleep(0.01)
            run.log(("stdout", "saved"))
            steps.append("slept")

    thread, ends = in_thread(run, work)
    wait_until(lambda: ends)
    run.cancel("")
    thread.join(timeout=5)
    assert ends == ["began", "interrupted"]
    assert steps == ["printed", "slept"]


def test_a_thread_that_has_cleaned_up_can_be_interrupted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [make_run(None), make_run(None)]
    now: list[Run] = []
    monkeypatch.setattr(time, "sleep", time.sleep)
    make_sleep_interruptible(lambda: now[-1])

    def work() -> None:
        for run in runs:
            now.append(run)
            with contextlib.suppress(RunInterrupt):
                try:
                    run.enter_thread()
                    time.sleep(60)
                finally:
                    run.leave_thread()

    thread = threading.Thread(target=work)
    thread.start()
    for count, run in enumerate(runs, 1):
        wait_until(lambda count=count: len(now) == count)  # type: ignore[misc]
        run.cancel("")
    thread.join(timeout=5)
    assert not thread.is_alive()


def test_sleep_stays_as_it_is_outside_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", time.sleep)
    make_sleep_interruptible(lambda: None)
    began = time.monotonic()
    time.sleep(0.02)
    assert time.monotonic() - began >= 0.02
    with pytest.raises(ValueError, match="non-negative"):
        time.sleep(-1)
    with pytest.raises(TypeError):
        time.sleep("1")  # type: ignore[arg-type]


def test_a_run_that_was_cancelled_before_never_begins() -> None:
    run = make_run(None)
    run.cancel("")
    thread, ends = in_thread(run, spin)
    thread.join(timeout=5)
    assert ends == ["interrupted"]


def test_an_interrupt_that_comes_too_late_hits_nobody_else() -> None:
    """Interrupt at the very end, many times: the thread's next run is never hit."""
    for _ in range(200):
        run = make_run(None)
        survived: list[int] = []

        def work(run: Run = run, survived: list[int] = survived) -> None:
            with contextlib.suppress(RunInterrupt):
                try:
                    run.enter_thread()
                    sum(range(100))
                finally:
                    run.leave_thread()
            survived.extend(number for number in range(50))

        thread = threading.Thread(target=work)
        thread.start()
        run.cancel("")
        thread.join(timeout=5)
        assert len(survived) == 50


def test_a_run_without_a_caller_has_its_time_and_no_more() -> None:
    due: list[Run] = []
    grace = Alarms(due.append)
    soon, later, back = make_run(None), make_run(None), make_run(None)
    for run, after_s in ((later, 0.15), (soon, 0.05), (back, 0.05)):
        grace.begin(run, after_s)
        grace.begin(run, after_s)
    grace.end(back)
    wait_until(lambda: len(due) == 2)
    assert due == [soon, later]
    assert len(grace) == 0


def test_many_runs_without_callers_need_one_thread() -> None:
    grace = Alarms(lambda run: None)
    before = threading.active_count()
    for _ in range(200):
        grace.begin(make_run(None), 60)
    assert threading.active_count() <= before + 1
    assert len(grace) == 200


def test_output_is_sent_only_to_callers_who_want_it(
    wire: tuple[socket.socket, Connection],
) -> None:
    silent = make_run(wire[1], logs=False)
    silent.log(("stdout", "not this"))
    silent.finish(Frame(Kind.RESULT), "done")
    frame = frames.receive(wire[0])
    assert frame is not None
    assert frame.kind == Kind.RESULT
    assert run_module.RunInterrupt.__mro__[1] is KeyboardInterrupt


def test_the_status_is_told_before_the_last_event(
    wire: tuple[socket.socket, Connection],
) -> None:
    statuses: list[str] = []
    run = make_run(wire[1], statuses=statuses)
    assert run.status == "queued"
    run.begin()
    assert run.finish(Frame(Kind.RESULT), "done")
    assert not run.finish(Frame(Kind.RESULT), "failed")
    assert not run.cancel("too late")
    run.begin()
    assert statuses == ["running", "done"]
    assert run.info("env", "worker").status == "done"
    assert run.ended_at >= run.created_at


def test_a_run_can_be_ended_for_another_reason_than_a_cancel(
    wire: tuple[socket.socket, Connection],
) -> None:
    run = make_run(wire[1])
    assert run.end(RunTimeoutError("It took too long."), "failed")
    assert (run.status, run.forced) == ("failed", True)
    assert run.error == "RunTimeoutError: It took too long."
    frame = frames.receive(wire[0])
    assert frame is not None
    assert isinstance(load_error(frame), TimeoutError)
