"""Edit a line of a large project, and run its script again: until the new result is there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.local import seconds
from bench.machines import box as machine
from bench.rows import Row
from bench.starts import run

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
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "script.py"],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            took = time.perf_counter() - began
            assert line == wanted, f"the result was {line!r}"
            process.wait(120)
        return took


_AUTHOR = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")


def editing_rows(*, quick: bool) -> list[Row]:
    """Measure an edit's way to its result, beside rsync of such an edit; connections are open."""
    ours: list[float] = []
    plain: list[float] = []
    with machine() as client, tempfile.TemporaryDirectory(prefix="rh-b-") as home:
        project = _Project(Path(home, "project"), quick=quick)
        ssh = client.command("-o", "ControlMaster=auto", "-o", f"ControlPath={home}/mux")
        shell = " ".join([*ssh, "-o", "ControlPersist=60"])
        copy = [
            "rsync",
            "-rlpt",
            "--modify-window=-1",
            "--delete",
            "--exclude=.git/",
            "--filter=:- .gitignore",
        ]
        command = [*copy, "-e", shell, f"{project.root}/", "box:plain"]
        try:
            for number in range(2 if quick else 8):
                project.edit()
                took = seconds(partial(run, command))
                again = project.run(client, home)
                if number:  # the first ones copy everything
                    plain.append(took)
                    ours.append(again)
        finally:
            subprocess.run([*ssh, "-O", "exit", "box"], check=False, stderr=subprocess.DEVNULL)
            _end_connections(home)
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
        )
    ]


def _end_connections(home: str) -> None:
    """Close the SSH connection that the script has left open for the next one."""
    program = "import runhouse as rh; rh.cluster('box', host='box').disconnect()"
    environment = os.environ | {"RH_HOME": f"{home}/rh"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
