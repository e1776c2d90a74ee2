"""A server knows recorded runs from their files, and closes those that nobody will end."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from runhouse.server.journals import Journals
from runhouse.wire import frames, stored
from runhouse.wire.exceptions import dump_error
from runhouse.wire.frames import Frame
from runhouse.wire.messages import LOST, Kind, RunInfo, RunStatus
from runhouse.worker.journal import Journal
from tests.unit.wiring import full_disk

if TYPE_CHECKING:
    from pathlib import Path

NOW = time.time()


def info(run_id: str, name: str = "", created_at: float = NOW, worker: str = "dead") -> RunInfo:
    """Return what a worker tells about a run."""
    return RunInfo(run_id, name, "f", "running", "env", worker, True, created_at)


def journals(directory: Path, keep_s: float = 3600) -> Journals:
    """Return what a server that has just started knows."""
    return Journals(directory, keep_s, lambda worker_id: worker_id == "alive")


def record(directory: Path, told: RunInfo, status: RunStatus | None = None) -> Path:
    """Make the file of a run as a worker does; None: it goes on."""
    made = Journal(directory, told)
    made.log(("stdout", "text\n"))
    if status is None:
        return directory / f"{told.id}.open"
    frame = Frame(Kind.RESULT)
    if status != "done":
        meta, pickled = dump_error(ValueError("no"))
        frame = Frame(Kind.ERROR, meta, pickled.body)
    made.finish(frame)
    made.close(status)
    return directory / f"{told.id}.{status}"


def events(path: Path) -> list[Frame]:
    """Return the frames of a file."""
    with path.open("rb") as file:
        return [frame for frame, _, _ in stored.walk(file.fileno())]


@pytest.mark.parametrize("status", ["done", "failed", "cancelled", "lost"])
def test_runs_of_earlier_servers_are_known(tmp_path: Path, status: RunStatus) -> None:
    path = record(tmp_path, info("one", "name"), status)
    (found,) = journals(tmp_path).all()
    assert (found.id, found.name, found.status) == ("one", "name", status)
    assert found.error == ("" if status == "done" else "ValueError: no")
    assert found.ended_at == path.stat().st_mtime
    assert journals(tmp_path).path(found) == path


def test_there_need_be_no_directory(tmp_path: Path) -> None:
    empty = journals(tmp_path / "none")
    assert empty.all() == []
    assert empty.find("one") is None
    assert empty.path(info("one")) is None
    empty.lose("dead", "")
    empty.forget(info("one"))


def test_a_file_that_was_left_open_is_closed_as_lost(tmp_path: Path) -> None:
    record(tmp_path, info("one", "nightly"))
    (found,) = journals(tmp_path).all()
    assert found.status == "lost"
    assert "The run 'nightly' was lost. Its server ended before it did." in found.error
    assert found.ended_at >= NOW
    assert [path.name for path in tmp_path.iterdir()] == ["one.lost"]
    started, printed, last = events(tmp_path / "one.lost")
    assert (started.kind, printed.kind, last.kind) == (Kind.STARTED, Kind.LOG, Kind.ERROR)
    assert last.meta["type"] == LOST
    (again,) = journals(tmp_path).all()
    assert (again.status, again.error) == ("lost", found.error)


def test_a_run_whose_worker_lives_is_not_lost(tmp_path: Path) -> None:
    path = record(tmp_path, info("one", worker="alive"))
    (found,) = journals(tmp_path).all()
    assert found == info("one", worker="alive")
    assert path.exists()


def test_a_frame_that_was_cut_at_any_byte_is_cut_off(tmp_path: Path) -> None:
    path = record(tmp_path, info("one"))
    whole = path.read_bytes()
    with path.open("rb") as file:
        ends = [end for _, _, end in stored.walk(file.fileno())]
    for size in range(ends[0], len(whole)):
        path.write_bytes(whole[:size])
        (found,) = journals(tmp_path).all()
        assert found.status == "lost"
        assert [event.kind for event in events(tmp_path / "one.lost")] == [Kind.STARTED, Kind.ERROR]
        last = os.path.getsize(tmp_path / "one.lost") - ends[0]
        meta: dict[str, object] = {"type": LOST, "message": found.error[len(LOST) + 2 :]}
        expected = frames.encode(Frame(Kind.ERROR, {**meta, "traceback": ""}))
        assert last == frames.pieces_size(expected), "nothing else is left"
        (tmp_path / "one.lost").unlink()


def test_files_that_are_no_runs_are_ignored_and_left_alone(tmp_path: Path) -> None:
    whole = record(tmp_path, info("good"), "done").read_bytes()
    bad = {
        "empty.open": b"",
        "torn.open": whole[:15],
        "garbage.done": b"\xff" * 100,
        "other.done": whole.replace(b'"created_at"', b'"forged_at_"'),
        "status.unknown": whole,
        "name": whole,
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.done").mkdir()
    assert [found.id for found in journals(tmp_path).all()] == ["good"]
    assert {name: (tmp_path / name).read_bytes() for name in bad} == bad


def test_torn_files_that_nobody_writes_any_more_are_removed(tmp_path: Path) -> None:
    whole = record(tmp_path, info("good"), "done").read_bytes()
    for name, content, age_s in (
        ("empty.open", b"", 120),
        ("torn.open", whole[:15], 120),
        ("new.open", whole[:15], 1),
        ("torn.done", whole[:15], 120),
    ):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    assert [found.id for found in journals(tmp_path).all()] == ["good"]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["good.done", "new.open", "torn.done"]


def test_what_workers_tell_replaces_what_files_say(tmp_path: Path) -> None:
    known = journals(tmp_path)
    record(tmp_path, info("one", worker="alive"))
    known.note(info("one", worker="alive").to_meta())
    assert [found.status for found in known.all()] == ["running"]
    told = {**info("one", worker="alive").to_meta(), "status": "done", "ended_at": NOW}
    known.note(told)
    found = known.find("one")
    assert found is not None
    assert (found.status, found.ended_at) == ("done", NOW)
    with pytest.raises(TypeError):
        known.note({**told, "unheard_of": 1})


def test_the_newest_run_of_a_name_is_found_and_an_id_comes_first(tmp_path: Path) -> None:
    for number, name in enumerate(["nightly", "nightly", "id0", ""]):
        record(tmp_path, info(f"id{number}", name, NOW + number), "done")
    known = journals(tmp_path)
    assert [found.id for found in known.all()] == ["id3", "id2", "id1", "id0"]
    for key, run_id in (("nightly", "id1"), ("id0", "id0"), ("id2", "id2")):
        found = known.find(key)
        assert found is not None
        assert found.id == run_id
    assert known.find("nothing") is None


def test_the_runs_of_a_worker_that_has_ended_are_lost_and_no_others(tmp_path: Path) -> None:
    known = journals(tmp_path)
    for run_id, worker, status in (
        ("going", "alive", None),
        ("ended", "alive", "done"),
        ("stranger", "other", None),
    ):
        record(tmp_path, info(run_id, worker=worker), status)  # type: ignore[arg-type]
        told = {**info(run_id, worker=worker).to_meta(), "ended_at": NOW}
        known.note({**told, "status": status or "running"})
    known.note({**info("queued", worker="alive").to_meta(), "status": "queued"})
    record(tmp_path, info("queued", worker="alive"))
    known.lose("alive", "Its worker (pid 7) ended with SIGKILL.")
    assert {found.id: found.status for found in known.all()} == {
        "going": "lost",
        "queued": "lost",
        "ended": "done",
        "stranger": "running",
    }
    lost = known.find("going")
    assert lost is not None
    assert "SIGKILL" in lost.error
    assert (tmp_path / "going.lost").exists()
    assert (tmp_path / "stranger.open").exists()


def test_a_run_whose_file_is_gone_is_lost_with_its_worker(tmp_path: Path) -> None:
    known = journals(tmp_path)
    known.note(info("one", worker="alive").to_meta())
    known.lose("alive", "Its worker ended.")
    (found,) = known.all()
    assert found.status == "lost"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_does_not_hide_that_a_run_is_lost(tmp_path: Path) -> None:
    record(tmp_path, info("one"))
    with full_disk((tmp_path / "one.open").stat().st_size):
        (found,) = journals(tmp_path).all()
    assert found.status == "lost"
    assert (tmp_path / "one.open").exists(), "the next server tries again"
    (found,) = journals(tmp_path).all()
    assert (tmp_path / "one.lost").exists()


def test_runs_are_removed_when_they_ended_long_ago(tmp_path: Path) -> None:
    old = record(tmp_path, info("old", created_at=NOW - 9000), "done")
    os.utime(old, (NOW - 3700, NOW - 3700))
    long_ago = record(tmp_path, info("long", created_at=NOW - 9000), "failed")
    os.utime(long_ago, (NOW - 1800, NOW - 1800))
    record(tmp_path, info("going", created_at=NOW - 9000, worker="alive"))
    known = journals(tmp_path)
    assert {found.id for found in known.all()} == {"long", "going"}
    assert not old.exists()
    assert known.find("old") is None
    assert {found.id for found in journals(tmp_path, keep_s=0).all()} == {"going"}
    assert [path.name for path in tmp_path.iterdir()] == ["going.open"]


def test_a_run_is_forgotten_with_its_file_and_only_once(tmp_path: Path) -> None:
    path = record(tmp_path, info("one"), "done")
    known = journals(tmp_path)
    (found,) = known.all()
    known.forget(found)
    known.forget(found)
    assert known.all() == []
    assert not path.exists()
