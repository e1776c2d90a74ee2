"""A cluster's entry in `~/.ssh/config`, so that `ssh NAME`, scp and editors find it.

It stands between two marks at the beginning of the file, where it counts before all others. The
rest of the file is never touched.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runhouse import settings
from runhouse.files import make_private_directory, write_private
from runhouse.server.info import exclusive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Node:
    """Hold what OpenSSH needs to log in to one node.

    Attributes:
        alias: What a user types.
        host: The name that is shown.
        user: Who logs in.
        key: The private key's file.
        known_as: Under which name its host key is remembered.
        known_hosts: In which file.
        proxy_command: What leads there.
    """

    alias: str
    host: str
    user: str
    key: str
    known_as: str
    known_hosts: str
    proxy_command: str

    def lines(self) -> list[str]:
        """Return its part of the file."""
        return [
            f"Host {self.alias}",
            f"    HostName {self.host}",
            f"    User {self.user}",
            f"    IdentityFile {_quoted(self.key)}",
            "    IdentitiesOnly yes",
            f"    HostKeyAlias {self.known_as}",
            f"    UserKnownHostsFile {_quoted(self.known_hosts)}",
            "    StrictHostKeyChecking accept-new",
            f"    ProxyCommand {self.proxy_command}",
        ]


def _quoted(path: str) -> str:
    return '"' + path.replace("%", "%%") + '"'


@dataclass(frozen=True, slots=True)
class SshEntry:
    """Be a cluster's entry in an OpenSSH configuration file.

    Attributes:
        file: The file.
        name: The cluster's name.
    """

    file: Path
    name: str

    @property
    def _marks(self) -> tuple[str, str]:
        about = f"runhouse cluster {self.name}"
        return f"# >>> {about} (removed when it is torn down)", f"# <<< {about}"

    def write(self, nodes: Sequence[Node]) -> None:
        """Put the entry there, in place of an earlier one.

        Raises:
            OSError: The file cannot be written.
        """
        first, last = self._marks
        lines = [first, *(line for node in nodes for line in node.lines()), last]
        with self._changed() as rest:
            rest[:] = ["\n".join(lines) + "\n" + rest[0]]

    def remove(self) -> None:
        """Take the entry away; safe to repeat.

        Raises:
            OSError: The file cannot be written.
        """
        if self.is_there():
            with self._changed():
                pass

    def is_there(self) -> bool:
        """Tell whether the file has the entry."""
        return self.file.is_file() and self._marks[0] in self.file.read_text("utf-8").splitlines()

    @contextmanager
    def _changed(self) -> Iterator[list[str]]:
        """Give the file's text without the entry in a list, and write what is then in there."""
        file = self.file.resolve()  # what a link leads to, else it would be replaced
        make_private_directory(file.parent)
        make_private_directory(settings.load().home)
        with exclusive(settings.load().home / "ssh-entry.lock"):
            before = file.read_text("utf-8") if file.exists() else ""
            mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
            first, last = map(re.escape, self._marks)
            text = [re.sub(rf"^{first}\n(?:.*\n)*?{last}\n?", "", before, flags=re.MULTILINE)]
            yield text
            if text[0] != before:
                write_private(file, text[0].encode())
                file.chmod(mode)
