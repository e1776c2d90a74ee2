"""Calls behave as if the function were here, on every kind of cluster."""

from __future__ import annotations

import asyncio
import io
import logging
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING

import numpy as np
import pytest

import runhouse as rh
from runhouse.clusters.calls import CallOptions
from runhouse.clusters.env_use import EnvUse
from runhouse.errors import (
    CallError,
    NotSerializableError,
    ObjectNotFoundError,
    RemoteError,
    WorkerDiedError,
)
from tests.integration import sample
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)


def test_a_function_returns_its_value(cluster: rh.Cluster) -> None:
    add = rh.function(sample.add).to(cluster)
    assert add(2, 3) == 5
    assert add(a=2) == 3
    assert add.local(2, 3) == 5
    assert sample.pid() != rh.function(sample.pid).to(cluster)()


def test_a_function_without_a_cluster_runs_here() -> None:
    nowhere = rh.function(sample.pid)
    assert nowhere() == sample.pid()
    there = nowhere.run().result()
    assert there != sample.pid(), "in a worker of this machine"
    assert nowhere.remote().fetch() == there
    assert nowhere.options(timeout=10)() == there
    assert list(rh.function(sample.add).starmap([(1, 2), (3, 4)])) == [3, 7]
    assert nowhere.options(env="other")() not in (there, sample.pid())
    assert nowhere() == sample.pid(), "it is still nowhere"
    rh.here.disconnect()
    rh.here.stop()


def test_values_of_any_picklable_kind_go_both_ways(cluster: rh.Cluster) -> None:
    identity = rh.function(sample.identity).to(cluster)
    for value in (
        None,
        1.5,
        "text é",
        b"bytes",
        {"a": [1, (2,)]},
        {1, 2},
        range(3),
        len,
        sample.add,
    ):
        assert identity(value) == value
    assert rh.function(sample.move).to(cluster)(sample.Point(1, 2), 3) == sample.Point(4, 2)


def test_arrays_go_both_ways_and_can_be_written_to(cluster: rh.Cluster) -> None:
    identity = rh.function(sample.identity).to(cluster)
    if not rh.function(sample.has_module).to(cluster)("numpy"):
        pytest.skip("the Python of this host has no NumPy")
    array = np.arange(1_000_000, dtype="f4").reshape(1000, -1)
    back = identity({"array": array, "strided": array[:, ::2]})
    assert (back["array"] == array).all()
    assert (back["strided"] == array[:, ::2]).all()
    back["array"][0, 0] = 1  # as a result of one's own would be


def test_code_without_a_file_goes_by_value(cluster: rh.Cluster) -> None:
    offset = 10

    def nested(x: int) -> int:
        return x + offset

    assert rh.function(nested).to(cluster)(1) == 11
    assert rh.function(lambda x: x * 2).to(cluster)(4) == 8


def test_a_function_is_found_by_its_name(cluster: rh.Cluster) -> None:
    assert rh.function("math:factorial").to(cluster)(5) == 120
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        rh.function("not_there:f").to(cluster)


def test_coroutine_functions_are_awaited(cluster: rh.Cluster) -> None:
    add_later = rh.function(sample.add_later).to(cluster)

    async def both() -> list[int]:
        return list(await asyncio.gather(add_later(1, 2), add_later(3, 4)))

    assert asyncio.run(both()) == [3, 7]


def test_generators_yield_while_they_are_made(cluster: rh.Cluster) -> None:
    count_to = rh.function(sample.count_to).to(cluster)
    assert list(count_to(2500)) == list(range(2500))
    slow = count_to(1000, 0.05)
    assert [next(slow), next(slow)] == [0, 1]
    slow.close()  # type: ignore[attr-defined]
    wait_until(lambda: cluster.status().running == 0)


def test_async_generators_are_iterated(cluster: rh.Cluster) -> None:
    count_later = rh.function(sample.count_later).to(cluster)

    async def collect() -> list[int]:
        return [value async for value in count_later(30)]

    assert asyncio.run(collect()) == list(range(30))


def test_an_async_call_that_is_cancelled_is_cancelled_there(cluster: rh.Cluster) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    remote = rh.function(never).to(cluster)

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(remote(), 0.3)

    asyncio.run(give_up())
    wait_until(lambda: cluster.status().running == 0)


