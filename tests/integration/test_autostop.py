"""A server tells whoever would stop its host that it is in use, and only while it is."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse import settings
from runhouse.bootstrap.local_host import server_root
from runhouse.client.endpoint import Target
from runhouse.server.control import start_server
from runhouse.server.info import ServerConfig
from runhouse.version import __version__
from runhouse.wire.messages import Scope
from tests.integration import sample, sample_autostop
from tests.waiting import is_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.clusters.status import AutostopStatus

pytestmark = pytest.mark.timeout(120)

# With minutes this long, an autostop of 1 minute makes a pulse each 1.5 s.
MINUTE_S = 6.0
INTERVAL_S = 1.5
WAIT_S = 60.0


@dataclass
class Pulses:
    """Be the one who would stop the host: each pulse adds a line to a file."""

    path: Path

    def expect(self, mins: int = 1, **others: object) -> None:
        """Have the server pulse, and wait until the first pulse is there."""
        line = 'date +%s.%N >> "$0"'
        set_autostop(mins, pulse=["/bin/sh", "-c", line, str(self.path)], **others)
        if mins > 0:
            wait_until(lambda: autostop().pulsed_at is not None, WAIT_S)

    @property
    def times(self) -> list[float]:
        """Return when there were pulses."""
        return [float(line) for line in self.path.read_text().split()]

    def wait_for(self, count: int) -> None:
        """Wait for so many more pulses."""
        before = len(self.times)
        wait_until(lambda: len(self.times) >= before + count, WAIT_S)


def set_autostop(mins: object, **others: object) -> Any:
    """Set autostop, as what launches machines does."""
    asked = {"autostop_mins": mins, **others}
    return rh.here.calls.client.request("PUT", "/autostop", asked)


def autostop() -> AutostopStatus:
    """Return how it stands."""
    found = rh.here.status().autostop
    assert found is not None
    return found


def wait_for_rest(pulses: Pulses) -> int:
    """Wait until the last pulse is over; return how many there were."""
    wait_until(lambda: autostop().idle_s > INTERVAL_S, WAIT_S)
    return len(pulses.times)


@pytest.fixture(scope="module")
def config(session_home: Path) -> Iterator[ServerConfig]:
    """Give the configuration of this machine's server, which runs with short minutes."""
    assert session_home.is_dir()
    root = server_root(settings.load())
    made = ServerConfig(str(root), __version__, idle_s=300, minute_s=MINUTE_S)
    start_server(made)
    yield made
    rh.here.disconnect()
    rh.here.stop()
    (root / "autostop.json").unlink()


@pytest.fixture
def pulses(config: ServerConfig, tmp_path: Path) -> Iterator[Pulses]:
    """Give pulses to expect; afterwards there are none, and nothing runs any more."""
    assert config.minute_s == MINUTE_S
    yield Pulses(tmp_path / "pulses")
    (tmp_path / "until").touch()
    set_autostop(-1)
    wait_until(lambda: not autostop().in_use, WAIT_S)


# -- what is use, and what is not -----------------------------------------------------------------


def test_connections_and_questions_are_no_use(pulses: Pulses) -> None:
    rh.here.put("held", [1, 2, 3])
    with rh.here.calls.client.open(Target("default", Scope())).sock:
        pulses.expect()
        before = wait_for_rest(pulses)
        assert rh.here.keys() == ["held"]
        wait_until(lambda: autostop().idle_s > MINUTE_S, WAIT_S)
        assert len(pulses.times) == before
        assert autostop().left_s == 0.0
    rh.here.delete("held")


def test_a_running_call_keeps_the_host_up_until_its_end(pulses: Pulses) -> None:
    wait = rh.function(sample.wait).to(rh.here)
    pulses.expect(stops="stop")
    with ThreadPoolExecutor(2) as callers:
        began = time.time()
        calls = [callers.submit(wait, 5.0) for _ in range(2)]
        wait_until(lambda: autostop().why == "2 calls running")
        told = autostop()
        assert (told.in_use, told.idle_s, told.left_s) == (True, 0.0, MINUTE_S)
        assert (told.autostop_mins, told.stops, told.pulse_error) == (1, "stop", "")
        assert [call.result() for call in calls] == ["slept", "slept"]
        ended = time.time()
    during = [at for at in pulses.times if began <= at <= ended]
    assert 2 <= len(during) <= (ended - began) / INTERVAL_S + 2
    wait_until(lambda: pulses.times[-1] > ended, WAIT_S)
    count = wait_for_rest(pulses)
    assert len([at for at in pulses.times[:count] if at > ended]) <= 3
    assert autostop().why == ""


