"""When a host counts as used, when a pulse is due, and how a pulse is run."""

from __future__ import annotations

import asyncio
import json
import math
import os
import stat
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from runhouse.server.autostop import NEVER, Autostop, Keeper, Setting, run_pulse
from runhouse.server.envs import Bindings
from runhouse.server.journals import Journals
from runhouse.server.launch import Launcher
from runhouse.server.paths import ServerPaths
from runhouse.server.workers import Workers
from tests.waiting import is_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PULSE = ("keep", "up")
MINUTE_S = 60.0


def made(mins: int = 30, pulse: tuple[str, ...] = PULSE) -> Autostop:
    """Return the state of a setting that was made at 0."""
    return Autostop(Setting(mins, pulse), 0.0)


def pulsed(autostop: Autostop, now: float, error: str = "") -> None:
    """Run a due pulse that takes no time."""
    assert autostop.is_due(now)
    autostop.begin_pulse(now)
    autostop.end_pulse(error, 1e9 + now)


# -- decisions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mins", "interval_s"), [(1, 15.0), (2, 30.0), (4, 60.0), (20, 300.0), (30, 300.0), (999, 300)]
)
def test_the_interval_is_a_quarter_of_the_idle_time(mins: int, interval_s: float) -> None:
    assert made(mins).interval_s == interval_s
    assert Autostop(Setting(mins), 0.0, minute_s=6.0).interval_s == interval_s / 10


def test_an_idle_host_has_one_pulse_to_begin_with() -> None:
    autostop = made()
    pulsed(autostop, 0.0)
    for now in range(1, 4000):
        autostop.look("", float(now))
        assert not autostop.is_due(float(now))
    told = autostop.to_json(1000.0)
    assert told == {
        "autostop_mins": 30,
        "stops": "down",
        "in_use": False,
        "why": "",
        "idle_s": 1000.0,
        "left_s": 800.0,
        "pulsed_at": 1e9,
        "pulse_error": "",
    }
    assert autostop.to_json(4000.0)["left_s"] == 0.0


def test_while_it_is_in_use_there_is_a_pulse_in_each_interval() -> None:
    autostop, times = made(), []
    for now in range(2000):
        autostop.look("2 calls running", float(now))
        if autostop.is_due(float(now)):
            times.append(now)
            pulsed(autostop, float(now))
    assert times == [0, 300, 600, 900, 1200, 1500, 1800]
    told = autostop.to_json(2000.0)
    assert (told["in_use"], told["why"]) == (True, "2 calls running")
    assert (told["idle_s"], told["left_s"]) == (0.0, 1800.0)


def test_after_the_end_of_use_there_is_one_more() -> None:
    autostop = made()
    pulsed(autostop, 0.0)
    autostop.look("1 call running", 200.0)
    autostop.look("", 201.0)
    pulsed(autostop, 201.0)
    autostop.look("", 202.0)
    assert not autostop.is_due(5000.0)
    assert autostop.to_json(202.0)["idle_s"] == 2.0


def test_the_last_one_waits_when_there_was_one_just_before() -> None:
    autostop = made()
    pulsed(autostop, 0.0)
    autostop.look("", 10.0, was_used=True)
    assert not autostop.is_due(74.0)
    pulsed(autostop, 75.0)
    assert not autostop.is_due(5000.0)


def test_a_call_between_two_looks_is_use() -> None:
    autostop = made()
    autostop.look("", 500.0, was_used=True)
    told = autostop.to_json(510.0)
    assert (told["in_use"], told["idle_s"]) == (False, 10.0)


@pytest.mark.parametrize("setting", [Setting(NEVER, PULSE), Setting(30)])
def test_without_a_pulse_or_an_end_none_is_due(setting: Setting) -> None:
    autostop = Autostop(setting, 0.0)
    assert not autostop.is_due(0.0)
    autostop.look("1 call running", 1000.0)
    assert not autostop.is_due(1000.0)


