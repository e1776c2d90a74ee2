"""Run new processes, and time them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCRIPT = Path(__file__).with_name("first.py")
_STOP = "import runhouse as rh; rh.here.stop()"
_LONGEST_S = 120


def run(command: list[str], cwd: str | None = None) -> None:
    """Run a program to its end.

    Its output is read: with a time-out alone, `subprocess` looks only every 50 ms whether it ended.
    """
    subprocess.run(command, check=True, cwd=cwd, timeout=_LONGEST_S, stdout=subprocess.PIPE)


def run_python(code: str) -> None:
    """Run a short program to its end, from an empty directory."""
    with TemporaryDirectory(prefix="rh-b-") as folder:
        run([sys.executable, "-c", code], folder)


def first_result(home: str, *words: str, **variables: str) -> float:
    """Return how long a new process takes to its first result: a small project's function.

    Args:
        home: The directory of runhouse's files; the project is kept beside them.
        words: The host, or a cluster's name and instance type; none for this machine.
        variables: Further environment variables.
    """
    project = Path(home, "project")
    if not project.exists():
        project.mkdir(parents=True)
        shutil.copy(_SCRIPT, project)
        (project / "pyproject.toml").touch()
    environment = os.environ | {"RH_HOME": f"{home}/rh"} | variables
    command = [sys.executable, _SCRIPT.name, *words]
    return time_first_line(command, "21\n", project, environment)


def time_first_line(
    command: list[str], wanted: str, cwd: Path, environment: dict[str, str]
) -> float:
    """Run a program to its end, and return how long it took to print its first line."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            took = time.perf_counter() - began
            assert line == wanted, f"the first result was {line!r}"
            process.wait(_LONGEST_S)
        except BaseException:
            process.terminate()
            raise
    return took


@contextmanager
def local_home() -> Iterator[str]:
    """Give an empty home, and stop the server that was started for it."""
    with TemporaryDirectory(prefix="rh-b-") as home:
        try:
            yield home
        finally:
            environment = os.environ | {"RH_HOME": f"{home}/rh"}
            command = [sys.executable, "-c", _STOP]
            subprocess.run(command, check=True, env=environment, timeout=_LONGEST_S)