def test_calls_that_wait_for_others_are_use(pulses: Pulses) -> None:
    wait = rh.function(sample.wait).to(rh.here)
    pulses.expect()
    rh.here.set_limits(concurrency=1)
    with ThreadPoolExecutor(3) as callers:
        calls = [callers.submit(wait, 1.0) for _ in range(3)]
        wait_until(lambda: autostop().why == "3 calls running")
        assert [call.result() for call in calls] == ["slept"] * 3
    rh.here.set_limits()


def test_async_calls_and_generators_are_use(pulses: Pulses, tmp_path: Path) -> None:
    wait_later: Any = rh.function(sample.wait_later).to(rh.here)
    count_to = rh.function(sample.count_to).to(rh.here)
    pulses.expect()
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(asyncio.run, wait_later(4.0, str(tmp_path / "mark")))
        wait_until(lambda: autostop().why == "1 call running")
        pulses.wait_for(2)
        assert call.result() == "slept"
    numbers = count_to(8, 0.5)
    assert next(iter(numbers)) == 0
    assert autostop().why == "1 call running"
    pulses.wait_for(2)
    assert list(numbers)[-1] == 7


def test_a_call_too_short_to_be_seen_is_use(pulses: Pulses) -> None:
    add = rh.function(sample.add).to(rh.here)
    pulses.expect()
    for _ in range(2):
        wait_for_rest(pulses)
        began = time.time()
        assert add(1, 2) == 3
        wait_until(lambda began=began: time.time() - autostop().idle_s > began - 0.2)  # type: ignore[misc]
        wait_until(lambda began=began: pulses.times[-1] > began, WAIT_S)  # type: ignore[misc]


@pytest.mark.parametrize(
    "spin",
    [
        sample_autostop.spin_in_thread,
        sample_autostop.spin_in_process,
        sample_autostop.spin_in_process_of_shell,
    ],
)
def test_what_a_call_leaves_computing_is_use(spin: Any, pulses: Pulses, tmp_path: Path) -> None:
    function = rh.function(spin).to(rh.here)
    pulses.expect()
    function(str(tmp_path / "until"))
    wait_until(lambda: autostop().why.startswith("worker"), WAIT_S)
    pids = {worker.pid for worker in rh.here.status().workers}
    assert autostop().why in {f"worker {pid} computes" for pid in pids}
    assert rh.here.status().running == 0
    pulses.wait_for(2)
    (tmp_path / "until").touch()
    wait_until(lambda: not autostop().in_use, WAIT_S)
    count = wait_for_rest(pulses)
    wait_until(lambda: autostop().idle_s > 2.5 * INTERVAL_S, WAIT_S)
    assert len(pulses.times) == count


def test_a_notebook_is_use_while_a_cell_computes(pulses: Pulses, config: ServerConfig) -> None:
    notebooks = Path(config.root) / "notebooks"
    folder = notebooks / "default"
    folder.mkdir(parents=True)
    spin, idle = "while True: pass", "import time; time.sleep(60)"
    kernels = [subprocess.Popen([sys.executable, "-c", code]) for code in (idle, spin)]
    try:
        pulses.expect()
        (folder / "record.json").write_text(json.dumps({"pid": kernels[0].pid}))
        wait_until(lambda: autostop().idle_s > 2.5 * INTERVAL_S, WAIT_S)
        assert not autostop().in_use, "one that is open, and nothing else"
        (folder / "record.json").write_text(json.dumps({"pid": kernels[1].pid}))
        wait_until(lambda: autostop().why == f"notebook {kernels[1].pid} computes", WAIT_S)
    finally:
        for kernel in kernels:
            kernel.kill()
            kernel.wait()
    wait_until(lambda: not autostop().in_use, WAIT_S)
    (folder / "record.json").write_text("broken")
    wait_until(lambda: autostop().idle_s > INTERVAL_S, WAIT_S)
    shutil.rmtree(notebooks)


def test_a_named_run_is_use_with_nobody_connected(pulses: Pulses) -> None:
    wait = rh.function(sample.wait).to(rh.here)
    pulses.expect()
    run = wait.options(run_name="nightly").run(12.0)
    rh.here.disconnect()
    pulses.wait_for(3)
    assert autostop().why == "run 'nightly' is going on"
    run.cancel()
    wait_until(lambda: not autostop().in_use, WAIT_S)


def test_many_short_calls_make_few_pulses(pulses: Pulses) -> None:
    add = rh.function(sample.add).to(rh.here)
    pulses.expect()
    before, began = len(pulses.times), time.monotonic()
    while time.monotonic() - began < 4 * INTERVAL_S:
        assert add(1, 2) == 3
        wait_until(lambda: not autostop().in_use, WAIT_S)
    took_s = time.monotonic() - began
    # The pulse after the end of a call comes half a second after the one before, or later.
    assert 2 <= len(pulses.times) - before <= took_s / 0.5 + 1


