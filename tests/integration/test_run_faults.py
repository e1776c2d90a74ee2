"""A call runs once and tells everything once, wherever its connection is cut and whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse import settings
from runhouse.errors import RunLostError, WorkerDiedError
from tests.integration import sample
from tests.waiting import is_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.cut_line import CutLine

pytestmark = pytest.mark.timeout(90)
ROOT = Path(__file__).parents[2]
LINES = 4
OUTPUT = "".join(f"line {number}\n" for number in range(LINES))
# What a call sends: for each line and for the result a frame; a recorded one tells first that it
# has started. One more, so that the last cut comes after everything.
FRAMES = LINES + 4


def called(path: Path) -> int:
    """Return how often a function was called that leaves a line in a file."""
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def fresh(rig: CutLine) -> Iterator[CutLine]:
    """Give the line with all functions known, and no open connection."""
    for name in ("mark_and_speak", "mark_and_count", "mark_slowly", "wait", "wait_later", "add"):
        rig.define(name)
    rig.client.close()
    yield rig


@pytest.mark.parametrize("record", [False, True], ids=["plain", "recorded"])
def test_a_call_that_is_cut_at_any_frame_runs_once_and_repeats_nothing(
    fresh: CutLine, tmp_path: Path, capfd: pytest.CaptureFixture[str], record: bool
) -> None:
    for number in range(FRAMES):
        fresh.client.close()
        capfd.readouterr()
        path = tmp_path / str(number)
        fresh.cutter.frames = [number]
        answer = fresh.call("mark_and_speak", str(path), LINES, record=record)
        assert answer == [1], f"cut after {number} frames"
        assert called(path) == 1, f"cut after {number} frames"
        assert capfd.readouterr().out == OUTPUT, f"cut after {number} frames"


@pytest.mark.parametrize("record", [False, True], ids=["plain", "recorded"])
def test_a_call_that_is_cut_after_each_frame_gets_through(
    fresh: CutLine, tmp_path: Path, capfd: pytest.CaptureFixture[str], record: bool
) -> None:
    capfd.readouterr()
    fresh.cutter.frames = [2] * (FRAMES + 2)
    path = tmp_path / "marks"
    assert fresh.call("mark_and_speak", str(path), LINES, record=record) == [1]
    assert called(path) == 1
    assert capfd.readouterr().out == OUTPUT


@pytest.mark.parametrize("record", [False, True], ids=["plain", "recorded"])
def test_a_request_that_is_cut_at_any_byte_runs_once(
    fresh: CutLine, tmp_path: Path, record: bool
) -> None:
    for cut_at in (1, 100, 200, 240, 300, 345, 350, 360, 380, 400, 450, 500, 600):
        fresh.client.close()
        path = tmp_path / str(cut_at)
        fresh.cutter.requests = [cut_at, cut_at + 70]
        assert fresh.call("mark_and_speak", str(path), 1, record=record) == [1]
        assert called(path) == 1, f"cut after {cut_at} bytes"


@pytest.mark.parametrize("record", [False, True], ids=["plain", "recorded"])
def test_a_generator_that_is_cut_at_any_frame_gives_each_item_once(
    fresh: CutLine, tmp_path: Path, capfd: pytest.CaptureFixture[str], record: bool
) -> None:
    for number in range(2 * LINES + 4):
        fresh.client.close()
        capfd.readouterr()
        path = tmp_path / str(number)
        fresh.cutter.frames = [number]
        items = fresh.call("mark_and_count", str(path), LINES, record=record)
        assert list(items) == list(range(LINES)), f"cut after {number} frames"
        assert called(path) == 1
        expected = "".join(f"before {value}\n" for value in range(LINES))
        assert capfd.readouterr().out == expected, f"cut after {number} frames"


def test_a_background_run_that_is_cut_before_it_is_known_runs_once(
    fresh: CutLine, tmp_path: Path
) -> None:
    for number in range(3):
        fresh.client.close()
        path = tmp_path / str(number)
        fresh.cutter.frames = [number]
        info = fresh.start("mark_and_speak", str(path), 1, run_id=f"background-{number}")
        run = rh.here.get_run(info.id)
        assert run.result() == [1]
        assert called(path) == 1
        assert run.logs() == "line 0\n"


def test_logs_that_are_followed_are_cut_at_any_frame_and_lose_nothing(
    fresh: CutLine, tmp_path: Path
) -> None:
    for number in range(FRAMES):
        info = fresh.start("mark_and_speak", str(tmp_path / str(number)), LINES)
        fresh.cutter.frames = [number, number + 1]
        talk = fresh.client.watch(info.id)
        texts = []
        event: Any = None
        while not talk._exchange.ended:
            event = talk.next_event()
            texts += [str(text) for _, text in getattr(event, "entries", [])]
        assert event.value == [1]
        assert "".join(texts) == OUTPUT, f"cut after {number} frames"
        fresh.cutter.frames = []


def test_an_async_call_that_is_cut_at_any_frame_runs_once(fresh: CutLine, tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
from tests.rigs.cut_line import CutLine

async def main(rig, folder):
    for number in range(6):
        rig.client.close()
        rig.cutter.frames = [number]
        path = folder / f"async-{{number}}"
        assert await rig.call_async("mark_and_speak", str(path), 2) == [1]
        assert len(path.read_text().splitlines()) == 1, number

rig = CutLine(Path({str(tmp_path)!r}), "other.sock")
asyncio.run(main(rig, Path({str(tmp_path)!r})))
rig.cutter.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def kill_server() -> None:
    """Kill the server, and wait for the end of its workers."""
    status = rh.here.status()
    os.kill(status.pid, signal.SIGKILL)
    pids = [status.pid, *(worker.pid for worker in status.workers)]
    wait_until(lambda: not any(map(is_running, pids)))


def test_finished_runs_survive_a_killed_server_and_running_ones_are_lost(rig: CutLine) -> None:
    del rig
    speak = rh.function(sample.speak_often).to(rh.here)
    done = speak.options(run_name="finished").run("text", 3)
    assert done.result() is None
    slow = rh.function(sample.speak_and_wait).to(rh.here)
    going = slow.options(run_name="going").run("started", 60)
    kept = rh.function(sample.identity).to(rh.here).remote([1])
    assert kept.fetch() == [1]
    wait_until(lambda: going.logs() == "started\n")
    rh.here.put("persistent", {"a": 1}, persist=True)
    rh.here.put("fleeting", 1)
    kill_server()
    assert rh.here.get_run("finished").result() is None
    assert rh.here.get_run("finished").logs() == "text 0\ntext 1\ntext 2\n"
    states = {run.key: run.status for run in rh.here.runs()}
    assert kept.run is not None
    assert [states[key] for key in ("finished", "going", kept.run.id)] == ["done", "lost", "done"]
    with pytest.raises(RunLostError, match="Its server ended"):
        going.result()
    assert going.logs() == "started\n"
    assert "".join(going.logs(follow=True)) == "started\n"
    assert rh.here.keys() == ["persistent"]
    assert rh.here.get("persistent") == {"a": 1}
    with pytest.raises(KeyError):
        kept.fetch()


def test_a_run_that_is_waited_for_is_told_as_lost_when_its_server_is_killed() -> None:
    run = rh.function(sample.speak_and_wait).to(rh.here).run("started", 60)
    wait_until(run.logs)
    threading.Timer(0.3, os.kill, (rh.here.status().pid, signal.SIGKILL)).start()
    with pytest.raises(RunLostError):
        run.result()
    rh.here.stop()


def test_a_worker_that_dies_loses_its_runs_and_keys_only(rig: CutLine) -> None:
    del rig
    cluster = rh.here
    cluster.clear()
    cluster.put("near", 1)
    cluster.put("far", 2, env="other")
    run = rh.function(sample.speak_and_wait).to(cluster, env="other").run("started", 60)
    mine = rh.function(sample.wait).to(cluster).run(0.3)
    wait_until(run.logs)
    (pid,) = [w.pid for w in cluster.status().workers if w.running and w.env == "other"]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(RunLostError, match="ended with SIGKILL"):
        run.result()
    assert run.status == "lost"
    assert mine.result() == "slept"
    assert cluster.get("near") == 1
    (holder,) = [w.pid for w in cluster.status().workers if w.env == "other"]
    os.kill(holder, signal.SIGKILL)
    wait_until(lambda: cluster.keys() == ["near"])
    with pytest.raises(KeyError):
        cluster.get("far", KeyError)


def test_generators_that_are_closed_leave_no_thread_and_no_lock_behind(rig: CutLine) -> None:
    """Interrupt many generators in the middle of what the worker does for them."""
    del rig
    count = rh.function(sample.count_and_speak).to(rh.here)

    def close_early() -> None:
        for number in range(40):
            items = count(100_000)
            for value in items:
                if value > number:
                    break
            items.close()  # type: ignore[attr-defined]

    closers = [threading.Thread(target=close_early) for _ in range(4)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(timeout=60)
    wait_until(lambda: rh.here.status().running == 0)
    worker = max(rh.here.status().workers, key=lambda worker: worker.calls)
    wait_until(lambda: len(os.listdir(f"/proc/{worker.pid}/task")) < 20)
    rh.here.put("after", 1)
    assert rh.function(sample.add).to(rh.here)(1, 2) == 3


def test_a_plain_call_tells_that_its_worker_died(rig: CutLine) -> None:
    del rig
    with pytest.raises(WorkerDiedError):
        rh.function(sample.die).to(rh.here)(signal.SIGKILL)


def test_an_orphaned_call_may_be_taken_up_again_in_time(
    fresh: CutLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut for longer than the connection is idle, but for less than the grace."""
    path = tmp_path / "marks"
    monkeypatch.setattr(
        fresh.client, "settings", settings.Settings(home=Path("x"), reconnect_timeout_s=30)
    )
    fresh.cutter.frames = [1, 0, 0, 0, 0]
    assert fresh.call("mark_slowly", str(path), 1.0, grace_s=20) == 1
    assert called(path) == 1


def test_a_run_goes_on_when_its_caller_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    program = f"""
import os, signal, runhouse as rh
from tests.integration import sample
run = rh.function(sample.mark_slowly).to(rh.here).run({str(mark)!r}, 0.5, run_name="orphan")
kept = rh.function(sample.mark_slowly).to(rh.here).remote({str(mark)!r}, 0.5, run_name="kept")
print("started", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"RH_ORPHAN_GRACE_S": "0.1"},
        check=False,
    )
    assert done.stdout == b"started\n"
    results = {rh.run.attach("orphan", rh.here).result(), rh.here.get_run("kept").result()}
    assert results == {1, 2}
    assert rh.here.get("kept") in results
    rh.here.stop()
