"""Edit a line of a large project, and run its script again: until the new result is there."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from bench.local import seconds
from bench.machines import box as machine
from bench.rows import Row
from bench.starts import run, time_first_line

if TYPE_CHECKING:
    from tests.rigs.client import Client

_FOLDERS, _FILES = 100, 100
_LINES = "".join(f"def f{number}(x):\n    return x + {number}\n\n\n" for number in range(40))
_SCRIPT = """\
import runhouse as rh
from package_0.module_0 import answer

if __name__ == "__main__":
    print(rh.function(answer).to(rh.cluster("box", host="box"))(), flush=True)
"""


class _Project:
    """Hold a project of 10,000 files, under git."""

    def __init__(self, root: Path, *, quick: bool) -> None:
        """Write it."""
        self.root = root
        for folder in range(_FOLDERS // 10 if quick else _FOLDERS):
            package = root / f"package_{folder}"
            package.mkdir(parents=True)
            for file in range(_FILES):
                (package / f"module_{file}.py").write_text(_LINES)
        (root / "pyproject.toml").touch()
        (root / ".gitignore").write_text("*.log\n/data/\n")
        (root / "script.py").write_text(_SCRIPT)
        self._edited = root / "package_0" / "module_0.py"
        self._edits = 0
        self.edit()
        for words in (("init", "-q"), ("add", "."), (*_AUTHOR, "commit", "-qm", "begin")):
            run(["git", "-C", str(root), *words])

    def edit(self) -> str:
        """Change a line, and return what the script is to print now."""
        self._edits += 1
        # Python itself takes byte code of this second for a file of the same size.
        longer = "#" * (self._edits % 9)
        self._edited.write_text(f"{_LINES}def answer():\n    return {self._edits}  {longer}\n")
        return f"{self._edits}\n"

    def run(self, client: Client, home: str) -> float:
        """Run the script after an edit, and return how long its result took."""
        wanted = self.edit()
        environment = client.environment(RH_HOME=f"{home}/rh", RH_SSH_PERSIST_S="600")
        return time_first_line([sys.executable, "script.py"], wanted, self.root, environment)


_PAUSE_S = 1.0
_AUTHOR = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")


def editing_rows(*, quick: bool) -> list[Row]:
    """Measure an edit's way to its result: in a large project on a host, in a small one here."""
    rounds = 2 if quick else 8
    ours, plain = _edits_on_a_host(rounds, quick=quick)
    return [
        Row(
            "one edited line of 10,000 files -> its result",
            median(ours),
            "s",
            median(plain),
            "rsync of the same edit, connection open",
            0.5,
            0.5,
            "less",
            "difference",
        ),
        Row(
            "one edited line -> its result, from a fresh worker",
            median(_edits_here(3 * rounds)) * 1e3,
            "ms",
            None,
            "",
            150,
            150,
            "less",
        ),
    ]


def _edits_on_a_host(rounds: int, *, quick: bool) -> tuple[list[float], list[float]]:
    """Return what each round has taken us, and rsync."""
    ours: list[float] = []
    plain: list[float] = []
    with machine() as client, tempfile.TemporaryDirectory(prefix="rh-b-") as home:
        project = _Project(Path(home, "project"), quick=quick)
        ssh = client.command("-o", "ControlMaster=auto", "-o", f"ControlPath={home}/mux")
        shell = " ".join([*ssh, "-o", "ControlPersist=60"])
        copy = ["rsync", "-rlpt", "--modify-window=-1", "--delete", "--filter=:- .gitignore"]
        command = [*copy, "--exclude=.git/", "-e", shell, f"{project.root}/", "box:plain"]
        try:
            for number in range(rounds):
                project.edit()
                took = seconds(partial(run, command))
                again = project.run(client, home)
                if number:  # the first ones copy everything
                    plain.append(took)
                    ours.append(again)
        finally:
            subprocess.run([*ssh, "-O", "exit", "box"], check=False, stderr=subprocess.DEVNULL)
            _end_connections(home)
    return ours, plain


def _edits_here(rounds: int) -> list[float]:
    """Return what it takes from `.to()` after an edit to the result, in a process that goes on.

    Between two edits there is a pause: whoever makes them looks at the result of the last one.
    """
    taken: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="rh-b-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        (Path(folder) / "pyproject.toml").touch()
        file = Path(folder) / "edited_in_bench.py"
        file.write_text("def answer():\n    return 0\n")
        patch.syspath_prepend(folder)
        code = importlib.import_module("edited_in_bench").answer
        for number in range(rounds):
            time.sleep(_PAUSE_S)
            file.write_text(f"def answer():\n    return {number}  {'#' * number}\n")
            began = time.perf_counter()
            answer = rh.function(code).to(rh.here)()
            taken.append(time.perf_counter() - began)
            assert answer == number
    return taken[1:]


def _end_connections(home: str) -> None:
    """Close the SSH connection that the script has left open for the next one."""
    program = "import runhouse as rh; rh.cluster('box', host='box').disconnect()"
    environment = os.environ | {"RH_HOME": f"{home}/rh"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
