"""Other systems that do what runhouse does, measured in the same run as it.

Each has an environment of its own and a script in `peers/`, which says how it does each thing.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.peers.figures import children, descendants, seconds
from bench.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Figures

OURS = "ours"
_ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).with_name("peers")
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
LONGEST_S = 120.0
_INSTALLING_S = 900.0
_ENOUGH_S = 10.0


class PeerError(Exception):
    """Say why a peer gives no figures."""


@dataclass(frozen=True, slots=True)
class System:
    """Name a system's script, its environment (empty: this one) and what its users import."""

    script: str
    environment: str
    imported: str


SYSTEMS = {
    OURS: System("our_peer.py", "", "runhouse"),
    "Ray": System("ray_peer.py", "ray", "ray"),
    "Dask": System("dask_peer.py", "dask", "dask.distributed"),
    "RPyC": System("rpyc_peer.py", "rpyc", "rpyc"),
    "Runhouse 0.0.42": System("runhouse_peer.py", "runhouse", "runhouse"),
}


def measure(*, quick: bool) -> dict[str, Figures]:
    """Return the figures of all systems by name; those that fail have none, and say so."""
    found: dict[str, Figures] = {}
    for name, system in SYSTEMS.items():
        sys.stderr.write(f"peers: {name} ...\n")
        found[name] = {}
        try:
            _measure(system, found[name], quick=quick)
        except PeerError as error:
            sys.stderr.write(f"peers: {name}: {error}\n")
    return found


def peer_rows(found: dict[str, Figures]) -> list[Row]:
    """Return the row whose target is a peer's figure of the same run."""
    ours, theirs = (found[name].get("calls_per_s") for name in (OURS, "Ray"))
    if not ours or not theirs:
        return []
    return [Row("calls/s, against Ray", ours, "/s", theirs, "Ray, pipelined", 1, 1, "more")]


def _measure(system: System, into: Figures, *, quick: bool) -> None:
    """Take a system's figures; those that were taken before a failure stay."""
    python = _python(system)
    into["import_s"] = _import_time(system, python, 2 if quick else 7)
    for line, _ in answers(system, python, "figures"):
        into.update(json.loads(line))
    times: list[float] = []
    while not times or (len(times) < 3 and sum(times) < _ENOUGH_S and not quick):
        for line, took in answers(system, python, "first"):
            if line != "7\n":
                msg = f"its first result was {line!r}"
                raise PeerError(msg)
            times.append(took)
    into["first_s"] = median(times)


def _python(system: System) -> str:
    """Return the interpreter of a system's environment, which is made when it is missing."""
    if not system.environment:
        return sys.executable
    command = ["scripts/setup.sh", f"peer-{system.environment}"]
    environment = {"PYTHON": sys.executable} | os.environ
    try:
        subprocess.run(
            command, cwd=_ROOT, env=environment, check=True, timeout=_INSTALLING_S, stdout=2
        )
    except (OSError, subprocess.SubprocessError) as error:
        msg = f"it could not be installed. {error}"
        raise PeerError(msg) from error
    return str(_ROOT / ".venv/peers" / system.environment / "bin/python")


def _import_time(system: System, python: str, rounds: int) -> float:
    """Return how much longer a new interpreter takes when it imports the system."""
    times: dict[str, list[float]] = {"pass": [], f"import {system.imported}": []}
    with TemporaryDirectory(prefix="rh-p-") as home:
        environment = _environment(system, home)
        for _ in range(rounds):
            for code, into in times.items():
                command = [python, "-c", code]
                into.append(seconds(lambda: _run(command, home, environment)))  # noqa: B023
    empty, whole = (median(values) for values in times.values())
    return whole - empty


def _run(command: list[str], cwd: str, environment: dict[str, str]) -> None:
    try:
        subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        msg = f"it cannot be imported. {error.stderr.decode().strip().splitlines()[-1:]}"
        raise PeerError(msg) from error


def _environment(system: System, home: str) -> dict[str, str]:
    """Return the variables for a system, which must find nothing of the user's and of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    paths = [f"{home}/project"]
    if not system.environment:
        kept["RH_HOME"] = f"{home}/rh"
        paths += [os.environ[name] for name in ("PYTHONPATH",) if name in os.environ]
    return kept | {
        "HOME": home,
        "TMPDIR": home,
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def answers(system: System, python: str, word: str) -> Iterator[tuple[str, float]]:
    """Start a system's script in a new home, and end all of it after its last line.

    Yields:
        Each line that it prints, with the seconds since its start.
    """
    with TemporaryDirectory(prefix="rh-p-", ignore_cleanup_errors=True) as home, ended_whole():
        project, log = Path(home, "project"), Path(home, "log")
        shutil.copytree(SCRIPTS, project, ignore=shutil.ignore_patterns("__*"))
        (project / "pyproject.toml").touch()
        began = time.perf_counter()
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [python, system.script, word],
                cwd=project,
                env=_environment(system, home),
                start_new_session=True,  # Ctrl-C is for us
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            for line in _lines(process):
                yield line, time.perf_counter() - began
            failed = process.returncode  # None while it goes on, as it should
        finally:
            _end(process)
        if failed:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            msg = f"it failed: {''.join(last)}"
            raise PeerError(msg)


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield what a process prints until it closes its output; wait for each line so long only."""
    assert process.stdout is not None
    while True:
        timer = threading.Timer(LONGEST_S, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            break
        yield line
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)  # it goes on when all is well
    if process.returncode == -signal.SIGKILL:
        msg = f"it did not answer within {LONGEST_S:g} s"
        raise PeerError(msg)


@contextmanager
def ended_whole() -> Iterator[None]:
    """Kill every process that is started meanwhile, also those that detach themselves."""
    own = os.getpid()
    before = set(children(own))
    libc = ctypes.CDLL(None)
    libc.prctl(_SUBREAPER, 1)  # orphans become children of this process
    try:
        yield
    finally:
        while new := set(children(own)) - before:
            for pid in [*new, *(below for child in new for below in descendants(child))]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in new:
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        libc.prctl(_SUBREAPER, 0)
