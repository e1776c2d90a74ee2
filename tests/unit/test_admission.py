"""As many calls run at once as an env allows; the others wait for their turn."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from runhouse.errors import QueueFullError
from runhouse.wire.messages import Call, Limits
from runhouse.worker.admission import Admission
from runhouse.worker.outbox import Mailbox
from runhouse.worker.run import Run, RunInterrupt
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


def make_run(name: str, parent: str = "", told: Callable[[], None] = lambda: None) -> Run:
    """Return a run; `told` is called when its status changes."""
    return Run(Call(name, "call", "key", parent=parent), Mailbox(None), lambda run: told())


def enter_at_once(admission: Admission, run: Run) -> None:
    """Give a run its place, and wait for its turn."""
    admission.book(run)
    admission.enter(run)


class Door:
    """Let runs in from threads of their own, and note in which order they enter."""

    def __init__(self, concurrency: int | None = None, queue: int | None = None) -> None:
        """Set the limits."""
        self.admission = Admission()
        self.admission.set_limits(Limits(concurrency, queue))
        self.entered: list[str] = []
        self.ended: list[str] = []
        self.threads: list[threading.Thread] = []

    def knock(self, run: Run) -> None:
        """Let a run in on another thread, and return when it is in or waits."""
        waiting = len(self.admission._waiting)

        def enter() -> None:
            try:
                enter_at_once(self.admission, run)
            except RunInterrupt:
                self.ended.append(run.id)
            else:
                self.entered.append(run.id)

        thread = threading.Thread(target=enter)
        thread.start()
        self.threads.append(thread)
        wait_until(lambda: not thread.is_alive() or len(self.admission._waiting) > waiting)

    def wait_for(self, *entered: str) -> None:
        """Wait until exactly these have entered, in this order."""
        wait_until(lambda: len(self.entered) >= len(entered))
        assert self.entered == list(entered)


def test_without_limits_nobody_waits() -> None:
    admission = Admission()
    for number in range(100):
        enter_at_once(admission, make_run(str(number)))


def test_calls_enter_in_the_order_in_which_they_came() -> None:
    door = Door(concurrency=2)
    runs = [make_run(str(number)) for number in range(6)]
    for run in runs:
        door.knock(run)
    door.wait_for("0", "1")
    for number in range(4):
        door.admission.leave(runs[number])
        door.wait_for(*map(str, range(number + 3)))
    for thread in door.threads:
        thread.join(timeout=10)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 16))
def test_never_more_calls_run_than_are_allowed(limit: int, calls: int) -> None:
    admission = Admission()
    admission.set_limits(Limits(limit))
    lock = threading.Lock()
    inside, most = 0, 0

    def work(run: Run) -> None:
        nonlocal inside, most
        enter_at_once(admission, run)
        with lock:
            inside += 1
            most = max(most, inside)
        with lock:
            inside -= 1
        admission.leave(run)
        admission.leave(run)

    threads = [
        threading.Thread(target=work, args=(make_run(str(number)),)) for number in range(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert most <= limit


@pytest.mark.parametrize("queue", [0, 1, 3])
def test_a_full_queue_takes_nobody_and_says_so(queue: int) -> None:
    door = Door(concurrency=1, queue=queue)
    runs = [make_run(str(number)) for number in range(queue + 1)]
    for run in runs:
        door.knock(run)
    late = make_run("late")
    with pytest.raises(QueueFullError, match=f"runs 1 calls at once, and {queue} are") as caught:
        enter_at_once(door.admission, late)
    assert caught.value.waiting == queue
    door.admission.leave(late)
    for number, run in enumerate(runs):
        door.wait_for(*map(str, range(number + 1)))
        door.admission.leave(run)
    enter_at_once(door.admission, late)


def test_a_call_that_a_running_call_makes_does_not_wait_for_it() -> None:
    door = Door(concurrency=1, queue=0)
    parent, child, grandchild = make_run("a"), make_run("b", "a"), make_run("c", "b")
    for run in (parent, child, grandchild):
        enter_at_once(door.admission, run)
    with pytest.raises(QueueFullError):
        enter_at_once(door.admission, make_run("d", "another worker's run"))
    for run in (child, grandchild):
        door.admission.leave(run)
    with pytest.raises(QueueFullError):
        enter_at_once(door.admission, make_run("d", "b"))
    door.admission.leave(parent)
    enter_at_once(door.admission, make_run("d", "a"))


def test_a_waiting_call_that_is_cancelled_leaves_the_queue() -> None:
    door = Door(concurrency=1)
    first, waiting, last = make_run("0"), make_run("1", told=door.admission.wake), make_run("2")
    for run in (first, waiting, last):
        door.knock(run)
    waiting.cancel("")
    wait_until(lambda: door.ended)
    assert (door.ended, door.entered) == (["1"], ["0"])
    door.admission.leave(waiting)
    assert door.entered == ["0"], "its place was none of those inside"
    door.admission.leave(first)
    door.wait_for("0", "2")


def test_a_wake_without_a_reason_changes_nothing() -> None:
    door = Door(concurrency=1)
    first, second = make_run("0"), make_run("1")
    door.knock(first)
    door.knock(second)
    for _ in range(10):
        door.admission.wake()
    assert door.entered == ["0"]
    door.admission.leave(first)
    door.wait_for("0", "1")


def test_limits_change_for_those_who_wait() -> None:
    door = Door(concurrency=1)
    for number in range(4):
        door.knock(make_run(str(number)))
    assert door.entered == ["0"]
    door.admission.set_limits(Limits(3))
    door.wait_for("0", "1", "2")
    door.admission.set_limits(Limits(1))
    with pytest.raises(QueueFullError):
        door.admission.set_limits(Limits(1, 1))
        enter_at_once(door.admission, make_run("late"))
    door.admission.set_limits(Limits())
    door.wait_for("0", "1", "2", "3")


def test_a_limit_that_comes_later_counts_the_calls_that_run_already() -> None:
    door = Door()
    first = make_run("0")
    enter_at_once(door.admission, first)
    door.admission.set_limits(Limits(1, 0))
    with pytest.raises(QueueFullError):
        enter_at_once(door.admission, make_run("1"))
    door.admission.leave(first)
    enter_at_once(door.admission, make_run("1"))
