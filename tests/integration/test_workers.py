"""Workers are the user's: their interpreter, their packages, their output, their memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import runhouse as rh
from runhouse.client.endpoint import Target
from runhouse.clusters.env_use import EnvUse
from runhouse.server.nodes import resident_bytes
from runhouse.wire import frames
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind
from tests.integration import sample
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(90)
_GIB = 2**30


@pytest.fixture(scope="module")
def local(session_home: Path) -> Iterator[rh.Cluster]:
    """Give this machine's cluster."""
    assert session_home.is_dir()
    yield rh.here
    rh.here.disconnect()
    rh.here.stop()


def available_bytes() -> int:
    """Return how much memory is free for use."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def import_order() -> tuple[list[str], str, str]:
    """Return the import path, and where our package and cloudpickle come from."""
    pickler = sys.modules["runhouse_cloudpickle"].__file__ or ""
    return sys.path, sys.modules["runhouse"].__file__ or "", pickler


def test_our_package_stands_at_the_end_of_the_import_path(local: rh.Cluster) -> None:
    path, package, pickler = rh.function(import_order).to(local)()
    own = str(Path(package).parents[1])
    assert path[-1] == own
    assert "" not in path
    assert pickler.endswith("cloudpickle.py")


def test_a_worker_loads_nothing_that_the_user_did_not_ask_for(local: rh.Cluster) -> None:
    by_value = rh.function(lambda: {name.partition(".")[0] for name in __import__("sys").modules})
    loaded = by_value.to(local, env="bare")()
    assert not loaded & {"starlette", "uvicorn", "anyio", "typer", "rich", "fsspec", "cloudpickle"}
    assert not loaded & {"numpy", "tests"}


def test_a_package_of_the_user_wins_over_ours(local: rh.Cluster, tmp_path: Path) -> None:
    """Put a cloudpickle and a runhouse of the user's own into their project."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").touch()
    (project / "cloudpickle.py").write_text("VERSION = 'theirs'\n")
    (project / "theirs.py").write_text(
        "import cloudpickle\ndef version(): return cloudpickle.VERSION\n"
    )
    program = """
import sys
sys.path.append({src!r})
import runhouse as rh
import theirs
print(rh.function(theirs.version).to(rh.here)())
print(rh.function(lambda: 7).to(rh.here)())
"""
    src = str(Path(rh.__file__ or "").parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program.format(src=src)],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["theirs", "7"], done.stderr


def test_each_env_has_a_process_of_its_own(local: rh.Cluster) -> None:
    pids = {rh.function(sample.pid).to(local, env=env)() for env in ("one", "two", "one")}
    assert len(pids) == 2
    workers = {worker.env: worker.pid for worker in local.status().workers}
    assert {workers["one"], workers["two"]} == pids


def test_a_worker_runs_in_its_project(local: rh.Cluster) -> None:
    executable, directory = rh.function(sample.where).to(local)()
    assert Path(directory) == Path(__file__).parents[2]
    assert Path(executable).resolve() == Path(sys.executable).resolve()


def test_standard_input_is_empty(local: rh.Cluster) -> None:
    def ask() -> str:
        try:
            return input()
        except EOFError:
            return "nothing"

    assert rh.function(ask).to(local)() == "nothing"


def bars(count: int) -> int:
    """Show a progress bar."""
    from tqdm import tqdm  # noqa: PLC0415 - only this function needs it

    return sum(1 for _ in tqdm(range(count), mininterval=0))


