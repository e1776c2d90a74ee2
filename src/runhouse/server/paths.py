"""Where the files of one server are."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from runhouse.files import private_directory

# sun_path of a Unix socket holds 108 bytes on Linux and 104 elsewhere.
_LONGEST_SOCKET_PATH = 100


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

    @property
    def envs(self) -> Path:
        """Return the directory of what is known about envs (JSON, and shell lines)."""
        return self.root / "envs"

    @property
    def tokens(self) -> Path:
        """Return the file of the tokens that were made for others (JSON, digests only)."""
        return self.root / "tokens.json"

    @property
    def autostop(self) -> Path:
        """Return the file of the autostop setting (JSON, one line)."""
        return self.root / "autostop.json"

    @property
    def objects(self) -> Path:
        """Return the directory of objects on disk."""
        return self.root / "objects"

    @property
    def runs(self) -> Path:
        """Return the directory of recorded runs."""
        return self.root / "runs"

    def sockets(self) -> Path:
        """Return the private directory of the sockets: `root`, or a shorter path below /tmp."""
        if len(os.fsencode(self.root / "data.sock")) <= _LONGEST_SOCKET_PATH:
            return private_directory(self.root)
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return private_directory(private_directory(Path(f"/tmp/rh-{os.getuid()}")) / digest)  # noqa: S108 - checked to be ours
