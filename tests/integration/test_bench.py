"""The bench runs and prints a table whose figures make sense."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import systems
from bench.callers import call_from_threads
from bench.rows import Row, print_others, print_table
from bench.soak import CALLERS, growth_rows
from bench.usage import Usage
from tests.waiting import is_running, wait_until

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(90)
@pytest.mark.slow
def test_a_quick_run_gives_figures() -> None:
    groups = "generator,import,cold"  # those whose peers need nothing more than the tests do
    command = [sys.executable, "-m", "bench", "--quick", "--json", "--only", groups]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=80)
    found = json.loads(done.stdout)
    rows = found["rows"]
    assert found["others"] == {}
    assert [row["name"] for row in rows] == [
        "generator items",
        "import runhouse",
        "nothing running -> first local result",
        "idle server + one worker, PSS",
    ]
    assert all(row["ours"] > 0 and row["peer"] > 0 and row["against"] for row in rows)
    assert done.stderr == "generator ...\nimport ...\ncold ...\n"


@pytest.mark.timeout(90)
@pytest.mark.slow
def test_load_gives_figures_and_no_call_fails() -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--json", "--only", "memory,scale,soak"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=80)
    rows = {row["name"]: row["ours"] for row in json.loads(done.stdout)["rows"]}
    assert rows["0.3 GB array argument, worker's peak"] > 0.9
    assert rows["100 idle connections, to open them"] > 0
    assert rows["500 calls of 0.5 s at once"] > 0.5
    assert rows["500 keys, to put one"] > 0
    assert rows["soak, things done"] > 0
    assert rows["soak, things failed"] == 0
    assert {name for name in rows if "growth" in name} == {
        f"soak, growth of {what}"
        for what in ("memory", "threads", "descriptors", "processes", "files")
    }


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_calling_threads_quietly(number: int) -> None:
    command = [sys.executable, "-m", "bench", "--only", "soak"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as bench:
        assert bench.stderr is not None
        assert bench.stderr.readline() == "soak ...\n"
        threads = Path(f"/proc/{bench.pid}/task")
        wait_until(lambda: len(list(threads.iterdir())) > CALLERS, timeout_s=30)
        bench.send_signal(number)
        _, errors = bench.communicate(timeout=45)
    assert bench.returncode == 130
    assert errors == ""


def test_a_peer_that_cannot_be_installed_is_told_and_has_no_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = systems.System("ray_peer.py", "no-such-peer", "ray")
    monkeypatch.setattr(systems, "SYSTEMS", {"ours": missing, "Ray": missing})
    found = systems.measure(quick=True)
    assert found == {"ours": {}, "Ray": {}}
    assert "peers: Ray: it could not be installed." in capsys.readouterr().err
    assert systems.peer_rows(found) == []


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import sys; print('first'); sys.exit('the reason')", "it failed: the reason"),
        ("import time; print('first', flush=True); time.sleep(60)", "it did not answer within 2 s"),
    ],
)
def test_a_peer_that_fails_says_why(
    program: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "peer.py").write_text(program)
    monkeypatch.setattr(systems, "SCRIPTS", tmp_path)
    monkeypatch.setattr(systems, "LONGEST_S", 2)
    answers = systems.answers(systems.System("peer.py", "", "sys"), sys.executable, "first")
    assert next(answers)[0] == "first\n"
    with pytest.raises(systems.PeerError, match=told):
        next(answers)


def test_what_a_peer_has_started_and_detached_is_ended() -> None:
    forked = "import os, time; n = os.fork(); n and print(os.getpid(), n, flush=True)"
    forked += "; time.sleep(600)"
    program = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {forked!r}])"
    command = [sys.executable, "-c", program]
    with (
        systems.ended_whole(),
        subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as done,
    ):
        assert done.stdout is not None
        pids = [int(word) for word in done.stdout.readline().split()]
        assert done.wait(10) == 0
        assert len(pids) == 2
        assert all(map(is_running, pids))
    assert not any(map(is_running, pids))


def test_a_table_of_others_has_a_dash_where_there_is_no_figure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_others({})
    assert capsys.readouterr().out == ""
    print_others({"ours": {"call_p50_s": 0.0002, "idle_bytes": 41e6}, "Ray": {"idle_bytes": 4e8}})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "| others, same run | ours | Ray |"
    assert lines[3] == "| no-op call, p50, ms | 0.2 | - |"
    assert lines[-1] == "| idle server + one worker, PSS, MB | 41 | 400 |"


def test_the_target_of_calls_is_what_ray_does_in_the_same_run() -> None:
    (row,) = systems.peer_rows({"ours": {"calls_per_s": 900}, "Ray": {"calls_per_s": 1000}})
    assert (row.figure, row.holds(row.bound)) == (0.9, False)


def test_growth_in_a_long_run_misses_its_target() -> None:
    flat = [Usage(100_000_000, 20, 30, 3)] * 40
    assert all(row.holds(row.bound) for row in growth_rows(flat))
    growing = [Usage(100_000_000 + 1_000_000 * n, 20 + n, 30, 3, n) for n in range(40)]
    missed = {row.name for row in growth_rows(growing) if not row.holds(row.bound)}
    assert missed == {f"soak, growth of {what}" for what in ("memory", "threads", "files")}
    assert len(growth_rows(flat[:1])) == 5


def test_more_of_one_thing_does_not_make_up_for_less_of_another() -> None:
    assert Usage(0, 12, 5, 3, 7).more_than(Usage(0, 10, 9, 3, 6)) == 3


def test_what_a_call_of_several_threads_raises_ends_all_of_them() -> None:
    def call() -> None:
        msg = "told once"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="told once"):
        call_from_threads(call, 4, each=1000)
    done: list[int] = []
    call_from_threads(lambda: done.append(1), 4, each=3)
    assert len(done) == 12


def test_an_unknown_group_is_refused() -> None:
    command = [sys.executable, "-m", "bench", "--only", "speed"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 2
    assert "there is no group speed" in done.stderr


def test_a_row_knows_whether_its_target_holds(capsys: pytest.CaptureFixture[str]) -> None:
    ratio = Row("call", 0.2, "ms", 0.1, "echo", 4, 1.5, "less")
    rate = Row("calls/s", 2000, "/s", 1000, "echo", 1500, 4000, "more", by="figure")
    start = Row("import", 60, "ms", 40, "pass", 30, 10, "less", by="difference")
    assert ratio.figure == pytest.approx(2)
    assert (ratio.holds(ratio.bound), ratio.holds(ratio.later)) == (True, False)
    assert (rate.holds(rate.bound), rate.holds(rate.later)) == (True, False)
    assert (start.holds(start.bound), start.holds(start.later)) == (True, False)
    assert (rate.to_json()["holds"], rate.to_json()["ratio"]) == (True, 2)
    print_table([ratio, rate, start])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| call | 0.2 ms | 0.1 ms (echo) | 2 | <= 4 x ok | <= 1.5 x MISSED |"
    assert lines[3].endswith("| 2 | >= 1,500 /s ok | >= 4,000 /s MISSED |")
    assert lines[4].endswith("| 1.5 | <= +30 ms ok | <= +10 ms MISSED |")
