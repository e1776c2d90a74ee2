"""A region, from the outside: begin it, run commands in it, end it."""

from __future__ import annotations

import json
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
from tests.rigs.cloudbox import catalog, home
from tests.rigs.cloudbox.box import (
    BRIDGE,
    CACHE_VARIABLE,
    DIR_VARIABLE,
    ENDPOINT,
    GATEWAY,
    HOME,
    PROJECT,
    Box,
    BoxError,
)
from tests.rigs.cloudbox.enclosure import Enclosure, entered
from tests.rigs.cloudbox.image import MachineImage

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_TIMEOUT_S = 120.0
_LOG_TAIL = 2000
# What hosts and users' machines are made with, besides what every rig of machines needs.
_TOOLS = {"curl": "curl", "rsync": "rsync", "setpriv": "util-linux", "sudo": "sudo"}


def _shown(box: Box) -> list[str]:
    """Return what users' machines must see although they have a home and a /tmp of their own."""
    wanted = [PROJECT, Path(sys.prefix), Path(sys.base_prefix), box.cache.resolve()]
    shown: list[Path] = []
    for path in wanted:
        covered = path.is_relative_to(HOME) or path.is_relative_to("/tmp")
        if covered and not any(path.is_relative_to(other) for other in shown):
            shown.append(path)
    return [str(path) for path in shown]


def variables(box: Box) -> dict[str, str]:
    """Return what the scripts that begin users' machines are told."""
    return {
        "HOME": str(HOME),
        DIR_VARIABLE: str(box.folder),
        CACHE_VARIABLE: str(box.cache),
        "BOX_PROJECT": str(PROJECT),
        "BOX_PYTHON": sys.executable,
        "BOX_HOME": str(HOME),
        "BOX_DISK": str(box.disk),
        "BOX_SHOWN": "\n".join(_shown(box)),
        "BOX_BRIDGE": BRIDGE,
        "BOX_GATEWAY": GATEWAY,
    }


def _require() -> None:
    """Refuse to begin where that cannot work."""
    reason = namespaces.why_not()
    missing = [
        package
        for tool, package in _TOOLS.items()
        if shutil.which(tool, path=namespaces.SYSTEM_PATH) is None
    ]
    if reason is None and missing:
        reason = f"missing here: apt-get install {' '.join(missing)}"
    if reason is not None:
        message = f"There can be no region here; {reason}."
        raise BoxError(message)


def _logs(box: Box) -> str:
    """Return the last lines of what the region's processes have said."""
    logs = sorted(box.logs.glob("*.log"))
    return "\n".join(
        f"--- {log.name}\n{log.read_text(errors='replace')[-_LOG_TAIL:]}" for log in logs
    )


def _read(box: Box, path: Path) -> str:
    """Read one of the region's files."""
    try:
        return path.read_text()
    except FileNotFoundError as error:
        message = f"There is no region in {box.folder}. Begin it first, with: up."
        raise BoxError(message) from error


def start(box: Box, *, ends_with_parent: bool = False) -> None:
    """Begin a region; it can be used when this returns.

    Args:
        box: Where it keeps its files.
        ends_with_parent: Whether it ends when this process does, however that happens.

    Raises:
        BoxError: There cannot be one, or there is one already.
    """
    _require()
    box.check()
    if box.pid_file.exists():
        message = f"There is a region in {box.folder} already. End it first, with: down."
        raise BoxError(message)
    MachineImage.current(box).prepare()
    began = time.monotonic()
    box.logs.mkdir(parents=True, exist_ok=True)
    image = box.folder / "image.json"
    catalog.write_image(image)
    environ = {
        **variables(box),
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MOTO_AMIS_PATH": str(image),
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    }
    enclosure = Enclosure("region_init.sh", environ, box.logs / "region.log")
    try:
        enclosure.start(ends_with_parent=ends_with_parent)
        box.pid_file.write_text(f"{enclosure.pid}\n")
        _wait_until_ready(box, enclosure)
    except BaseException:
        enclosure.stop()
        shutil.rmtree(box.folder, ignore_errors=True)
        raise
    print(f"The region in {box.folder} began in {time.monotonic() - began:.1f} s", flush=True)


def _wait_until_ready(box: Box, enclosure: Enclosure) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not box.ready_file.exists():
        if not enclosure.is_running or time.monotonic() > deadline:
            message = f"The region did not begin. Its logs end so:\n{_logs(box)}"
            raise BoxError(message)
        time.sleep(0.02)


def stop(box: Box) -> None:
    """End a region with all that is in it; safe to repeat."""
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(box.pid_file.read_text())
        if _is_region(pid):
            os.kill(pid, signal.SIGKILL)
            while Path(f"/proc/{pid}").exists():  # until all others have ended
                time.sleep(0.01)
    shutil.rmtree(box.folder, ignore_errors=True)


def _is_region(pid: int) -> bool:
    """Tell whether a process is a region's process 1."""
    with suppress(OSError):
        return b"region_init.sh" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@contextmanager
def running(box: Box) -> Iterator[None]:
    """Begin a region, and end it."""
    try:
        start(box, ends_with_parent=True)
        yield
    finally:
        stop(box)


def command(box: Box, words: list[str]) -> list[str]:
    """Return the command line that runs a command on the first user's machine.

    Its environment is to be `home.environment(box)`, and its folder is the top of the project.

    Raises:
        BoxError: There is no such region.
    """
    pid = int(_read(box, box.pid_file))
    return entered(pid, words, PROJECT)


def run(box: Box, words: list[str]) -> int:
    """Run a command on the first user's machine, and return its exit code.

    An interrupt goes to the command, which ends when it likes.
    """
    entering = command(box, ["env", "--default-signal=INT", *words])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run(entering, check=False, env=home.environment(box)).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def hosts(box: Box) -> dict[str, str]:
    """Return the address of each instance that has a host.

    Raises:
        BoxError: There is no such region.
    """
    known = json.loads(_read(box, box.hosts_file))
    return {name: host["ip"] for name, host in known.items()}
