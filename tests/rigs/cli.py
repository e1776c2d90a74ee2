"""The command line as a process, with a home of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

RH = str(Path(sys.executable).with_name("rh"))
ROOT = Path(__file__).parents[2]


@dataclass
class Cli:
    """Run `rh` with a home of its own, with `box` saved and up to the test to start."""

    home: Path
    address: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 60

    def __call__(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RH, *words],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=self.timeout_s,
        )

    def json(self, *words: str, code: int = 0) -> Any:
        """Return the one document that a command prints; stderr is for errors only."""
        done = self(*words, "--json")
        assert done.returncode == code, done
        assert bool(done.stderr) == (code not in (0, 3)), done.stderr
        return json.loads(done.stdout)


def record(home: Path, name: str, kind: str = "byo", **fields: object) -> None:
    folder = home / "clusters"
    folder.mkdir(mode=0o700, exist_ok=True)
    text = {"version": 1, "kind": kind, "name": name, **fields}
    (folder / f"{name}.json").write_text(json.dumps(text))


def environment(home: Path) -> dict[str, str]:
    """Return the variables of a user with a home and nothing else."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("RH_")}
    environ |= {"RH_HOME": str(home), "RH_LOCAL_IDLE_S": "60", "RH_CONNECT_TIMEOUT_S": "5"}
    return environ | {"TERM": "dumb"}


def on_terminal(rh: Cli, words: list[str], typed: str) -> tuple[int, str]:
    """Run a command on a terminal, type, and return its code and what was shown."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [RH, *words],
        stdin=inside, stdout=inside, stderr=inside,
        env={**rh.environ, "SHELL": "/bin/sh", "TERM": "xterm"}, start_new_session=True,
    )  # fmt: skip
    os.close(inside)
    os.write(terminal, typed.encode())
    shown, deadline = b"", time.monotonic() + 30
    while True:
        ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
        try:
            piece = os.read(terminal, 4096) if ready else b""
        except OSError:  # how Linux says that nobody has the terminal open any more
            piece = b""
        if not piece:
            break
        shown += piece
    os.close(terminal)
    if time.monotonic() > deadline:
        process.kill()
    return process.wait(), shown.decode()


@contextmanager
def local_cli() -> Iterator[Cli]:
    """Give a command line that knows this machine only, and stop its server at the end."""
    home = Path(tempfile.mkdtemp(prefix="rh-c"))  # short, as sockets are made in it
    cli = Cli(home, environ=environment(home))
    try:
        yield cli
    finally:
        cli("stop")
        shutil.rmtree(home, ignore_errors=True)


def run_python(cli: Cli, lines: str) -> str:
    """Run lines of Python as the user of a command line, and return what they print.

    They know `rh`, and what the tests send: `sample`.
    """
    imports = "import runhouse as rh; from tests.integration import sample\n"
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", imports + lines],
        env=cli.environ | {"PYTHONPATH": path},
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
