"""How much processes compute is read of real ones, which spin, sleep, end and are left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from runhouse.server.processes import WorkerTrees, parse_stat, read_processes
from tests.waiting import is_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(60)

PYTHON = [sys.executable, "-S", "-c"]
SPIN = "while True: pass"
SLEEP = "import signal; signal.pause()"
SPIN_THEN_WAIT = """
import sys, time
while time.process_time() < 0.5: pass
print(flush=True)
sys.stdin.readline()
"""
# Starts a program and tells its id; ends it, or leaves it behind, when told to.
PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[2:], start_new_session=sys.argv[1] == "leave")
print(child.pid, flush=True)
sys.stdin.readline()
if sys.argv[1] == "end":
    child.kill()
    child.wait()
    print(flush=True)
    sys.stdin.readline()
"""
# As one core is 100 ticks a second, this much is more than 5 % of it for 6 s.
ENOUGH_TICKS = 30

Starter = "Callable[..., subprocess.Popen[str]]"


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Give what starts a process as a worker is started; all of its session end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*command: str) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload]
        started.append(process)
        return process  # type: ignore[no-any-return]

    yield start_one
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def read_pid(process: subprocess.Popen[str]) -> int:
    """Return the id that a process tells; or wait for a line of it."""
    assert process.stdout is not None
    return int(process.stdout.readline().strip() or 0)


def tell(process: subprocess.Popen[str]) -> None:
    """Let a process that waits for a line go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for_ticks(pid: int, ticks: int = ENOUGH_TICKS) -> None:
    """Wait until a process has computed so much from now on."""
    before = read_processes()[pid].used
    wait_until(lambda: read_processes()[pid].used >= before + ticks, 40)


# -- one process ----------------------------------------------------------------------------------


@given(st.binary(max_size=30), st.lists(st.integers(0, 2**62), min_size=49, max_size=49))
def test_a_line_is_read_whatever_the_name_is(name: bytes, rest: list[int]) -> None:
    line = b"17 (%b) S %b\n" % (name, b" ".join(b"%d" % number for number in rest))
    found = parse_stat(line)
    assert (found.pid, found.parent, found.session) == (17, rest[0], rest[2])
    assert (found.started, found.used) == (rest[18], sum(rest[10:14]))


def test_all_processes_are_read() -> None:
    found = read_processes()
    own = found[os.getpid()]
    assert (own.parent, own.session) == (os.getppid(), os.getsid(0))
    assert own.started > 0
    assert abs(own.used / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])) < 5
    assert all(process.pid == pid for pid, process in found.items())


# -- trees ----------------------------------------------------------------------------------------


def test_the_one_that_computes_is_told_from_the_one_that_sleeps(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    spinner, sleeper = start(*PYTHON, SPIN), start("sleep", "1000")
    trees, pids = WorkerTrees(), {spinner.pid, sleeper.pid}
    assert trees.look(pids, time.monotonic()) == [], "what was before the first look does not count"
    wait_for_ticks(spinner.pid)
    assert trees.look(pids, time.monotonic()) == [spinner.pid]
    spinner.kill()
    spinner.wait()
    assert trees.look({sleeper.pid}, time.monotonic()) == []


def test_what_a_new_worker_has_taken_to_start_does_not_count(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    trees = WorkerTrees()
    trees.look((), time.monotonic())
    started = start(*PYTHON, SPIN_THEN_WAIT)
    read_pid(started)
    assert trees.look({started.pid}, time.monotonic()) == []
    assert trees.look({started.pid}, time.monotonic() + 1) == []


def test_little_is_not_enough(start: Callable[..., subprocess.Popen[str]]) -> None:
    spinner, trees = start(*PYTHON, SPIN), WorkerTrees()
    trees.look({spinner.pid}, 100.0)
    wait_for_ticks(spinner.pid)
    spinner.send_signal(signal.SIGSTOP)
    used_s = read_processes()[spinner.pid].used / os.sysconf("SC_CLK_TCK")
    assert trees.look({spinner.pid}, 100.0 + used_s * 30) == []
    assert trees.look({spinner.pid}, 101.0 + used_s * 30) == [], "it has not gone on"


def test_children_of_a_worker_count(start: Callable[..., subprocess.Popen[str]]) -> None:
    for how in ("end", "leave"):
        parent, trees = start(*PYTHON, PARENT, how, *PYTHON, SPIN), WorkerTrees()
        child = read_pid(parent)
        trees.look({parent.pid}, time.monotonic())
        wait_for_ticks(child)
        assert trees.look({parent.pid}, time.monotonic()) == [parent.pid]
        os.kill(child, signal.SIGKILL)


def test_children_that_come_and_go_count(start: Callable[..., subprocess.Popen[str]]) -> None:
    loop = "while :; do (i=0; while [ $i -lt 9999 ]; do i=$((i+1)); done); done"
    parent, trees = start("/bin/sh", "-c", loop), WorkerTrees()
    trees.look({parent.pid}, time.monotonic())
    wait_for_ticks(parent.pid)
    assert trees.look({parent.pid}, time.monotonic()) == [parent.pid]


def test_one_that_was_left_to_init_counts_by_its_session(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    line = '("$@" & echo $!); exec sleep 1000'
    parent, trees = start("/bin/sh", "-c", line, "sh", *PYTHON, SPIN), WorkerTrees()
    orphan = read_pid(parent)
    wait_until(lambda: read_processes()[orphan].parent != parent.pid)
    trees.look({parent.pid}, time.monotonic())
    wait_for_ticks(orphan)
    assert trees.look({parent.pid}, time.monotonic()) == [parent.pid]


def test_one_that_outlives_its_worker_counts_as_long_as_it_lives(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    parent, trees = start(*PYTHON, PARENT, "leave", *PYTHON, SPIN), WorkerTrees()
    child = read_pid(parent)
    try:
        trees.look({parent.pid}, time.monotonic())
        tell(parent)
        parent.wait()
        trees.look((), time.monotonic())
        wait_for_ticks(child)
        assert trees.look((), time.monotonic()) == [parent.pid]
    finally:
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: not is_running(child))
    trees.look((), time.monotonic())
    assert trees.look((), time.monotonic() + 1) == []


def test_the_end_of_a_child_that_computed_long_ago_is_no_use(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    parent, trees = start(*PYTHON, PARENT, "end", *PYTHON, SPIN), WorkerTrees()
    child = read_pid(parent)
    wait_for_ticks(child, 100)
    os.kill(child, signal.SIGSTOP)
    trees.look({parent.pid}, 100.0)
    tell(parent)
    read_pid(parent)
    assert child not in read_processes()
    assert read_processes()[parent.pid].used >= 100, "the time of the child has become its own"
    assert trees.look({parent.pid}, 105.0) == []


def test_processes_of_others_do_not_count(start: Callable[..., subprocess.Popen[str]]) -> None:
    spinner, sleeper, trees = start(*PYTHON, SPIN), start(*PYTHON, SLEEP), WorkerTrees()
    wait_for_ticks(spinner.pid)  # the other one has started by then
    trees.look({sleeper.pid}, time.monotonic())
    wait_for_ticks(spinner.pid)
    assert trees.look({sleeper.pid}, time.monotonic()) == []
