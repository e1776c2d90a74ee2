"""Runs go on without their caller, and can be looked at, waited for and ended from anywhere."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.errors import (
    InvalidNameError,
    QueueFullError,
    RunCancelledError,
    RunExistsError,
    RunNotFoundError,
    RunTimeoutError,
)
from tests.integration import sample
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(60)
ROOT = Path(__file__).parents[2]
_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """Give a name that no other run has."""
    return f"run-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def mark(cluster: rh.Cluster) -> Iterator[str]:
    """Give the path of a file on the cluster that is not there yet."""
    folder = cluster.run("mktemp -d", stream_logs=False)[0][1].strip()
    yield f"{folder}/mark"
    cluster.run(f"rm -rf '{folder}'", stream_logs=False)


def read(cluster: rh.Cluster, path: str) -> str:
    """Return what a file on the cluster holds, or nothing."""
    return cluster.run(f"cat '{path}' 2>/dev/null", stream_logs=False)[0][1]


def test_a_run_has_its_result_and_output_kept(cluster: rh.Cluster, name: str) -> None:
    speak = rh.function(sample.speak).to(cluster)
    run = speak.options(run_name=name).run("hello")
    assert run.result() == "hello"
    assert run.result() == "hello"
    assert run.status == "done"
    assert run.key == name
    text = run.logs()
    assert isinstance(text, str)
    assert text.splitlines()[:3] == [
        "hello",
        "hello",
        "WARNING:tests.integration.sample:warning hello",
    ]
    again = rh.run.attach(name, cluster)
    assert (again.id, again.result()) == (run.id, "hello")
    assert cluster.get(name) == "hello"
    assert name in [each.key for each in cluster.runs()]


def test_the_logs_of_a_run_can_be_followed(cluster: rh.Cluster, tmp_path: Path) -> None:
    run = rh.function(sample.speak_often).to(cluster).run("line", 2000)
    followed = "".join(run.logs(follow=True))
    assert followed == "".join(f"line {number}\n" for number in range(2000))
    assert run.logs() == followed


def test_a_run_that_fails_raises_in_its_own_type(cluster: rh.Cluster) -> None:
    run = rh.function(sample.fail).to(cluster).run(7)
    for _ in range(2):
        with pytest.raises(sample.SampleError) as caught:
            run.result()
    assert (caught.value.code, caught.value.hint) == (7, "more")
    assert run.status == "failed"
    assert run.info().error == "tests.integration.sample.SampleError: code 7"


def test_a_recorded_generator_can_be_read_from_its_beginning(cluster: rh.Cluster) -> None:
    run = rh.function(sample.count_to).to(cluster).run(5)
    assert list(run.result()) == list(range(5))
    assert list(run.result()) == list(range(5))
    later = rh.function(sample.count_later).to(cluster).run(3)
    assert list(later.result()) == [0, 1, 2]


def test_a_coroutine_can_run_in_the_background(cluster: rh.Cluster) -> None:
    assert rh.function(sample.add_later).to(cluster).run(1, 2).result() == 3


def test_waiting_for_a_result_can_have_an_end(cluster: rh.Cluster) -> None:
    run = rh.function(sample.wait).to(cluster).run(60)
    with pytest.raises(TimeoutError, match="goes on"):
        run.result(timeout=0.2)
    assert run.status == "running"
    run.cancel()


def test_a_call_with_a_name_is_recorded(cluster: rh.Cluster, name: str) -> None:
    add = rh.function(sample.add).to(cluster)
    assert add.options(run_name=name)(1, 2) == 3
    assert cluster.get_run(name).result() == 3
    assert add(3, 4, run_name=name) == 7  # type: ignore[call-arg]
    assert cluster.get_run(name).result() == 7
    assert list(rh.function(sample.count_to).to(cluster).options(run_name=f"{name}-g")(3)) == [
        0,
        1,
        2,
    ]


def test_a_stored_result_is_returned_instead_of_calling_again(
    cluster: rh.Cluster, name: str, mark: str
) -> None:
    count = rh.function(sample.mark).to(cluster)
    assert count.get_or_call(name, mark) == 1
    assert count.get_or_call(name, mark) == 1
    assert count(mark) == 2
    slow = rh.function(sample.mark_slowly).to(cluster)
    run = slow.options(run_name=f"{name}-slow").run(mark, 0.5)
    assert slow.get_or_call(f"{name}-slow", mark, 0.5) == run.result() == 3
    failing = rh.function(sample.fail_first).to(cluster)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            failing.get_or_call(f"{name}-failing", f"{mark}2", 2)
    assert failing.get_or_call(f"{name}-failing", f"{mark}2", 2) == 3


def test_a_stored_result_comes_in_the_manner_of_its_function(
    cluster: rh.Cluster, name: str
) -> None:
    add = rh.function(sample.add_later).to(cluster)
    count = rh.function(sample.count_later).to(cluster)

    async def use() -> tuple[int, list[int]]:
        total: int = await add.get_or_call(f"{name}-add", 1, 2)
        return total, [number async for number in count.get_or_call(f"{name}-count", 3)]

    first = asyncio.run(use())
    assert first == asyncio.run(use()) == (3, [0, 1, 2])
    assert len([run for run in cluster.runs() if run.key.startswith(name)]) == 2
    plain = rh.function(sample.count_to).to(cluster)
    for _ in range(2):
        assert list(plain.get_or_call(f"{name}-plain", 3)) == [0, 1, 2]


def test_one_name_is_one_run_at_a_time(cluster: rh.Cluster, name: str) -> None:
    wait = rh.function(sample.wait).to(cluster)
    run = wait.options(run_name=name).run(60)
    with pytest.raises(RunExistsError, match="going on") as caught:
        wait.options(run_name=name).run(60)
    assert caught.value.key == name
    with pytest.raises(RunExistsError, match="going on"):  # another env is another process
        wait.options(run_name=name, env="elsewhere").run(60)
    run.cancel()
    wait_until(lambda: cluster.get_run(name).status == "cancelled")


def test_a_result_stays_where_it_is_and_is_passed_on(cluster: rh.Cluster) -> None:
    identity = rh.function(sample.identity).to(cluster)
    kept = identity.remote([1, 2, 3])
    assert identity(kept) == [1, 2, 3]
    assert identity({"inside": [kept]}) == {"inside": [[1, 2, 3]]}
    assert kept.fetch() == [1, 2, 3]
    assert kept.key in list(cluster.keys())
    same = rh.function(sample.same_object).to(cluster)
    assert same(kept, kept), "a call in the same worker gets the very object"
    elsewhere = rh.function(sample.identity).to(cluster, env="other")
    assert elsewhere(kept) == [1, 2, 3]
    kept.delete()
    assert kept.key not in list(cluster.keys())
    with pytest.raises(KeyError):
        kept.fetch()


def test_an_argument_that_is_not_there_yet_is_waited_for(cluster: rh.Cluster, mark: str) -> None:
    slow = rh.function(sample.mark_slowly).to(cluster).remote(mark, 0.6)
    assert rh.function(sample.add).to(cluster)(slow, 10) == 11  # type: ignore[arg-type]
    failed = rh.function(sample.fail).to(cluster).remote(3)
    with pytest.raises(sample.SampleError):
        rh.function(sample.identity).to(cluster)(failed)


@pytest.mark.parametrize("function", [sample.wait, sample.spin_for], ids=["sleep", "compute"])
def test_a_cancelled_run_stops_and_its_callers_know_at_once(
    cluster: rh.Cluster, function: Callable[[float], str], name: str
) -> None:
    run = rh.function(function).to(cluster).options(run_name=name).run(60)
    raised: list[BaseException] = []

    def wait_for_it() -> None:
        try:
            rh.run.attach(name, cluster).result()
        except RunCancelledError as error:
            raised.append(error)

    waiter = threading.Thread(target=wait_for_it)
    waiter.start()
    counter = rh.module(sample.Counter).to(cluster)(5)
    wait_until(lambda: run.status == "running")
    began = time.monotonic()
    cluster.cancel(name)
    waiter.join(timeout=10)
    assert time.monotonic() - began < 5
    assert len(raised) == 1
    assert run.status == "cancelled"
    wait_until(lambda: cluster.status().running == 0)
    assert counter.add() == 6, "the state of the worker lives on"


def test_a_cancelled_coroutine_stops(cluster: rh.Cluster, mark: str) -> None:
    run = rh.function(sample.wait_later).to(cluster).run(60, mark)
    wait_until(lambda: read(cluster, mark))
    run.cancel()
    with pytest.raises(RunCancelledError):
        run.result()
    wait_until(lambda: read(cluster, mark) == "stopped")


def test_a_generator_is_cancelled_in_mid_stream(cluster: rh.Cluster, name: str) -> None:
    count = rh.function(sample.count_to).to(cluster)
    run = count.options(run_name=name).run(1000, 0.05)
    items = run.result()
    assert [next(items), next(items)] == [0, 1]
    cluster.cancel(name)
    with pytest.raises(RunCancelledError):
        list(items)
    wait_until(lambda: cluster.status().running == 0)


def test_a_call_that_waits_in_c_is_ended_by_force(cluster: rh.Cluster, mark: str) -> None:
    stuck = rh.function(sample.wait_in_c).to(cluster, env="stuck")
    raised: list[BaseException] = []

    def call() -> None:
        try:
            stuck(mark)
        except RunCancelledError as error:
            raised.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(lambda: read(cluster, mark))
    (run,) = [run for run in cluster.runs() if run.status == "running"]
    counter = rh.module(sample.Counter).to(cluster)(1)
    cluster.cancel(run.key, force=True)
    caller.join(timeout=10)
    assert len(raised) == 1
    assert counter.add() == 2, "the other worker lives on"
    wait_until(lambda: "stuck" not in [worker.env for worker in cluster.status().workers])


def test_all_runs_can_be_cancelled(cluster: rh.Cluster) -> None:
    wait = rh.function(sample.wait).to(cluster)
    runs = [wait.run(60) for _ in range(3)]
    cluster.cancel_all()
    for run in runs:
        with pytest.raises(RunCancelledError):
            run.result()
    assert {run.status for run in runs} == {"cancelled"}


def test_a_call_may_have_a_time_limit(cluster: rh.Cluster) -> None:
    wait = rh.function(sample.wait).to(cluster)
    with pytest.raises(RunTimeoutError, match=r"longer than the 0\.2 s"):
        wait.options(timeout=0.2)(60)
    run = wait.options(timeout=0.2).run(60)
    with pytest.raises(TimeoutError):
        run.result()
    assert run.status == "failed"
    assert wait.options(timeout=30)(0.01) == "slept"


def test_a_call_that_raises_may_be_repeated(cluster: rh.Cluster, mark: str) -> None:
    flaky = rh.function(sample.fail_first).to(cluster)
    assert flaky.options(retries=2, retry_on=OSError, backoff=0.01)(mark, 2) == 3
    with pytest.raises(ConnectionError, match="call 4"):
        flaky.options(retries=5, retry_on=[ValueError, KeyError])(mark, 100)
    run = flaky.options(retries=1).run(f"{mark}2", 1)
    assert run.result() == 2
    assert "attempt 1 of 2 raised ConnectionError: call 1" in str(run.logs())


def test_calls_wait_for_their_turn(cluster: rh.Cluster, name: str) -> None:
    cluster.set_limits("narrow", concurrency=1, queue=2)
    wait = rh.function(sample.wait).to(cluster, env="narrow")
    running, second, third = wait.run(60), wait.run(0.01), wait.run(0.01)
    wait_until(lambda: running.status == "running")
    assert (second.status, third.status) == ("queued", "queued")
    with pytest.raises(QueueFullError, match="are waiting, which is the limit"):
        wait(0.01)
    with pytest.raises(QueueFullError):
        wait.options(run_name=name).run(0.01)
    with pytest.raises(RunNotFoundError):
        cluster.get_run(name)
    third.cancel()
    with pytest.raises(RunCancelledError):
        third.result()
    running.cancel()
    assert second.result() == "slept"
    nested = rh.function(sample.call_another).to(cluster, env="narrow")
    assert nested(rh.function(sample.add).to(cluster, env="narrow"), 1, 2) == 3
    cluster.set_limits("narrow")


def test_results_of_many_calls_come_in_order_or_as_they_are_made(cluster: rh.Cluster) -> None:
    add = rh.function(sample.add).to(cluster)
    assert list(add.map(range(30))) == list(range(1, 31))
    assert list(add.starmap([(1, 2), (3, 4)], concurrency=1)) == [3, 7]
    slow_first = rh.function(sample.sleep_and_return).to(cluster)
    as_made = list(slow_first.map([0.5, 0.01], concurrency=2, ordered=False))
    assert as_made == [0.01, 0.5]
    assert list(slow_first.map([0.3, 0.01], concurrency=2)) == [0.3, 0.01]


def test_a_map_that_is_closed_stops_its_calls(cluster: rh.Cluster) -> None:
    results = rh.function(sample.sleep_and_return).to(cluster).map([0.01, 60, 60, 60])
    assert next(results) == 0.01
    assert cluster.status().running > 0
    results.close()  # type: ignore[attr-defined]
    wait_until(lambda: cluster.status().running == 0)


def test_an_error_takes_the_place_of_its_result_in_a_map(cluster: rh.Cluster) -> None:
    results = rh.function(sample.fail_at_three).to(cluster).map(range(6), concurrency=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_what_is_unknown_or_wrong_is_told(cluster: rh.Cluster) -> None:
    with pytest.raises(RunNotFoundError, match="no run 'nothing'") as caught:
        cluster.get_run("nothing")
    assert caught.value.key == "nothing"
    with pytest.raises(RunNotFoundError):
        cluster.cancel("nothing")
    with pytest.raises(RunNotFoundError):
        rh.run.attach("nothing", cluster)
    add = rh.function(sample.add).to(cluster)
    with pytest.raises(TypeError, match="missing a required argument"):
        add.run()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing a required argument"):
        add.remote()  # type: ignore[call-arg]
    with pytest.raises(InvalidNameError):
        add.options(run_name="no name")
    with pytest.raises(ValueError, match="timeout cannot be 0"):
        add.options(timeout=0)
    with pytest.raises(TypeError, match="retry_on"):
        add.options(retry_on=ValueError("no class"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="concurrency"):
        next(add.map([1], concurrency=0))
    with pytest.raises(TypeError, match="items cannot be used. It is of type int"):
        add.map(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an item of starmap cannot be used"):
        list(add.starmap([3]))  # type: ignore[list-item]
    run = add.run(1)
    with pytest.raises(TypeError, match="timeout cannot be used. It is of type str"):
        run.result(timeout="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout cannot be NaN"):
        run.wait(float("nan"))
    with pytest.raises(TypeError, match="run_name cannot be used"):
        cluster.get_run(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="No key has a slash"):
        rh.run.attach("a/b", cluster)
    with pytest.raises(ValueError, match="concurrency cannot be 0"):
        cluster.set_limits(concurrency=0)
