"""Runs are driven by frames alone: begun once, attached to, cancelled, timed, and recorded."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from runhouse.errors import (
    CallError,
    ObjectNotFoundError,
    RunCancelledError,
    RunExistsError,
    RunTimeoutError,
)
from runhouse.wire import frames
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind, RunInfo
from runhouse.wire.pickling import dumps
from tests.unit.hosting import Host, error, host as host, recorded, rest, value
from tests.unit.wiring import full_disk, read
from tests.waiting import wait_until

if TYPE_CHECKING:
    import socket


def attach(sock: socket.socket, run_id: str, received: int = 0) -> None:
    """Ask to go on with a run."""
    frames.send(sock, Frame(Kind.ATTACH, {"id": run_id, "received": received}))


# -- once -------------------------------------------------------------------------------------


def test_a_call_that_is_sent_twice_while_it_runs_runs_once(host: Host) -> None:
    first, second = host.connect(), host.connect()
    call = Call("one", "call", "wait")
    host.send(first, call, "text")
    wait_until(lambda: host.counted)
    host.send(second, call, "text")
    frames.send(second, Frame(Kind.CALL, call.to_meta(), dumps((("text",), {})).body))
    host.released.set()
    assert value(read(second)) == "text"
    assert host.counted == 1
    assert host.runs.count == 1


def test_a_call_that_is_sent_again_after_its_end_is_answered_from_memory(host: Host) -> None:
    call = Call("one", "call", "count")
    assert [value(host.ask(call)) for _ in range(3)] == [1, 1, 1]


def test_an_answer_is_forgotten_when_the_caller_has_it(host: Host) -> None:
    sock = host.connect()
    call = Call("one", "call", "count")
    host.send(sock, call)
    assert value(read(sock)) == 1
    host.send(sock, Call("two", "call", "count"))
    assert value(read(sock)) == 2
    frames.send(sock, Frame(Kind.ACK, {"id": "two", "received": 1, "last": True}))
    for run_id in ("one", "two"):
        attach(sock, run_id)
        assert read(sock) == Frame(Kind.UNKNOWN, {"id": run_id}, memoryview(b""), [])


def test_a_recorded_call_that_is_sent_again_is_answered_from_its_file(host: Host) -> None:
    call = recorded("one", "count")
    for _ in range(3):
        sock = host.connect()
        host.send(sock, call)
        started, ended = rest(sock)
        assert RunInfo(**started.meta).id == "one"  # type: ignore[arg-type]
        assert value(ended) == 1
        wait_until(lambda: not host.runs.running)
    assert [path.name for path in (host.root / "runs").iterdir()] == ["one.done"]


# -- attach -----------------------------------------------------------------------------------


def test_ended_recorded_runs_are_attached_to_at_any_event(host: Host) -> None:
    sock = host.connect()
    host.send(sock, recorded("one", "numbers"), 3)
    events = rest(sock)
    assert [e.kind for e in events] == [Kind.STARTED, Kind.STREAM, *[Kind.ITEM] * 3, Kind.RESULT]
    wait_until(lambda: not host.runs.running)
    for received in range(len(events)):
        late = host.connect()
        attach(late, "one", received)
        assert rest(late) == events[received:]
    nothing = host.connect()
    attach(nothing, "one", 99)
    attach(nothing, "unknown")
    assert read(nothing).kind == Kind.UNKNOWN


def test_a_run_of_another_worker_and_ids_that_are_none_are_unknown(host: Host) -> None:
    (host.root / "runs").mkdir()
    (host.root / "runs" / "other.open").touch()
    (host.root / "secret.done").touch()
    sock = host.connect()
    for run_id in ("other", "../secret", "*", "", "x" * 500, "a.b"):
        attach(sock, run_id)
        assert read(sock).meta == {"id": run_id}


def test_a_caller_that_comes_back_gets_what_it_lacks(host: Host) -> None:
    sock = host.connect()
    host.send(sock, Call("one", "call", "wait"), "text")
    wait_until(lambda: host.counted)
    sock.close()
    wait_until(lambda: not len(host.connections))
    again = host.connect()
    attach(again, "one")
    wait_until(lambda: host.runs._known["one"].outbox.abandoned is False)
    host.released.set()
    assert value(read(again)) == "text"


def test_a_caller_that_does_not_come_back_has_its_call_cancelled(host: Host) -> None:
    sock = host.connect()
    host.send(sock, Call("one", "call", "spin", grace_s=0.05))
    wait_until(lambda: host.counted)
    sock.close()
    assert host.cancelled.wait(10)
    wait_until(lambda: not host.runs.running)
    wait_until(lambda: "one" not in host.runs._known)


def test_a_recorded_run_goes_on_without_anybody(host: Host) -> None:
    started = host.ask(recorded("one", "wait", watch=False, grace_s=0.01), "text")
    assert started.kind == Kind.STARTED
    wait_until(lambda: host.counted)
    host.close()
    sock = host.connect()
    attach(sock, "one")
    assert value(rest(sock)[-1]) == "text"


# -- what is refused --------------------------------------------------------------------------


def test_frames_about_unknown_runs_change_nothing(host: Host) -> None:
    sock = host.connect()
    for kind in (Kind.CANCEL, Kind.ACK, Kind.RESULT, 99):
        frames.send(sock, Frame(kind, {"id": "unknown", "received": "many"}))
    host.send(sock, Call("one", "call", "count"))
    assert value(read(sock)) == 1


def test_a_call_of_what_is_not_here_is_an_answer_and_no_run(host: Host) -> None:
    caught = error(host.ask(Call("one", "call", "missing")))
    assert isinstance(caught, ObjectNotFoundError)
    assert caught.key == "missing"
    assert isinstance(error(host.ask(recorded("two", "missing"))), ObjectNotFoundError)
    assert host.runs.count == 0
    assert not (host.root / "runs").exists()
    host.objects.define("missing", host.count)
    assert value(host.ask(Call("one", "call", "missing"))) == 1, "the id was not used up"


def test_a_run_that_cannot_be_recorded_is_not_started(host: Host) -> None:
    with full_disk(20):
        caught = error(host.ask(recorded("one", "count")))
    assert isinstance(caught, CallError)
    assert "cannot be recorded" in str(caught)
    assert host.counted == 0
    assert host.ask(recorded("one", "count")).kind == Kind.STARTED


def test_a_name_is_taken_until_its_run_has_ended(host: Host) -> None:
    sock = host.connect()
    host.send(sock, recorded("one", "wait", name="nightly"))
    assert read(sock).kind == Kind.STARTED
    caught = error(host.ask(recorded("two", "count", name="nightly")))
    assert isinstance(caught, RunExistsError)
    assert caught.key == "nightly"
    host.released.set()
    assert read(sock).kind == Kind.RESULT
    wait_until(lambda: not host.runs.running)
    assert host.ask(recorded("three", "count", name="nightly")).kind == Kind.STARTED


def test_a_name_is_free_before_its_result_has_arrived(host: Host) -> None:
    """Whoever has the result of a run may use its name again, at once."""
    answers: list[Frame] = []

    def ask_again(message: dict[str, Any]) -> None:
        run = message.get("run", {})
        if (run.get("id"), run.get("status")) == ("one", "done"):
            answers.append(host.ask(recorded("two", "wait", name="nightly")))

    host.heard = ask_again
    sock = host.connect()
    host.send(sock, recorded("one", "count", name="nightly"))
    rest(sock)
    assert answers[0].kind == Kind.STARTED
    wait_until(lambda: set(host.runs.running) == {"two"})
    assert isinstance(error(host.ask(recorded("three", "count", name="nightly"))), RunExistsError)


def test_a_run_that_does_not_begin_leaves_its_name_free(host: Host) -> None:
    assert isinstance(
        error(host.ask(recorded("one", "missing", name="nightly"))), ObjectNotFoundError
    )
    assert host.names == {}
    assert host.ask(recorded("two", "count", name="nightly")).kind == Kind.STARTED


def test_a_call_that_is_sent_again_after_its_end_takes_no_name(host: Host) -> None:
    first = recorded("one", "count", name="nightly")
    assert host.ask(first).kind == Kind.STARTED
    wait_until(lambda: not host.runs.running)
    assert host.ask(recorded("two", "wait", name="nightly")).kind == Kind.STARTED
    assert host.ask(first).kind == Kind.STARTED, "it is the end of the first that is shown"
    wait_until(lambda: host.counted == 2)
    host.released.set()
    wait_until(lambda: not host.runs.running)
    assert host.names == {}


def test_runs_without_a_name_do_not_mind_each_other(host: Host) -> None:
    for run_id in ("one", "two"):
        assert host.ask(recorded(run_id, "wait")).kind == Kind.STARTED
    wait_until(lambda: host.counted == 2)


# -- ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["spin", "doze"])
def test_a_caller_cancels_its_own_call(host: Host, key: str) -> None:
    sock = host.connect()
    host.send(sock, Call("one", "call", key))
    wait_until(lambda: host.counted)
    frames.send(sock, Frame(Kind.CANCEL, {"id": "one"}))
    assert isinstance(error(read(sock)), RunCancelledError)
    assert host.cancelled.wait(10)


def test_a_call_that_its_own_caller_has_cancelled_is_not_kept_for_it(host: Host) -> None:
    for number in range(20):
        run_id = f"id-{number}"
        with contextlib.closing(host.connect()) as sock:
            host.send(sock, Call(run_id, "call", "endless", grace_s=1000))
            assert read(sock).kind == Kind.STREAM
        frames.send(host.connect(), Frame(Kind.CANCEL, {"id": run_id}))
    wait_until(lambda: not host.runs.running)
    again = host.connect()
    for number in range(20):
        attach(again, f"id-{number}")
        assert read(again).kind == Kind.UNKNOWN


@pytest.mark.parametrize("key", ["spin", "doze"])
@pytest.mark.parametrize("record", [False, True])
def test_a_call_is_ended_when_its_time_is_up(host: Host, key: str, record: bool) -> None:
    sock = host.connect()
    host.send(sock, Call("one", "call", key, record=record, timeout_s=0.05))
    caught = error(rest(sock)[-1])
    assert isinstance(caught, RunTimeoutError)
    assert "longer than the 0.05 s" in str(caught)
    assert host.cancelled.wait(10)
    wait_until(lambda: not host.runs.running)
    if record:
        assert (host.root / "runs" / "one.failed").exists()


def test_a_call_that_ends_in_time_is_not_timed_any_more(host: Host) -> None:
    for number in range(20):
        assert value(host.ask(Call(f"id-{number}", "call", "count", timeout_s=60)))
    wait_until(lambda: len(host.runs._deadlines) == 0)


def test_the_calls_of_a_run_end_with_it(host: Host) -> None:
    socks = {name: host.connect() for name in ("parent", "child", "grandchild", "stranger")}
    parents = {"child": "parent", "grandchild": "child", "stranger": "another"}
    for name, sock in socks.items():
        host.send(sock, Call(name, "call", "wait", parent=parents.get(name, "")))
    wait_until(lambda: host.counted == 4)
    assert host.runs.cancel(["parent", "unknown"], "Enough.") == ["parent"]
    for name in ("parent", "child", "grandchild"):
        assert isinstance(error(read(socks[name])), RunCancelledError)
    assert [message["op"] for message in host.told] == ["cancel_children"] * 3
    assert host.runs.cancel(["parent"], "Again.") == []
    host.released.set()
    assert value(read(socks["stranger"])) == ""


# -- what is told -----------------------------------------------------------------------------


def test_the_server_is_told_each_status_of_a_recorded_run_and_of_no_other(host: Host) -> None:
    host.ask(Call("plain", "call", "count"))
    for run_id, key in (("one", "count"), ("two", "fail")):
        sock = host.connect()
        host.send(sock, recorded(run_id, key, name=f"name-{run_id}"))
        rest(sock)
        wait_until(lambda: not host.runs.running)
    infos = [RunInfo(**message["run"]) for message in host.told]
    assert [(info.name, info.status) for info in infos] == [
        ("name-one", "queued"),
        ("name-one", "running"),
        ("name-one", "done"),
        ("name-two", "queued"),
        ("name-two", "running"),
        ("name-two", "failed"),
    ]
    assert infos[-1].error == "ValueError: as it should"
    assert infos[-1].ended_at >= infos[-1].created_at > 0
    assert (infos[0].env, infos[0].worker_id, infos[0].recorded) == ("env", "worker", True)


def test_a_result_that_is_kept_stays_here(host: Host) -> None:
    frame = host.ask(Call("one", "call", "count", keep="key"))
    assert (frame.kind, frame.meta) == (
        Kind.RESULT,
        {"kept": "key", "type": "builtins:int", "attributes": []},
    )
    assert host.objects.get("key") == 1
    frame = host.ask(Call("two", "call", "numbers", keep="key"), 3)
    assert host.objects.get("key") == [0, 1, 2]


def test_keys_that_a_client_does_not_need_are_let_go_of_with_its_next_call(host: Host) -> None:
    for key in ("a", "b"):
        host.objects.put(key, key)
    assert value(host.ask(Call("one", "call", "count", release=["a", "missing"]))) == 1
    assert set(host.objects.all()) == {"b"}
