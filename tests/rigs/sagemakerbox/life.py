"""A box, from the outside: begin it, and end it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs import namespaces
from tests.rigs.sagemakerbox.box import KEY, PROFILE, PROJECT, REGION, ROLE, Box, BoxError

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_S = 40.0
_STOP_S = 20.0
_STARTED: dict[int, subprocess.Popen[bytes]] = {}  # by this process
_MODULE = "tests.rigs.sagemakerbox"
_CREDENTIALS = f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {KEY}\n"
_CONFIG = f"""\
[default]
region = {REGION}

[profile {PROFILE}]
role_arn = {ROLE}
region = {REGION}
source_profile = default
"""


def start(box: Box, faults: str = "") -> subprocess.Popen[bytes]:
    """Begin a box; it can be used when this returns.

    Args:
        box: Where it keeps its files.
        faults: What goes wrong, as in `loss=0.01,dup=0.01`.

    Returns:
        The box's process.

    Raises:
        BoxError: There cannot be one, or there is one already.
    """
    reason = namespaces.why_not()
    if reason is not None:
        message = f"There can be no box here; {reason}."
        raise BoxError(message)
    if box.pid_file.exists():
        message = f"There is a box in {box.folder} already. End it first, with: down."
        raise BoxError(message)
    Path("/run/sshd").mkdir(exist_ok=True)  # mounted over in containers
    box.home.mkdir(parents=True)
    (box.home / "credentials").write_text(_CREDENTIALS)
    (box.home / "config").write_text(_CONFIG)
    words = [sys.executable, "-m", _MODULE, "serve", str(box.folder), str(box.port), faults]
    with box.log.open("ab") as log:
        process = subprocess.Popen(
            words,
            env=box.environment(),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _STARTED[process.pid] = process
    box.pid_file.write_text(f"{process.pid}\n")
    deadline = time.monotonic() + _START_S
    while not box.ready_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = box.log.read_text(errors="replace")[-2000:]
            stop(box)
            message = f"The box did not begin. Its log ends so:\n{said}"
            raise BoxError(message)
        time.sleep(0.02)
    return process


def stop(box: Box) -> None:
    """End a box with all that is in it; safe to repeat."""
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(box.pid_file.read_text())
        started = _STARTED.pop(pid, None)
        if started is not None:
            started.terminate()
            with suppress(subprocess.TimeoutExpired):
                started.wait(_STOP_S)
        if _is_box(pid):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + _STOP_S
            while _is_box(pid) and time.monotonic() < deadline:
                time.sleep(0.02)
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(box.folder, ignore_errors=True)


def _is_box(pid: int) -> bool:
    """Tell whether a process is one of a box that has not ended."""
    with suppress(OSError, ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # when it is a child of ours
    with suppress(OSError):
        return _MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@contextmanager
def running(box: Box, faults: str = "") -> Iterator[Box]:
    """Begin a box, and end it."""
    process = None
    try:
        process = start(box, faults)
        yield box
    finally:
        stop(box)
        if process is not None:
            process.wait()
