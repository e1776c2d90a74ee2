"""Runs are acted on when their time is up, whatever times others have."""

from __future__ import annotations

import gc
import math
import threading
from typing import TYPE_CHECKING

import pytest

from runhouse.wire.messages import Call
from runhouse.worker.alarms import Alarms
from runhouse.worker.outbox import Mailbox
from runhouse.worker.run import Run
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


def make_run() -> Run:
    """Return a run that nobody has started."""
    return Run(Call("id", "call", "key"), Mailbox(None), lambda run: None)


def test_runs_are_acted_on_in_the_order_of_their_times() -> None:
    due: list[Run] = []
    alarms = Alarms(due.append)
    runs = {after_s: make_run() for after_s in (0.9, 0.3, 0.0, 0.6)}
    for after_s, run in runs.items():
        alarms.begin(run, after_s)
    wait_until(lambda: len(due) == 4)
    assert due == [runs[after_s] for after_s in sorted(runs)]


def test_a_time_that_has_begun_goes_on() -> None:
    due: list[Run] = []
    alarms = Alarms(due.append)
    run = make_run()
    alarms.begin(run, 0.02)
    alarms.begin(run, 60)
    wait_until(lambda: due)
    assert len(alarms) == 0


def test_a_time_that_was_ended_is_forgotten_and_can_begin_again() -> None:
    due: list[Run] = []
    alarms = Alarms(due.append)
    run, other = make_run(), make_run()
    alarms.begin(run, 0.05)
    alarms.end(run)
    alarms.end(run)
    alarms.end(other)
    alarms.begin(other, 0.1)
    wait_until(lambda: due)
    assert due == [other]
    alarms.begin(run, 0.01)
    wait_until(lambda: len(due) == 2)


def test_an_alarm_may_be_set_again_by_what_it_does() -> None:
    count = 0
    ended = threading.Event()

    def act(run: Run) -> None:
        nonlocal count
        count += 1
        if count < 3:
            alarms.begin(run, 0.01)
        else:
            ended.set()

    alarms = Alarms(act)
    alarms.begin(make_run(), 0.01)
    assert ended.wait(10)
    assert count == 3


@pytest.mark.parametrize("after_s", [1e10, 1e300, math.inf])
def test_a_time_of_many_years_keeps_no_other_from_being_watched(after_s: float) -> None:
    due: list[Run] = []
    alarms = Alarms(due.append)
    alarms.begin(make_run(), after_s)
    soon = make_run()
    wait_until(lambda: any(t.name == "runhouse-alarms" for t in threading.enumerate()))
    alarms.begin(soon, 0.05)
    wait_until(lambda: due, timeout_s=5)
    assert due == [soon]
    assert len(alarms) == 1


@pytest.fixture
def busy_collector() -> Iterator[None]:
    """Let the collector of garbage run all the time, and in it other threads."""
    before = gc.get_threshold()
    pause = threading.Event()

    def give_way(phase: str, info: dict[str, int]) -> None:
        del phase, info
        pause.wait(0.001)

    gc.callbacks.append(give_way)
    gc.set_threshold(700)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(give_way)


def test_times_that_begin_and_end_meanwhile_do_not_stop_the_watch(
    request: pytest.FixtureRequest,
) -> None:
    due: list[Run] = []
    alarms = Alarms(due.append)
    kept = [make_run() for _ in range(3000)]  # more than tuples are kept ready
    for run in kept:
        alarms.begin(run, 60)
    passing = [make_run() for _ in range(20)]
    request.getfixturevalue("busy_collector")

    def call_in() -> None:
        for number in range(200):
            alarms.begin(passing[number % 20], 0.001)
            alarms.end(passing[number % 20])

    callers = [threading.Thread(target=call_in) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    last = make_run()
    alarms.begin(last, 0.0)
    wait_until(lambda: last in due)


def test_an_alarm_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    due: list[Run] = []

    def act(run: Run) -> None:
        if not due:
            due.append(run)
            msg = "as expected"
            raise RuntimeError(msg)
        due.append(run)

    alarms = Alarms(act)
    first, second = make_run(), make_run()
    alarms.begin(first, 0.0)
    wait_until(lambda: due == [first])
    alarms.begin(second, 0.0)
    wait_until(lambda: due == [first, second])
    assert "the alarm of run id failed" in caplog.text
