"""The private directory of control sockets, and the configuration file that ssh is given."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.errors import SettingsError
from runhouse.files import write_private

if TYPE_CHECKING:
    from runhouse.settings import Settings

# The longest socket address is 103 bytes on some systems; OpenSSH appends a dot and 16 characters
# while it makes the control socket, ours are "<12 characters>-<process id>".
_LONGEST_DIRECTORY = 103 - 17 - 14
_PLAIN = re.compile(r"[\w/.,:@+=-]+")


def private_directory(settings: Settings) -> Path:
    """Return the directory for sockets, made if need be: 0700 and owned by the user.

    It is `ssh/` under the setting `home`, or `/tmp/rh-<uid>` when that path is too long for a
    socket, or has a character that OpenSSH would not quote when it starts itself for a jump host.
    Safe to repeat; does not block.

    Raises:
        SettingsError: The directory belongs to somebody else or is open to others.
    """
    path = settings.home / "ssh"
    if len(os.fsencode(path)) > _LONGEST_DIRECTORY or not _PLAIN.fullmatch(str(path)):
        path = Path(f"/tmp/rh-{os.getuid()}")  # noqa: S108 - made 0700, owner and mode checked below
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        msg = (
            f"The directory {path} cannot hold SSH connections. "
            "It must be a directory of yours that nobody else may enter. "
            f"Run: chmod 700 {path}, or remove it if it is not yours."
        )
        raise SettingsError(msg)
    return path


def configuration(directory: Path, settings: Settings) -> Path:
    """Return the configuration file to run ssh with (`-F`); hosts jumped through use it as well.

    It includes the user's and the system's own and ends with our only default: a host key that
    is unknown is accepted once and remembered. A first value wins in OpenSSH, so a user who has
    set `StrictHostKeyChecking` keeps it.
    """
    if settings.ssh_config:
        own = Path(settings.ssh_config).expanduser().absolute()
        if not own.is_file():
            msg = (
                f"The setting ssh_config cannot be used. There is no file {own}. "
                "Give the path of an OpenSSH configuration file, or remove the setting."
            )
            raise SettingsError(msg)
        sources = [str(own)]
    else:
        sources = ["~/.ssh/config", "/etc/ssh/ssh_config"]
    quoted = "".join(f'Include "{source}"\n' for source in sources)
    text = f"{quoted}Host *\n    StrictHostKeyChecking accept-new\n"
    path = directory / f"config-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not path.is_file():
        write_private(path, text.encode())
    return path