def test_wrong_arguments_are_refused_before_anything_is_sent(cluster: rh.Cluster) -> None:
    add = rh.function(sample.add).to(cluster)
    calls = sum(worker.calls for worker in cluster.status().workers)
    with pytest.raises(TypeError, match="unexpected keyword"):
        add(1, c=3)  # type: ignore[call-arg]
    with pytest.raises(NotSerializableError, match="The arguments cannot be sent"):
        add(threading.Lock())  # type: ignore[arg-type]
    assert sum(worker.calls for worker in cluster.status().workers) == calls


def test_output_arrives_here(cluster: rh.Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    speak = rh.function(sample.speak).to(cluster)
    capfd.readouterr()
    speak("one")
    out, err = capfd.readouterr()
    assert out.splitlines() == ["one", "bytes one"]
    assert err.startswith("one\n")
    rh.function(sample.speak_in_thread).to(cluster)("in a thread")
    rh.function(sample.speak_in_c).to(cluster)("c")
    assert sorted(capfd.readouterr().out.split("\n")) == ["", "c", "child c", "in a thread"]
    speak("silent", stream_logs=False)  # type: ignore[call-arg]
    assert capfd.readouterr().out == ""


def test_log_records_meet_this_side_s_configuration(
    cluster: rh.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    speak = rh.function(sample.speak).to(cluster)
    with caplog.at_level(logging.INFO):
        speak("x")
    texts = [r.getMessage() for r in caplog.records if r.name == sample.log.name]
    assert texts == ["warning x", "info x"]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        speak("x")
    assert [r.getMessage() for r in caplog.records if r.name == sample.log.name] == ["warning x"]


def test_output_of_two_callers_never_mixes(
    cluster: rh.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak_often = rh.function(sample.speak_often).to(cluster)
    heard: dict[str, list[str]] = {}

    class PerThread(io.StringIO):
        def write(self, text: str) -> int:
            heard.setdefault(threading.current_thread().name, []).append(text)
            return len(text)

    monkeypatch.setattr(sys, "stdout", PerThread())
    names = ["a", "b", "c"]
    threads = [threading.Thread(target=speak_often, args=(name, 300)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {name: "".join(f"{name} {n}\n" for n in range(300)) for name in names}
    assert sorted("".join(texts) for texts in heard.values()) == sorted(expected.values())


def test_exceptions_keep_their_type_and_show_both_tracebacks(cluster: rh.Cluster) -> None:
    with pytest.raises(sample.SampleError, match="code 3") as caught:
        rh.function(sample.fail).to(cluster)(3)
    assert (caught.value.code, caught.value.hint) == (3, "more")
    shown = "".join(traceback.format_exception(caught.value))
    assert 'raise SampleError(code, hint="more")' in shown
    with pytest.raises(RemoteError, match="holds a lock") as told:
        rh.function(sample.fail_unpicklably).to(cluster)()
    assert told.value.type_name == "ValueError"
    assert "fail_unpicklably" in told.value.remote_traceback


def test_instances_keep_their_state(cluster: rh.Cluster) -> None:
    remote = rh.module(sample.Counter).to(cluster)
    first, second = remote(start=40), remote()
    assert (first.add(), first.add(amount=1), second.add()) == (41, 42, 1)
    assert first.pid() != sample.pid()
    assert list(second.numbers()) == [0]
    assert asyncio.run(second.add_later(2)) == 3
    assert (second.double(4), second.named()) == (8, "Counter")

    async def collect() -> list[int]:
        return [number async for number in second.numbers_later()]

    assert asyncio.run(collect()) == [0, 1, 2]
    with pytest.raises(sample.SampleError) as caught:
        first.fail()
    assert caught.value.hint == "from a method"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        first.nothing()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="unexpected keyword"):
        first.add(amounts=1)  # type: ignore[call-arg]


def test_an_instance_by_name_is_found_under_it(cluster: rh.Cluster) -> None:
    counter = rh.module(sample.Counter).to(cluster)(5, name="by-name")  # type: ignore[call-arg]
    assert counter.key == "by-name"  # type: ignore[attr-defined]
    with pytest.raises(rh.errors.InvalidNameError):
        rh.module(sample.Counter).to(cluster)(name="no good")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kill", "signal_name", "words"),
    [
        (
            lambda c: rh.function(sample.die).to(c, env="doomed")(signal.SIGKILL),
            "SIGKILL",
            "about to die",
        ),
        (lambda c: rh.function(sample.crash).to(c, env="doomed")(), "SIGSEGV", "in _crash"),
        (lambda c: rh.function(sample.leave).to(c, env="doomed")(7), None, "exit code 7"),
    ],
)
def test_a_worker_that_dies_is_told_with_its_last_words(
    cluster: rh.Cluster, kill: Callable[[rh.Cluster], None], signal_name: str | None, words: str
) -> None:
    counter = rh.module(sample.Counter).to(cluster)(1)
    doomed = rh.module(sample.Counter).to(cluster, env="doomed")(1)
    with pytest.raises(WorkerDiedError) as caught:
        kill(cluster)
    assert caught.value.signal_name == signal_name
    assert words in str(caught.value)
    assert ("about to die" in caught.value.log_tail) == (words == "about to die"), "its own words"
    assert counter.add() == 2, "the other worker lives on"
    with pytest.raises(CallError):
        doomed.add()
    assert rh.function(sample.add).to(cluster, env="doomed")(1) == 2


def test_a_function_outlives_its_worker(cluster: rh.Cluster) -> None:
    add = rh.function(sample.add).to(cluster, env="mortal")
    with pytest.raises(WorkerDiedError):
        rh.function(sample.leave).to(cluster, env="mortal")(1)
    assert add(1, 2) == 3


def test_ctrl_c_cancels_the_call(cluster: rh.Cluster, tmp_path: Path) -> None:
    """Interrupt a caller of its own, since pytest's process must not be."""
    wait = rh.function(sample.wait).to(cluster)
    main = threading.main_thread()
    timer = threading.Timer(0.5, lambda: signal.pthread_kill(main.ident or 0, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        wait(60)
    wait_until(lambda: cluster.status().running == 0)


def test_two_hundred_calls_at_once(cluster: rh.Cluster) -> None:
    identity = rh.function(sample.identity).to(cluster)
    results: list[int] = []
    threads = [threading.Thread(target=lambda n=n: results.append(identity(n))) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(200))


def test_what_was_never_sent_is_not_found(cluster: rh.Cluster) -> None:
    calls = cluster.calls
    target, _ = calls.target(EnvUse("default"), None)
    with pytest.raises(ObjectNotFoundError, match="nothing under the key 'gone'") as caught:
        calls.call(target, "method", "gone", ((), {}), CallOptions(), method="add")
    assert isinstance(caught.value, KeyError)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: rh.function(3), TypeError, "is not a function"),  # type: ignore[call-overload]
        (lambda: rh.function(sample.Counter), TypeError, "runhouse.module"),
        (lambda: rh.function("no-colon"), ValueError, "module:name"),
        (lambda: rh.function("a:b", name=3), TypeError, "a text"),  # type: ignore[call-overload]
        (lambda: rh.function("not good:b"), ValueError, "module:name"),
        (lambda: rh.module(sample.add), TypeError, "runhouse.function"),
        (lambda: rh.module(3), TypeError, "is not a class"),  # type: ignore[arg-type]
        (lambda: rh.function(sample.add).to(3), TypeError, "is not a cluster"),  # type: ignore[arg-type]
        (lambda: rh.function(sample.add).to("nowhere"), LookupError, "no cluster 'nowhere'"),
        (lambda: rh.function(sample.add).to(rh.here, env="a b"), ValueError, "as a name"),
        (
            lambda: rh.function(sample.add).to(rh.here)(),  # type: ignore[call-arg]
            TypeError,
            r"add\(\) was not called: missing a required argument: 'a'.*It takes \(a: ",
        ),
        (lambda: rh.function("math:sqrt").local(4), TypeError, "by name only"),
    ],
)
def test_bad_input_is_refused_with_a_reason(
    make: Callable[[], object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()
