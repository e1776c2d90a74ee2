"""A client gets through to its worker, whatever becomes of the connection."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runhouse.client.exchange import Item, Kept, Logs, Raised, Result, Started, Streaming, Unknown
from runhouse.client.run import Run, as_text, read_info
from runhouse.client.talk import outcome
from runhouse.errors import (
    CallError,
    ConnectError,
    RunCancelledError,
    RunLostError,
    RunNotFoundError,
    ServerLostError,
)
from runhouse.wire.messages import Call, RunInfo
from runhouse.wire.pickling import Pickled, dumps
from tests.unit.talking import ENV, Rig
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Give a client and a worker for one test."""
    made = Rig(tmp_path)
    yield made
    made.close()


# -- calls ------------------------------------------------------------------------------------


def test_calls_go_over_one_connection(rig: Rig) -> None:
    for number in range(1, 6):
        assert rig.call("count", run_id=f"id{number}") == number
    with pytest.raises(ValueError, match="as it should"):
        rig.call("fail", run_id="fail")
    assert list(rig.call("numbers", 300, run_id="items")) == list(range(300))
    assert rig.line.requests == ["/workers/env"]


def test_a_connection_that_breaks_during_a_call_is_mended_and_the_call_runs_once(rig: Rig) -> None:
    def cut() -> None:
        wait_until(lambda: rig.worker.counted)
        for _ in range(3):
            count = len(rig.line.requests)
            rig.line.cut()
            wait_until(lambda count=count: len(rig.line.requests) > count)  # type: ignore[misc]
        rig.worker.released.set()

    cutter = rig.meanwhile(cut)
    assert rig.call("wait", "text") == "text"
    cutter.join(timeout=10)
    assert rig.worker.counted == 1


def test_a_call_that_never_arrived_is_sent_again(rig: Rig) -> None:
    rig.line.swallowed = 3
    assert rig.call("count") == 1
    assert rig.worker.counted == 1
    assert len(rig.line.requests) == 4


def test_a_recorded_call_that_never_arrived_is_sent_again(rig: Rig) -> None:
    rig.line.swallowed = 1
    assert rig.call("count", record=True) == 1
    assert rig.line.requests == ["/workers/env", "/runs/id", "/workers/env"]


def test_a_server_that_stays_away_is_told(rig: Rig) -> None:
    rig.client.settings = replace(rig.client.settings, reconnect_timeout_s=0.1)

    def cut() -> None:
        wait_until(lambda: rig.worker.counted)
        rig.line.down = True
        rig.line.cut()

    rig.meanwhile(cut)
    with pytest.raises(ServerLostError, match="could not be made again within 0.1 s"):
        rig.call("wait")
    assert set(rig.line.revived) == {False}, "a call's server is not started anew"
    with pytest.raises(ConnectError, match="down"):
        rig.call("count")


def test_items_that_nobody_wants_any_more_are_not_made(rig: Rig) -> None:
    items = rig.call("endless")
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()
    assert rig.worker.cancelled.wait(10)
    assert rig.call("count", run_id="next") == 1


def test_items_arrive_once_each_although_the_connection_breaks(rig: Rig) -> None:
    values = []
    for value in rig.call("numbers", 2000):
        values.append(value)
        if value in (3, 500, 1999):
            rig.line.cut()
    assert values == list(range(2000))


def test_a_wait_that_is_interrupted_stops_the_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    def cut() -> None:
        wait_until(lambda: rig.worker.counted)
        rig.line.down = True
        rig.line.cut()
        wait_until(lambda: not rig.line.down)

    monkeypatch.setattr("runhouse.client.client.time.sleep", interrupt)
    thread = rig.meanwhile(cut)
    with pytest.raises(KeyboardInterrupt):
        rig.call("spin", grace_s=0.01)
    rig.line.down = False
    thread.join(timeout=10)
    assert rig.worker.cancelled.wait(10), "it could not be told, but its grace was over"


# -- recorded runs ----------------------------------------------------------------------------


def test_a_run_is_started_and_followed_from_its_beginning(rig: Rig) -> None:
    run = rig.start("wait", "text", name="nightly")
    assert (run.key, run.id, run.call) == ("nightly", "id", "wait")
    assert repr(run) == "<runhouse.Run 'nightly' of wait on box>"
    with pytest.raises(TimeoutError, match="has not ended in time. It goes on there"):
        run.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        run.wait(timeout=-1)
    rig.worker.released.set()
    assert [run.result() for _ in range(3)] == ["text"] * 3
    assert run.wait(timeout=10) is None
    assert rig.worker.counted == 1


def test_a_result_is_not_waited_for_longer_although_the_host_is_away(rig: Rig) -> None:
    run = rig.start("wait", "text")
    rig.line.down = True
    rig.line.cut()
    began = time.monotonic()
    for timeout in (0.3, -1):
        with pytest.raises(TimeoutError, match="has not ended in time"):
            run.result(timeout=timeout)
    assert time.monotonic() - began < 4, "less than the time for which a connection is mended"
    rig.line.down = False
    rig.worker.released.set()
    assert run.result(timeout=10) == "text"


