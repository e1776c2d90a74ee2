"""Where the files of one server are."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

# sun_path of a Unix socket holds 108 bytes on Linux and 104 elsewhere.
_LONGEST_SOCKET_PATH = 100


def private_directory(path: Path) -> Path:
    """Make a directory that only this user can enter, or check that it is one.

    Raises:
        PermissionError: Somebody else owns it, or others can enter it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        msg = f"{path} is not a directory of this user. Remove it, and start again."
        raise PermissionError(msg)
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


@dataclass(frozen=True, slots=True)
class ServerPaths:
    """Name the files of the server whose directory is `root`."""

    root: Path

    @property
    def info(self) -> Path:
        """Return the file that tells about the running server (JSON, one line)."""
        return self.root / "server.json"

    @property
    def token(self) -> Path:
        """Return the file with the bearer token (0600)."""
        return self.root / "token"

    @property
    def lock(self) -> Path:
        """Return the file whose lock the one running server holds."""
        return self.root / "server.lock"

    @property
    def log(self) -> Path:
        """Return the server's log."""
        return self.root / "server.log"

    @property
    def workers(self) -> Path:
        """Return the directory of the workers' logs."""
        return self.root / "workers"

    def sockets(self) -> Path:
        """Return the private directory of the sockets: `root`, or a shorter path below /tmp."""
        if len(os.fsencode(self.root / "data.sock")) <= _LONGEST_SOCKET_PATH:
            return private_directory(self.root)
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return private_directory(private_directory(Path(f"/tmp/rh-{os.getuid()}")) / digest)  # noqa: S108 - checked to be ours