def test_never_has_no_time_left() -> None:
    autostop = made(NEVER)
    told = autostop.to_json(100.0)
    assert (told["autostop_mins"], told["idle_s"], told["left_s"]) == (-1, 100.0, None)


def test_a_failure_is_told_until_a_pulse_succeeds() -> None:
    autostop = made()
    pulsed(autostop, 0.0, "exit code 1")
    told = autostop.to_json(0.0)
    assert (told["pulsed_at"], told["pulse_error"]) == (None, "exit code 1")
    autostop.look("1 call running", 300.0)
    pulsed(autostop, 300.0)
    told = autostop.to_json(300.0)
    assert (told["pulsed_at"], told["pulse_error"]) == (1e9 + 300, "")


SPANS = st.lists(
    st.tuples(st.integers(1, 400), st.sampled_from(["", "1 call running", "worker 7 computes"])),
    max_size=8,
)


@settings(max_examples=50)
@given(st.integers(1, 40), SPANS, st.integers(0, 4))
def test_the_other_timer_runs_out_after_the_idle_time_and_not_before(
    mins: int, spans: Sequence[tuple[int, str]], pulse_takes_s: int
) -> None:
    """Live through spans of use and idleness, second by second, beside somebody with a timer."""
    autostop, allowed_s = made(mins), mins * MINUTE_S
    pause_s = max(autostop.interval_s / 4, 5.0)
    told_at = last_use = 0.0  # when the other timer has begun, and when it should have
    begun = -math.inf
    is_running = False
    seconds = [why for length, why in [*spans, (int(allowed_s) * 2, "")] for _ in range(length)]
    for now, why in enumerate(seconds):
        if is_running and now - begun >= pulse_takes_s:
            autostop.end_pulse("", now)
            told_at, is_running = begun, False
        if now - told_at >= allowed_s:
            assert now - last_use >= allowed_s, "it was stopped too early"
            assert now - last_use <= allowed_s + math.ceil(pause_s), "it was stopped too late"
            return
        last_use = now if why else last_use
        autostop.look(why, now)
        if autostop.is_due(now):
            assert not is_running, "two at once"
            assert now - begun >= pause_s, "too often"
            autostop.begin_pulse(now)
            begun, is_running = now, True
        told_ = autostop.to_json(now)
        assert told_["idle_s"] == now - last_use
        assert told_["left_s"] == max(0.0, allowed_s - (now - last_use))
    pytest.fail("it was never stopped")


# -- pulses ---------------------------------------------------------------------------------------


def pulse(*command: str, timeout_s: float = 30.0) -> str:
    """Run a pulse; return how it has failed."""
    return asyncio.run(run_pulse(command, timeout_s))


def shell(line: str, timeout_s: float = 30.0) -> str:
    """Run a line of the shell as a pulse."""
    return pulse("/bin/sh", "-c", line, timeout_s=timeout_s)


def test_a_pulse_runs_at_low_priority_in_a_group_of_its_own(tmp_path: Path) -> None:
    program = f"""
import os, sys, time
open({str(tmp_path / "pulse")!r}, "w").write(" ".join(sys.argv[1:]))
assert os.getpgid(0) == os.getsid(0) == os.getpid()
assert sys.stdin.read() == ""
print("x" * 1_000_000)
while os.getpriority(os.PRIO_PROCESS, 0) != 10:
    time.sleep(0.01)
"""
    assert pulse(sys.executable, "-c", program, "a b", "$HOME;") == ""
    assert (tmp_path / "pulse").read_text() == "a b $HOME;"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("exit 3", "exit code 3"),
        (
            "echo first >&2; echo ' the last '; echo ' the last ' >&2; exit 1",
            "exit code 1: the last",
        ),
        ("kill -9 $$", "signal 9"),
        ("kill -40 $$", "signal 40"),
        ("printf 'a%.0s' $(seq 5000) >&2; exit 1", f"exit code 1: {'a' * 200}"),
        ("printf '\\377\\n' >&2; exit 1", "exit code 1: \ufffd"),
        ("yes | head -c 10000000 >&2; exit 5", "exit code 5: y"),
        ("sleep 5 & exit 6", "exit code 6"),
        ("(sleep 0.2; exit 7) & exec 2>&-; wait $!", "exit code 7"),
        ("echo all is well >&2", ""),
    ],
)
def test_a_pulse_that_fails_says_how(line: str, error: str) -> None:
    assert shell(line) == error


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("/no/such/program",), "No such file or directory"),
        (("/tmp",), "Permission denied"),
        (("sh", "nul\0"), "embedded null byte"),
        (("sh", "\ud800"), "surrogates not allowed"),
        (("sh", "x" * 10_000_000), "Argument list too long"),
    ],
)
def test_a_pulse_that_cannot_be_run_says_why(command: tuple[str, ...], error: str) -> None:
    failed = pulse(*command)
    assert failed.startswith("cannot be run: ")
    assert error in failed


