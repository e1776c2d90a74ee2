"""A folder of a host shown in one of this machine, by sshfs over the connection that is open."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.errors import SyncError

if TYPE_CHECKING:
    from types import TracebackType

    from runhouse.ssh.session import Session

_POLL_S = 0.05
_UNMOUNT_S = 10.0


class Mount:
    """Hold what is mounted until it is closed; use it as a context manager."""

    def __init__(self, session: Session, remote: str, folder: Path) -> None:
        """Mount a folder; it can be used when this returns.

        Args:
            session: The session to the host.
            remote: The folder on the host.
            folder: An empty folder here, made if need be.

        Raises:
            ConnectError: There is no connection.
            SyncError: sshfs is missing, or could not mount it.
        """
        self._folder = folder.expanduser().absolute()
        self._label = f"{session.target.label}:{remote}"
        if shutil.which("sshfs") is None or not Path("/dev/fuse").exists():
            why, advice = "There is no sshfs here", "Install it: apt install sshfs"
            raise self._error(why, advice)
        if self._folder.is_mount():
            why, advice = "Something is mounted there already", "Choose another folder"
            raise self._error(why, advice)
        made = not self._folder.exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        if any(self._folder.iterdir()):
            why, advice = "The folder is not empty", "Choose another one"
            raise self._error(why, advice)
        self._made = made
        session.connect()
        # sshfs adds its own words after the command, which has options only.
        command = shlex.join(session.shell_command())
        argv = ["sshfs", "-f", "-o", f"ssh_command={command}", "-o", "reconnect"]
        argv += [f"host:{remote.removeprefix('./') if remote != '.' else ''}", str(self._folder)]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us, who then unmount
        )
        try:
            self._wait_until_mounted(time.monotonic() + session.settings.connect_timeout_s)
        except BaseException:
            self.close()
            raise

    def _wait_until_mounted(self, deadline: float) -> None:
        while not os.path.ismount(self._folder):
            if self._process.poll() is not None:
                said = self._process.stderr.read() if self._process.stderr is not None else b""
                lines = said.decode("utf-8", "replace").strip().splitlines()
                why = f"sshfs wrote: {lines[-1] if lines else 'nothing'}"
                advice = "Check the path on the host"
                raise self._error(why, advice)
            if time.monotonic() > deadline:
                why, advice = "sshfs did not mount it in time", "Look at the host, try again"
                raise self._error(why, advice)
            time.sleep(_POLL_S)

    def _error(self, why: str, advice: str) -> SyncError:
        return SyncError(f"{self._label} was not mounted at {self._folder}. {why}. {advice}.")

    def __enter__(self) -> Mount:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Unmount it."""
        self.close()

    def wait(self) -> None:
        """Wait until somebody else unmounts it, or the connection ends."""
        self._process.wait()

    def close(self) -> None:
        """Unmount it, even while files of it are open; safe to repeat."""
        program = shutil.which("fusermount3") or shutil.which("fusermount")
        if os.path.ismount(self._folder):
            command = [program, "-u", "-z"] if program else ["umount", "-l"]
            subprocess.run([*command, str(self._folder)], check=False, timeout=_UNMOUNT_S)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_UNMOUNT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        if self._made and self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()
            self._made = False
