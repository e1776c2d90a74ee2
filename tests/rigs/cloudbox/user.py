"""One more user's machine in a region."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from tests.rigs.cloudbox import region
from tests.rigs.cloudbox.box import NETWORK, PROJECT
from tests.rigs.cloudbox.enclosure import Enclosure, connect, entered
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from tests.rigs.cloudbox.box import Box


class UserMachine:
    """Be a machine with a home directory, a /tmp, processes and a network address of its own.

    It has the project and its environment at the same place, the same credentials of the cloud, and
    nothing that SkyPilot or runhouse keep on the first user's machine.

    Attributes:
        ip: Its address.
    """

    def __init__(self, box: Box, number: int) -> None:
        """Store what it is like; nothing is started.

        Args:
            box: The region, in which this process must run.
            number: Its number, from 1.
        """
        self._box = box
        self._number = number
        self._folder = box.disk / f"user-{number}"
        self.ip = f"{NETWORK}.250.{number}"
        self._enclosure: Enclosure | None = None

    def __enter__(self) -> UserMachine:
        self._folder.mkdir()
        variables = {
            **region.variables(self._box),
            "U_FOLDER": str(self._folder),
            "U_NAME": self._folder.name,
            "U_IP": self.ip,
        }
        log = self._box.logs / f"user-{self._number}.log"
        self._enclosure = Enclosure("user_init.sh", variables, log)
        try:
            self._enclosure.start(ends_with_parent=True)
            connect(self._enclosure.pid, f"u{self._number}")
            wait_until(lambda: (self._folder / "ready").exists())
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all its processes and drop its files; safe to repeat."""
        if self._enclosure is not None:
            self._enclosure.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def command(self, *words: str) -> list[str]:
        """Return the command line that runs a command there; its environment is `environment`."""
        assert self._enclosure is not None, "it has not been started"
        return entered(self._enclosure.pid, list(words), PROJECT)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of commands there.

        Args:
            more: Variables to add.
        """
        own = {name: value for name, value in os.environ.items() if not name.startswith("RH_")}
        return {**own, **(more or {})}

    def run(self, *words: str, timeout_s: float = 120.0, **options: Any) -> str:
        """Run a command there, and return what it writes.

        Args:
            words: The words of the command.
            timeout_s: Longest time that it may run.
            options: More of `subprocess.run`.
        """
        options = {"env": self.environment(), "stdin": subprocess.DEVNULL, **options}
        done = subprocess.run(
            self.command(*words),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout_s,
            **options,
        )
        return str(done.stdout)