@pytest.mark.parametrize("timeout", [30 * 24 * 3600.0, 1e12, float("inf")])
def test_a_result_may_be_waited_for_very_long(rig: Rig, timeout: float) -> None:
    run = rig.start("wait", "text")
    threading.Timer(0.05, rig.worker.released.set).start()
    assert run.result(timeout=timeout) == "text"


def test_a_long_wait_is_made_of_several(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runhouse.client.talk._LONGEST_POLL_S", 0.01)
    run = rig.start("wait", "text")
    with pytest.raises(TimeoutError):
        run.result(timeout=0.1)
    threading.Timer(0.05, rig.worker.released.set).start()
    assert run.result(timeout=60) == "text"


def test_a_run_is_followed_although_the_connection_breaks(rig: Rig) -> None:
    run = rig.start("wait", "text")

    def cut() -> None:
        for _ in range(3):
            count = len(rig.line.requests)
            rig.line.cut()
            wait_until(lambda count=count: len(rig.line.requests) > count)  # type: ignore[misc]
        rig.worker.released.set()

    cutter = rig.meanwhile(cut)
    assert run.result() == "text"
    cutter.join(timeout=10)
    assert rig.line.requests[-1] == "/runs/id"


def test_a_recorded_generator_gives_its_items_again(rig: Rig) -> None:
    run = rig.start("numbers", 50)
    for _ in range(2):
        items = run.result(timeout=10)
        assert list(items) == list(range(50))
    first = run.result()
    assert next(first) == 0
    first.close()
    assert run.wait() is None


def test_a_run_that_failed_or_was_cancelled_raises(rig: Rig) -> None:
    failed = rig.start("fail", run_id="failed")
    with pytest.raises(ValueError, match="as it should"):
        failed.result()
    spinning = rig.start("spin", run_id="spinning")
    wait_until(lambda: rig.worker.counted == 2)
    rig.worker.runs.cancel(["spinning"], "Enough.")
    for wait in (spinning.result, spinning.wait):
        with pytest.raises(RunCancelledError, match=r"Enough\."):
            wait()
    follow = spinning.logs(follow=True)
    assert not isinstance(follow, str)
    assert "".join(follow) == ""


def test_a_result_that_was_kept_is_got_from_the_store(rig: Rig) -> None:
    run = rig.start("count", keep="key")
    assert run.wait() == Kept("key", "builtins:int")
    rig.cluster.stored["key"] = rig.worker.objects.get("key")
    assert run.result() == 1


def test_a_run_that_nobody_knows_is_not_found(rig: Rig) -> None:
    info = RunInfo("unknown", "", "f", "running", "env", "worker", True, 1.0)
    for wait in (Run(rig.cluster, info).result, Run(rig.cluster, info).wait):
        with pytest.raises(RunNotFoundError) as caught:
            wait()
        assert caught.value.key == "unknown"


def test_a_run_of_which_nothing_more_comes_is_given_up(rig: Rig) -> None:
    rig.client.settings = replace(rig.client.settings, reconnect_timeout_s=0.1)
    run = rig.start("count")
    assert run.result() == 1
    rig.line.swallowed = 10**6
    with pytest.raises(RunLostError, match="has no more of it"):
        run.result()


# -- what is said -----------------------------------------------------------------------------


def test_an_event_is_a_value_or_an_error() -> None:
    assert outcome(Result(1)) == 1
    assert outcome(Item(2)) == 2
    assert outcome(Kept("key", "t")) == Kept("key", "t")
    with pytest.raises(ValueError, match="no"):
        outcome(Raised(ValueError("no")))
    info = RunInfo("id", "", "f", "done", "env", "worker", True, 1.0)
    for event in (Streaming(), Logs([]), Unknown(), Started(info)):
        with pytest.raises(CallError, match=f"sent {type(event).__name__} where a result was due"):
            outcome(event)


def test_a_start_that_is_answered_otherwise_is_an_error(rig: Rig) -> None:
    plain = Call("id", "call", "count")
    with pytest.raises(CallError, match="did not say that the run has started"):
        rig.client.start(ENV, plain, dumps(((), {})))
    with pytest.raises(CallError, match="holds nothing under the key"):
        rig.client.start(ENV, Call("id2", "call", "none", record=True), Pickled(b""))


def test_output_and_records_become_one_text() -> None:
    record = {"name": "app", "levelno": 30, "levelname": "WARNING", "msg": "100 % of %s"}
    failed = {**record, "levelname": "ERROR", "msg": "bad", "exc_text": "Traceback: x"}
    entries = [
        ("stdout", "one\ntw"),
        ("stdout", "o\n"),
        ("record", record),
        ("stderr", "é"),
        ("record", failed),
    ]
    assert as_text(entries) == ("one\ntwo\nWARNING:app:100 % of %s\néERROR:app:bad\nTraceback: x\n")
    assert as_text([]) == ""


def test_what_another_version_tells_about_a_run_is_an_error() -> None:
    info = RunInfo("id", "", "f", "done", "env", "worker", True, 1.0)
    assert read_info(info.to_meta()) == info
    for answer in ({}, {**info.to_meta(), "unheard_of": 1}, {"id": "id"}):
        with pytest.raises(CallError, match="It has another version of"):
            read_info(answer)