# -- pulses ---------------------------------------------------------------------------------------


def test_never_is_never(pulses: Pulses) -> None:
    spin_for = rh.function(sample.spin_for).to(rh.here)
    pulses.expect(-1)
    assert spin_for(2 * INTERVAL_S) == "computed"
    told = autostop()
    assert (told.autostop_mins, told.left_s, told.pulsed_at) == (-1, None, None)
    assert rh.here.status().autostop_mins == -1
    assert not pulses.path.exists()


def test_a_pulse_that_hangs_is_killed_and_delays_no_call(pulses: Pulses, tmp_path: Path) -> None:
    add = rh.function(sample.add).to(rh.here)
    pids = tmp_path / "pids"
    hang = ["/bin/sh", "-c", 'sleep 1000 & echo $! $$ >> "$0"; wait', str(pids)]
    set_autostop(1, pulse=hang)
    wait_until(pids.exists)
    began = time.monotonic()
    assert [add(number) for number in range(50)] == list(range(1, 51))
    assert time.monotonic() - began < MINUTE_S
    wait_until(lambda: add(1) and autostop().pulse_error == "killed after 6 s", WAIT_S)
    assert autostop().pulsed_at is None
    wait_until(lambda: len(pids.read_text().splitlines()) == 2, WAIT_S)
    first, second = ([int(pid) for pid in line.split()] for line in pids.read_text().splitlines())
    wait_until(lambda: not any(map(is_running, first)))
    assert all(map(is_running, second))
    pulses.expect()
    assert autostop().pulse_error == ""
    wait_until(lambda: not any(map(is_running, second)))


def test_a_pulse_that_fails_is_told_and_goes_on(
    pulses: Pulses, tmp_path: Path, config: ServerConfig
) -> None:
    wait, mended = rh.function(sample.wait).to(rh.here), tmp_path / "mended"
    line = 'echo >> "$1"; test -e "$0" || { echo no such luck >&2; exit 3; }'
    command = ["/bin/sh", "-c", line, str(mended), str(pulses.path), "secret-of-mine"]
    set_autostop(1, pulse=command)
    error = "exit code 3: no such luck"
    wait_until(lambda: autostop().pulse_error == error, WAIT_S)
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(wait, 5.0)
        wait_until(lambda: pulses.path.read_text().count("\n") >= 3, WAIT_S)
        assert autostop().pulse_error == error
        assert autostop().pulsed_at is None
        mended.touch()
        wait_until(lambda: autostop().pulsed_at is not None, WAIT_S)
        assert call.result() == "slept"
    assert autostop().pulse_error == ""
    log = Path(config.root, "server.log").read_text()
    assert log.count("no such luck") == 1
    assert "secret-of-mine" not in log


def test_a_restarted_server_goes_on(pulses: Pulses, config: ServerConfig, tmp_path: Path) -> None:
    pulses.expect(stops="stop")
    kept = Path(config.root, "autostop.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    spin = rh.function(sample_autostop.spin_in_thread).to(rh.here)
    spin(str(tmp_path / "never"))
    pulses.wait_for(2)
    os.kill(rh.here.status().pid, signal.SIGKILL)
    wait_until(lambda: not rh.here.is_up())
    rh.here.disconnect()
    count, started = len(pulses.times), time.time()
    start_server(config)
    wait_until(lambda: len(pulses.times) > count, WAIT_S)
    assert pulses.times[count] > started
    told = autostop()
    assert (told.autostop_mins, told.stops, told.in_use) == (1, "stop", False)
    wait = rh.function(sample.wait).to(rh.here)
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(wait, 4.0)
        pulses.wait_for(2)
        assert call.result() == "slept"


def test_a_pulse_ends_with_the_server(pulses: Pulses, config: ServerConfig, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    hang = [
        "/bin/sh",
        "-c",
        'sleep 1000 & echo $! $$ > "$0.new"; mv "$0.new" "$0"; wait',
        str(pids),
    ]
    set_autostop(30, pulse=hang)
    wait_until(pids.exists)
    running = [int(pid) for pid in pids.read_text().split()]
    assert all(map(is_running, running))
    log = Path(config.root, "server.log")
    before = log.stat().st_size
    assert rh.here.stop()
    wait_until(lambda: not any(map(is_running, running)))
    start_server(config)
    assert "Traceback" not in log.read_text()[before:]
    assert not pulses.path.exists()
