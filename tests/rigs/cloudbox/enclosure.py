"""Namespaces: a script that runs as process 1 of its own, and commands that run beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.rigs.cloudbox.box import BRIDGE, SCRIPTS, BoxError
from tests.rigs.namespaces import SYSTEM_PATH, children

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FLAGS = ("--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")
_START_TIMEOUT_S = 10.0


def entered(pid: int, command: list[str], folder: Path | str = "/") -> list[str]:
    """Return the command line that runs a command in the namespaces of a process, as root."""
    spaces = ("--net", "--mount", "--pid", "--uts", "--ipc")
    return ["nsenter", f"--target={pid}", *spaces, "env", f"--chdir={folder}", *command]


def connect(pid: int, name: str) -> None:
    """Give the namespaces of a process an interface `eth0` in the region's network.

    Args:
        pid: The process.
        name: Name of the interface at the region's end.
    """
    link = ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid)]
    subprocess.run(link, check=True)
    subprocess.run(["ip", "link", "set", name, "master", BRIDGE, "up"], check=True)


class Enclosure:
    """Run one of the scripts beside this file as process 1 of namespaces of its own.

    When it ends, so do all processes in there, and what was mounted is gone.

    Attributes:
        pid: Process 1, as seen from the outside.
    """

    def __init__(self, script: str, variables: Mapping[str, str], log: Path) -> None:
        """Store what to run; nothing is started.

        Args:
            script: Name of the script.
            variables: Environment of the script, besides PATH and the language.
            log: File for what it writes.
        """
        self._script = SCRIPTS / script
        self._variables = variables
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def start(self, *, ends_with_parent: bool = False) -> None:
        """Start the script.

        Args:
            ends_with_parent: Whether it is killed when this process ends, however that happens.
        """
        bound = ["setpriv", "--pdeathsig=KILL"] if ends_with_parent else []
        command = [*bound, "unshare", *_FLAGS, "bash", str(self._script)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", **self._variables},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not (found := self._children()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                message = (
                    f"{self._script.name} did not start. No namespaces could be made. "
                    f"Read {self._log}."
                )
                raise BoxError(message)
            time.sleep(0.005)
        self.pid = found[0]

    def _children(self) -> list[int]:
        assert self._process is not None
        with suppress(OSError):
            return children(self._process.pid)
        return []

    @property
    def is_running(self) -> bool:
        """Whether process 1 is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End all processes in there; safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                if self.pid and process.poll() is None:
                    os.kill(self.pid, signal.SIGKILL)
            process.kill()
            process.wait()