def test_progress_bars_are_drawn_here(local: rh.Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    remote = rh.function(bars).to(local)
    capfd.readouterr()
    assert remote(5) == 5
    err = capfd.readouterr().err
    assert "\r" in err
    assert "5/5" in err


def children(text: str) -> int:
    """Print from processes that this one makes."""
    pid = os.fork()
    if pid == 0:
        print(f"forked {text}")
        os._exit(0)
    os.waitpid(pid, 0)
    program = f"print('started {text}')"
    return subprocess.run([sys.executable, "-c", program], check=True).returncode


def test_output_of_child_processes_arrives(
    local: rh.Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    remote = rh.function(children).to(local, env="children")
    capfd.readouterr()
    assert remote("x") == 0
    assert sorted(capfd.readouterr().out.split("\n")) == ["", "forked x", "started x"]


def test_output_of_concurrent_coroutines_is_told_apart(
    local: rh.Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    async def speak(name: str) -> None:
        for number in range(50):
            print(name, number)
            await asyncio.sleep(0)

    remote = rh.function(speak).to(local)
    capfd.readouterr()

    async def both() -> None:
        await asyncio.gather(remote("a"), remote("b"))

    asyncio.run(both())
    lines = capfd.readouterr().out.splitlines()
    for name in "ab":
        assert [line for line in lines if line.startswith(name)] == [
            f"{name} {number}" for number in range(50)
        ]


def test_code_in_a_worker_can_use_its_own_cluster(local: rh.Cluster) -> None:
    def nested(x: int) -> tuple[int, bool]:
        return rh.function("math:factorial").to(rh.here)(x), rh.here.on_this_cluster()

    assert rh.function(nested).to(local)(5) == (120, True)


def test_a_megabyte_of_lines_arrives_in_order(
    local: rh.Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    remote = rh.function(sample.speak_often).to(local)
    capfd.readouterr()
    remote("x" * 100, 10_000)
    lines = capfd.readouterr().out.splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(10_000))


def total(array: np.ndarray) -> int:
    """Return a few figures of a large array."""
    return int(array[0]) + int(array[-1]) + array.nbytes


@pytest.mark.slow
@pytest.mark.serial
def test_more_than_four_gigabytes_go_both_ways_and_the_server_stays_small(
    local: rh.Cluster,
) -> None:
    if available_bytes() < 16 * _GIB:
        pytest.skip("needs 16 GB of free memory")
    server = local.up().status().pid
    remote = rh.function(total).to(local, env="large")
    array = np.zeros(4 * _GIB + 1000, dtype="u1")
    array[0], array[-1] = 1, 2
    before = resident_bytes(server)
    assert remote(array) == array.nbytes + 3
    del array
    back = rh.function(sample.make_bytes).to(local, env="large")(4 * _GIB + 5)
    assert len(back) == 4 * _GIB + 5
    assert resident_bytes(server) - before < 20_000_000


def test_a_thousand_idle_connections_cost_no_threads(local: rh.Cluster) -> None:
    remote = rh.function(sample.identity).to(local, env="many")
    target, _ = local.calls.target(EnvUse("many"), Path(__file__).parents[2])
    client = local.calls.client
    connections = [client.open(target) for _ in range(300)]
    (worker,) = [worker for worker in local.status().workers if worker.env == "many"]
    threads = len(os.listdir(f"/proc/{worker.pid}/task"))
    assert threads < 20
    assert remote(1) == 1
    for connection in connections:
        connection.sock.close()
    wait_until(lambda: len(os.listdir(f"/proc/{worker.pid}/fd")) < 60)


def test_threads_of_a_burst_end_again(local: rh.Cluster) -> None:
    remote = rh.function(sample.wait).to(local, env="burst")
    threads = [threading.Thread(target=remote, args=(0.3,)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (worker,) = [worker for worker in local.status().workers if worker.env == "burst"]
    wait_until(lambda: len(os.listdir(f"/proc/{worker.pid}/task")) < 20)


def test_what_is_no_message_ends_only_its_connection(local: rh.Cluster) -> None:
    remote = rh.function(sample.add).to(local, env="fuzzed")
    target, _ = local.calls.target(EnvUse("fuzzed"), Path(__file__).parents[2])
    for data in (b"\x00" * 20, b"\x01" + b"\x00" * 19, b"\xff" * 64, b"\x02\0\0\0" + b"\0" * 16):
        connection = local.calls.client.open(target)
        with connection.sock as sock:
            sock.settimeout(10)
            sock.sendall(data)
            sock.shutdown(1)
            with contextlib.suppress(ConnectionError):
                sock.recv(1000)
    assert remote(1, 2) == 3


def test_a_worker_that_is_busy_takes_many_connections_later(local: rh.Cluster) -> None:
    add = rh.function(sample.add).to(local, env="crowded")
    assert add(1) == 2
    (worker,) = [each for each in local.status().workers if each.env == "crowded"]
    client, target = local.calls.client, Target(worker_id=worker.id)
    with contextlib.ExitStack() as stack:
        stack.callback(os.kill, worker.pid, signal.SIGCONT)
        os.kill(worker.pid, signal.SIGSTOP)
        many = [stack.enter_context(client.open(target).sock) for _ in range(400)]
        os.kill(worker.pid, signal.SIGCONT)
        call = Call("last", "method", "nothing", arguments="json", answer="json")
        frames.send(many[-1], Frame(Kind.CALL, call.to_meta()))
        answer = frames.receive(many[-1])
    assert answer is not None
    assert answer.kind == Kind.ERROR, "it was handed over, and there is no such object"
    assert add(2) == 3
