"""What breaks in the middle of a call is mended, or told as what it is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse import settings
from runhouse.errors import ServerLostError
from tests.integration import sample
from tests.waiting import is_running, wait_until

if TYPE_CHECKING:
    from tests.rigs.cut_line import CutLine

pytestmark = pytest.mark.timeout(60)
ROOT = Path(__file__).parents[2]


def test_a_cut_in_mid_call_runs_it_once_and_loses_no_output(
    rig: CutLine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rig.define("mark_slowly")
    path = str(tmp_path / "marks")
    capfd.readouterr()
    timers = [threading.Timer(delay, rig.cutter.cut) for delay in (0.15, 0.35, 0.5)]
    for timer in timers:
        timer.start()
    assert rig.call("mark_slowly", path, 0.8) == 1
    assert capfd.readouterr().out == "".join(f"step {n}\n" for n in range(5))
    assert rig.cutter.connections > 2


@pytest.mark.parametrize("size", [0, 1000, 300_000])
def test_a_cut_at_any_byte_of_the_answers_runs_the_call_once(
    rig: CutLine, tmp_path: Path, size: int
) -> None:
    """Cut each of several connections a little later than the one before."""
    rig.define("mark")
    rig.define("make_bytes")
    for number, cut_at in enumerate([1, 19, 20, 21, 60, 150, 160, 175, 190, 230]):
        path = str(tmp_path / f"marks{number}")
        rig.client.close()
        rig.cutter.limits = [cut_at, 130 + cut_at, 10_000]
        assert rig.call("mark", path) == 1
        assert len(rig.call("make_bytes", size)) == size
        assert Path(path).read_text() == "called\n"


def test_a_generator_goes_on_where_it_was_cut(rig: CutLine) -> None:
    rig.define("count_to")
    received = []
    for value in rig.call("count_to", 3000):
        received.append(value)
        if value % 700 == 300:
            rig.cutter.cut()
    assert received == list(range(3000))


def test_an_idle_connection_that_was_cut_is_replaced(rig: CutLine) -> None:
    rig.define("add")
    rig.cutter.cut()
    assert rig.call("add", 1, 2) == 3


def test_a_server_that_is_killed_in_mid_call_is_told(rig: CutLine) -> None:
    rig.define("wait")
    threading.Timer(0.3, os.kill, (rig.info.pid, signal.SIGKILL)).start()
    with pytest.raises(ServerLostError, match="ended during a call"):
        rig.call("wait", 60)
    with contextlib.suppress(FileNotFoundError):
        rig.cutter.close()
    again = rh.function(sample.add).to(rh.here)
    assert again(1, 2) == 3


def test_a_function_outlives_its_server_and_an_instance_says_that_it_is_lost() -> None:
    add = rh.function(sample.add).to(rh.here)
    counter = rh.module(sample.Counter).to(rh.here)(1)
    status = rh.here.status()
    os.kill(status.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_running(worker.pid) for worker in status.workers))
    assert add(1, 2) == 3
    with pytest.raises(ServerLostError, match="so is what it held"):
        counter.add()
    rh.here.stop()


def test_a_call_whose_caller_was_killed_is_cancelled(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    program = f"""
import runhouse as rh
from tests.integration import sample
wait = rh.function(sample.wait).to(rh.here)
print("ready", flush=True)
wait(60, {str(mark)!r})
"""
    caller = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"RH_ORPHAN_GRACE_S": "0.5"},
    )
    with caller:
        assert caller.stdout is not None
        caller.stdout.readline()
        wait_until(lambda: rh.here.status().running == 1)
        caller.kill()
    wait_until(lambda: rh.here.status().running == 0)
    assert mark.read_text() == "stopped"


def test_a_computing_call_is_cancelled_by_ctrl_c_of_its_caller(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    program = f"""
import runhouse as rh
from tests.integration import sample
rh.function(sample.spin).to(rh.here)({str(mark)!r})
"""
    caller = subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    with caller:
        wait_until(mark.exists)
        caller.send_signal(signal.SIGINT)
        _, err = caller.communicate(timeout=20)
    assert err.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: rh.here.status().running == 0)
    assert rh.function(sample.add).to(rh.here)(1) == 2


def test_a_call_that_is_cut_for_good_is_given_up(
    rig: CutLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.define("wait")
    monkeypatch.setattr(
        rig.client, "settings", settings.Settings(home=Path("x"), reconnect_timeout_s=0.5)
    )

    def cut() -> None:
        rig.cutter.refusing = True
        rig.cutter.cut()

    threading.Timer(0.3, cut).start()
    with pytest.raises(ServerLostError, match="could not be made again within"):
        rig.call("wait", 60)


def test_many_cuts_under_load_lose_nothing(rig: CutLine, tmp_path: Path) -> None:
    rig.define("mark")
    stop = threading.Event()

    def cut_often() -> None:
        for _ in range(40):  # on a slow machine, an endless row of cuts would let nothing through
            if stop.wait(0.05):
                return
            rig.cutter.cut()

    cutter = threading.Thread(target=cut_often)
    cutter.start()
    with ThreadPoolExecutor(8) as pool:
        paths = [str(tmp_path / str(number)) for number in range(200)]
        counts = list(pool.map(lambda path: rig.call("mark", path, run_id=Path(path).name), paths))
    stop.set()
    cutter.join()
    assert counts == [1] * 200
    rig.define("pid")
    assert len(os.listdir(f"/proc/{rig.call('pid')}/task")) < 60


def test_the_local_server_leaves_with_its_last_client(session_home: Path, tmp_path: Path) -> None:
    home = session_home / "idle"
    program = """
import runhouse as rh
print(rh.function("os:getpid").to(rh.here)(), rh.here.status().pid)
"""
    environment = os.environ | {"RH_HOME": str(home), "RH_LOCAL_IDLE_S": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=30,
    )
    pids = [int(word) for word in done.stdout.split()]
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), timeout_s=15)
