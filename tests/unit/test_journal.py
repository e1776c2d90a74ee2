"""A recorded run's events are in its file, and everybody who watches gets the same bytes."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from runhouse.errors import CallError
from runhouse.wire import stored
from runhouse.wire.exceptions import load_error
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind, RunInfo, RunStatus
from runhouse.worker import journal
from runhouse.worker.journal import Journal
from runhouse.worker.outbox import OutboxClosedError
from runhouse.worker.run import Run
from tests.unit.wiring import Lines, full_disk, read
from tests.waiting import wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from runhouse.worker.connections import Connection

RESULT = Frame(Kind.RESULT, {}, b"result")


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Give connections for one test."""
    with Lines() as made:
        yield made


def info(run_id: str = "id", status: RunStatus = "queued") -> RunInfo:
    """Return what is told about a run."""
    return RunInfo(run_id, "name", "key", status, "env", "worker", True, 1.0)


def item(number: int, size: int = 10) -> Frame:
    """Return a frame with an item."""
    return Frame(Kind.ITEM, {"number": number}, b"x" * size)


def kinds(path: Path) -> list[int]:
    """Return the kinds of the frames in a file."""
    with path.open("rb") as file:
        return [frame.kind for frame, _, _ in stored.walk(file.fileno())]


def take(sock: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    sock.settimeout(10)
    parts: list[bytes] = []
    while size:
        parts.append(sock.recv(size))
        assert parts[-1], "the connection was closed"
        size -= len(parts[-1])
    return b"".join(parts)


def left(made: Journal, connection: Connection) -> None:
    """Do what a worker does when a connection has closed."""
    connection.closed = True
    assert made.detach(connection) is False, "a recorded run does not mind"


def test_the_file_tells_about_the_run_first_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "server" / "runs"
    made = Journal(directory, info())
    path = directory / "id.open"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    with path.open("rb") as file:
        found = stored.frame_at(file.fileno(), 0)
    assert found is not None
    assert found[0] == Frame(Kind.STARTED, info().to_meta())
    assert not made.abandoned
    made.close("lost")


@pytest.mark.parametrize("status", ["done", "failed", "cancelled", "lost"])
def test_a_file_has_its_runs_status_in_its_name(tmp_path: Path, status: RunStatus) -> None:
    made = Journal(tmp_path, info())
    assert stored.run_path(tmp_path, "id") == tmp_path / "id.open"
    made.log(("stdout", "text\n"))
    assert made.finish(RESULT)
    assert not made.finish(RESULT), "only the first end counts"
    made.close(status)
    assert [path.name for path in tmp_path.iterdir()] == [f"id.{status}"]
    assert kinds(tmp_path / f"id.{status}") == [Kind.STARTED, Kind.LOG, Kind.RESULT]


@pytest.mark.parametrize("ended", [False, True])
def test_an_id_is_used_once_even_after_the_run_has_ended(tmp_path: Path, ended: bool) -> None:
    made = Journal(tmp_path, info())
    made.finish(RESULT)
    if ended:
        made.close("done")
    with pytest.raises(FileExistsError):
        Journal(tmp_path, info())
    assert kinds(next(tmp_path.iterdir())) == [Kind.STARTED, Kind.RESULT]
    Journal(tmp_path, info("id2")).close("lost")
    assert stored.run_path(tmp_path, "i") is None
    assert stored.run_path(tmp_path, "id2") == tmp_path / "id2.lost"


def test_no_item_is_taken_after_the_end(tmp_path: Path) -> None:
    made = Journal(tmp_path, info())
    made.finish(RESULT)
    made.log(("stdout", "too late\n"))
    made.flush()
    made.acknowledge(10)
    with pytest.raises(OutboxClosedError):
        made.item(item(1))
    made.close("done")
    assert kinds(tmp_path / "id.done") == [Kind.STARTED, Kind.RESULT]


def test_early_and_late_watchers_get_the_same_bytes(tmp_path: Path, lines: Lines) -> None:
    made = Journal(tmp_path, info())
    watchers = [lines.connect() for _ in range(6)]
    for number, (_, connection) in enumerate(watchers):
        made.attach(connection, 0)
        made.item(item(number, 200 * number))
        made.log(("stdout", f"line {number}\n"))
    made.item(item(99, 20_000))
    made.finish(RESULT)
    late = lines.connect()
    made.attach(late[1], 0)
    made.close("done")
    last = lines.connect()
    made.attach(last[1], 0)
    whole = (tmp_path / "id.done").read_bytes()
    for sock, _ in [*watchers, late, last]:
        assert take(sock, len(whole)) == whole
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_a_watcher_that_comes_back_gets_the_rest(counts: list[int]) -> None:
    with Lines() as lines, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        made = Journal(directory, info())
        for number in range(8):
            made.item(item(number, number))
        made.finish(RESULT)
        made.close("done")
        path = directory / "id.done"
        whole = path.read_bytes()
        with path.open("rb") as file:
            starts = [stored.skip(file.fileno(), count) for count in counts]
        for start, count in zip(starts, counts, strict=True):
            sock, connection = lines.connect()
            journal.show_ended(path, connection, count)
            rest = whole[start:]
            assert not rest or take(sock, len(rest)) == rest


def test_a_watcher_that_attaches_again_goes_on_where_it_stopped(
    tmp_path: Path, lines: Lines
) -> None:
    made = Journal(tmp_path, info())
    sock, connection = lines.connect()
    made.attach(connection, 0)
    made.item(item(1))
    assert [read(sock).kind for _ in range(2)] == [Kind.STARTED, Kind.ITEM]
    sock.close()
    left(made, connection)
    made.item(item(2))
    sock, connection = lines.connect()
    made.attach(connection, 2)
    made.item(item(3))
    made.finish(RESULT)
    assert [read(sock).meta.get("number") for _ in range(3)] == [2, 3, None]
    made.close("done")


def watching_threads() -> int:
    """Return how many threads show a run to somebody."""
    return sum(thread.name == "runhouse-watch" for thread in threading.enumerate())


def test_a_watcher_that_leaves_takes_its_thread_and_nothing_else(
    tmp_path: Path, lines: Lines
) -> None:
    before = watching_threads()
    made = Journal(tmp_path, info())
    staying, leaving, vanished = (lines.connect() for _ in range(3))
    for _, connection in (staying, leaving, vanished):
        made.attach(connection, 0)
    assert read(leaving[0]).kind == Kind.STARTED
    left(made, leaving[1])
    vanished[0].close()
    wait_until(lambda: watching_threads() <= before + 2)
    for number in range(3):
        made.item(item(number, 100_000))
        assert read(staying[0]).kind == (Kind.STARTED if number == 0 else Kind.ITEM)
    wait_until(lambda: watching_threads() <= before + 1)
    made.finish(RESULT)
    made.close("done")
    left(made, staying[1])
    wait_until(lambda: watching_threads() <= before)
    assert made.detach(staying[1]) is False


def test_a_slow_watcher_does_not_hold_up_the_run(tmp_path: Path, lines: Lines) -> None:
    made = Journal(tmp_path, info())
    sock, connection = lines.connect()
    made.attach(connection, 0)
    for number in range(40):
        made.item(item(number, 500_000))
    made.finish(RESULT)
    made.close("done")
    assert read(sock).kind == Kind.STARTED
    assert [read(sock).meta["number"] for _ in range(40)] == list(range(40))
    assert read(sock).kind == Kind.RESULT


def test_a_run_whose_file_was_removed_ends_all_the_same(tmp_path: Path, lines: Lines) -> None:
    made = Journal(tmp_path, info())
    sock, connection = lines.connect()
    made.attach(connection, 0)
    assert read(sock).kind == Kind.STARTED
    (tmp_path / "id.open").unlink()
    made.finish(RESULT)
    made.close("done")
    assert read(sock).kind == Kind.RESULT
    assert list(tmp_path.iterdir()) == []


# -- a full disk ------------------------------------------------------------------------------


def recorded_run(directory: Path) -> Run:
    """Return a run that goes on."""
    run = Run(Call("id", "call", "key", record=True), Journal(directory, info()), lambda run: None)
    run.begin()
    return run


def test_output_that_the_disk_does_not_take_is_lost_and_the_run_goes_on(tmp_path: Path) -> None:
    run = recorded_run(tmp_path)
    with full_disk((tmp_path / "id.open").stat().st_size + 100):
        run.log(("record", {"msg": "x" * 1000}))
        run.outbox.flush()
    assert isinstance(run.outbox, Journal)
    assert "large" in run.outbox.failure
    assert run.finish(RESULT, "done")
    assert kinds(tmp_path / "id.done") == [Kind.STARTED, Kind.RESULT]


def test_an_item_that_the_disk_does_not_take_ends_the_generator(tmp_path: Path) -> None:
    made = Journal(tmp_path, info())
    with full_disk((tmp_path / "id.open").stat().st_size + 100):
        with pytest.raises(OSError, match="large"):
            made.item(item(1, 1000))
        made.item(item(2, 1))
    made.finish(RESULT)
    made.close("done")
    assert kinds(tmp_path / "id.done") == [Kind.STARTED, Kind.ITEM, Kind.RESULT]


def test_a_result_that_the_disk_does_not_take_is_told_as_an_error(
    tmp_path: Path, lines: Lines
) -> None:
    run = recorded_run(tmp_path)
    sock, connection = lines.connect()
    run.outbox.attach(connection, 0)
    with full_disk((tmp_path / "id.open").stat().st_size + 10_000):
        assert run.finish(Frame(Kind.RESULT, {}, b"x" * 50_000), "done")
    assert (run.status, run.error.split(":")[0]) == ("failed", "CallError")
    assert read(sock).kind == Kind.STARTED
    error = load_error(read(sock))
    assert isinstance(error, CallError)
    assert "its result is lost" in str(error)
    assert kinds(tmp_path / "id.failed") == [Kind.STARTED, Kind.ERROR]


def test_when_the_disk_takes_no_last_event_watchers_do_not_wait_for_it(
    tmp_path: Path, lines: Lines
) -> None:
    before = watching_threads()
    run = recorded_run(tmp_path)
    sock, connection = lines.connect()
    run.outbox.attach(connection, 0)
    assert read(sock).kind == Kind.STARTED
    with full_disk((tmp_path / "id.open").stat().st_size + 10):
        assert run.finish(RESULT, "done")
    assert run.status == "failed"
    assert sock.recv(1) == b"", "the connection is closed, so that the client looks again"
    wait_until(lambda: watching_threads() <= before)
    with (tmp_path / "another").open("wb") as reused:
        run.log(("stdout", "too late\n"))
        run.outbox.flush()
        assert os.fstat(reused.fileno()).st_size == 0, "a descriptor may belong to another file"
    assert kinds(tmp_path / "id.failed") == [Kind.STARTED]


def test_a_run_that_cannot_be_recorded_leaves_no_file(tmp_path: Path) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    with full_disk(20), pytest.raises(OSError, match="large"):
        Journal(tmp_path, info())
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == open_before
    Journal(tmp_path, info()).close("lost")
