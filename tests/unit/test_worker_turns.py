"""Calls wait for their turn, and write until they have come back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from runhouse.errors import QueueFullError, RunCancelledError
from runhouse.wire.messages import Call, Limits
from tests.unit.hosting import Host, error, host as host, recorded, rest, value
from tests.unit.wiring import read
from tests.waiting import wait_until

if TYPE_CHECKING:
    import pytest

    from runhouse.worker.run import Run


def test_a_full_queue_is_told_to_the_caller(host: Host) -> None:
    host.runs.admission.set_limits(Limits(concurrency=1, queue=0))
    sock = host.connect()
    host.send(sock, Call("one", "call", "wait"), "text")
    wait_until(lambda: host.counted)
    assert isinstance(error(host.ask(Call("two", "call", "count"))), QueueFullError)
    assert isinstance(error(host.ask(recorded("three", "count", name="nightly"))), QueueFullError)
    assert len(host.runs.running) == 1
    assert (host.names, list((host.root / "runs").glob("*"))) == ({}, [])
    host.released.set()
    assert value(read(sock)) == "text"


def test_a_run_writes_until_its_code_has_come_back(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, leave = threading.Event(), host.runs.executor._on_left

    def leave_late(run: Run) -> None:
        assert gate.wait(10)
        leave(run)

    monkeypatch.setattr(host.runs.executor, "_on_left", leave_late)
    host.runs.admission.set_limits(Limits(concurrency=1))
    first, second = host.connect(), host.connect()
    host.send(first, Call("one", "call", "wait"))
    wait_until(lambda: [run.id for run in host.runs.writers()] == ["one"])
    host.send(second, Call("two", "call", "wait"))
    wait_until(lambda: len(host.runs.running) == 2)
    assert [run.id for run in host.runs.writers()] == ["one"], "who waits for a turn is silent"
    host.released.set()
    assert value(read(first)) == ""
    assert "one" in host.runs.running, "its thread has not left yet"
    assert "one" not in [run.id for run in host.runs.writers()]
    gate.set()
    assert value(read(second)) == ""
    wait_until(lambda: not host.runs.running)


def test_a_run_that_waits_for_its_turn_can_be_cancelled(host: Host) -> None:
    host.runs.admission.set_limits(Limits(concurrency=1))
    first, second = host.connect(), host.connect()
    host.send(first, Call("one", "call", "wait"))
    wait_until(lambda: host.counted)
    host.send(second, recorded("two", "count"))
    wait_until(lambda: len(host.runs.running) == 2)
    assert {info.id: info.status for info in host.runs.infos()} == {
        "one": "running",
        "two": "queued",
    }
    host.runs.cancel(["two"], "Enough.")
    assert isinstance(error(rest(second)[-1]), RunCancelledError)
    wait_until(lambda: len(host.runs.running) == 1)
    assert host.counted == 1
