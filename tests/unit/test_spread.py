"""Many calls at once take items as they need them, and give results in order or as they come."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from runhouse.proxies.spread import spread
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Caller:
    """Double numbers; some calls wait until they are released, and negative numbers fail."""

    def __init__(self, *waiting: int) -> None:
        """Let the calls of some items wait."""
        self.gates = {item: threading.Event() for item in waiting}
        self.began: list[int] = []
        self.ids: dict[int, str] = {}
        self.cancelled: list[str] = []
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()

    def call(self, item: int, run_id: str) -> int:
        """Double a number."""
        with self.lock:
            self.began.append(item)
            self.ids[item] = run_id
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if item in self.gates:
                assert self.gates[item].wait(10)
            if item < 0:
                message = f"no {item}"
                raise ValueError(message)
            return 2 * item
        finally:
            with self.lock:
                self.running -= 1

    def cancel(self, run_id: str) -> None:
        """Stop a call."""
        self.cancelled.append(run_id)
        item = next(item for item, known in self.ids.items() if known == run_id)
        self.gates[item].set()


class Source:
    """Give numbers, and count how many were taken."""

    def __init__(self, count: int) -> None:
        """Have so many numbers."""
        self.count = count
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        """Give the numbers."""
        for number in range(self.count):
            self.taken += 1
            yield number


def idle() -> None:
    """Wait until no thread of a map is left."""
    wait_until(lambda: not any(t.name.startswith("runhouse-map") for t in threading.enumerate()))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 100), max_size=30), st.integers(1, 5), st.booleans())
def test_each_item_has_its_result(items: list[int], concurrency: int, ordered: bool) -> None:
    caller = Caller()
    results = list(spread(caller, items, concurrency, ordered=ordered))
    expected = [2 * item for item in items]
    assert (results if ordered else sorted(results)) == (expected if ordered else sorted(expected))
    assert len(caller.began) == len(items)
    assert caller.most <= concurrency
    assert caller.cancelled == []


def test_nothing_begins_before_it_is_asked_for() -> None:
    caller, source = Caller(), Source(10)
    results = spread(caller, source, 2, ordered=True)
    assert (source.taken, caller.began) == (0, [])
    results.close()
    assert (source.taken, caller.began) == (0, [])


@pytest.mark.parametrize("concurrency", [1, 3])
def test_few_items_are_taken_ahead(concurrency: int) -> None:
    caller, source = Caller(), Source(10**9)
    results = spread(caller, source, concurrency, ordered=True)
    for number in range(20):
        assert next(results) == 2 * number
        assert source.taken <= number + 2 * concurrency
    results.close()
    assert source.taken <= 20 + 2 * concurrency
    idle()


def test_results_keep_their_order_although_a_later_one_is_there_first() -> None:
    caller = Caller(0)
    results = spread(caller, range(4), 2, ordered=True)
    first: list[int] = []
    thread = threading.Thread(target=lambda: first.append(next(results)))
    thread.start()
    wait_until(lambda: set(caller.began) >= {0, 1, 2, 3})
    assert first == []
    caller.gates[0].set()
    thread.join(timeout=10)
    assert [*first, *results] == [0, 2, 4, 6]


def test_results_come_as_they_are_made_when_order_does_not_matter() -> None:
    caller = Caller(0)
    results = spread(caller, range(6), 2, ordered=False)
    others = [next(results) for _ in range(5)]
    assert sorted(others) == [2, 4, 6, 8, 10]
    caller.gates[0].set()
    assert list(results) == [0]


def test_an_error_takes_the_place_of_its_result_and_ends_the_rest() -> None:
    caller = Caller(2)
    results = spread(caller, [0, 1, -5, 2, 3, 4, 5, 6, 7], 2, ordered=True)
    assert [next(results), next(results)] == [0, 2]
    with pytest.raises(ValueError, match="no -5"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    wait_until(lambda: 2 not in caller.began or caller.cancelled == [caller.ids[2]])
    idle()
    assert caller.began.count(7) == 0


def test_a_source_that_fails_fails_the_map_and_stops_its_calls() -> None:
    caller = Caller(0)

    def items() -> Iterator[int]:
        yield 0
        wait_until(lambda: caller.began)
        message = "no more"
        raise LookupError(message)

    with pytest.raises(LookupError, match="no more"):
        next(spread(caller, items(), 3, ordered=True))
    wait_until(lambda: caller.cancelled == [caller.ids[0]])
    idle()


def test_a_map_that_is_closed_cancels_what_runs_and_begins_nothing_more() -> None:
    caller = Caller(1, 2)
    results = spread(caller, Source(100), 2, ordered=True)
    assert next(results) == 0
    wait_until(lambda: set(caller.began) == {0, 1, 2})
    results.close()
    wait_until(lambda: sorted(caller.cancelled) == sorted([caller.ids[1], caller.ids[2]]))
    idle()
    assert set(caller.began) == {0, 1, 2}


def test_every_call_has_an_id_of_its_own() -> None:
    caller = Caller()
    list(spread(caller, range(50), 4, ordered=False))
    assert len(set(caller.ids.values())) == 50


@pytest.mark.parametrize("bad", [None, 5])
def test_what_cannot_be_iterated_over_is_an_error(bad: object) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        next(spread(Caller(), bad, 2, ordered=True))  # type: ignore[arg-type]