@pytest.mark.parametrize("end", ["wait", "trap '' TERM INT HUP; wait"])
def test_a_pulse_that_hangs_is_killed_with_what_it_has_started(end: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    line = f"sleep 1000 & echo $! $$ > {pids}; {end}"
    assert shell(line, 1.0) == "killed after 1 s"
    assert time.monotonic() - began < 15
    for pid in pids.read_text().split():
        wait_until(lambda pid=int(pid): not is_running(pid))  # type: ignore[misc]


def test_pulses_leave_nothing_open() -> None:
    async def several() -> tuple[int, int]:
        counts = []
        for _ in range(2):
            for command in (["true"], ["false"], ["/no/such"], ["sleep", "1000"]):
                await run_pulse(command, 0.2)
            counts.append(len(os.listdir("/proc/self/fd")))
        return counts[0], counts[1]

    first, second = asyncio.run(several())
    assert second <= first


def test_a_pulse_ends_with_whoever_waits_for_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def cancel() -> None:
        line = f"sleep 1000 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"
        task = asyncio.create_task(run_pulse(["/bin/sh", "-c", line], 1000))
        await asyncio.to_thread(wait_until, pids.exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    for pid in pids.read_text().split():
        wait_until(lambda pid=int(pid): not is_running(pid))  # type: ignore[misc]


# -- the setting on the disk ----------------------------------------------------------------------


def keeper(root: Path) -> Keeper:
    """Return what a server without workers has."""
    paths = ServerPaths(root)
    workers = Workers(Launcher(paths, sys.executable, {}), Bindings(paths.envs))
    return Keeper(paths.autostop, workers, Journals(paths.runs, 1.0, lambda _: False), 60.0)


def told(of: Keeper) -> dict[str, object]:
    """Return what is told of a setting."""
    found = of.to_json()
    assert found is not None
    return found


def test_a_setting_survives_the_server(tmp_path: Path) -> None:
    first = keeper(tmp_path)
    assert first.to_json() is None
    first.set(Setting(30, PULSE, "stop"))
    path = tmp_path / "autostop.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "autostop_mins": 30,
        "pulse": ["keep", "up"],
        "stops": "stop",
    }
    again = told(keeper(tmp_path))
    assert (again["autostop_mins"], again["stops"]) == (30, "stop")
    first.set(Setting(NEVER))
    assert told(first)["left_s"] is None
    assert told(keeper(tmp_path))["autostop_mins"] == NEVER


@pytest.mark.parametrize("content", ["", "{", "[]", "1", "{}", '{"autostop_mins": 1}', "\xff"])
def test_a_setting_that_cannot_be_read_keeps_nothing_up(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "autostop.json").write_text(content, encoding="latin-1")
    assert keeper(tmp_path).to_json() is None
    assert "cannot be read" in caplog.text


def test_a_setting_that_cannot_be_kept_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "gone"
    kept = keeper(root)
    kept.set(Setting(30, PULSE))
    (root / "autostop.json").unlink()
    os.rmdir(root)
    root.touch()
    with pytest.raises(OSError, match="gone"):
        kept.set(Setting(5))
    assert told(kept)["autostop_mins"] == 30
