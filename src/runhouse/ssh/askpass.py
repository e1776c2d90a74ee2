"""Hand a password to OpenSSH through its `SSH_ASKPASS` program.

The password stands in a 0600 file in the private directory while the connection is made, and
nowhere else: not in a command line, and not in an environment, which holds the file's path only.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runhouse.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Answers the very ssh that we started (its child asks, so PPID tells), and prompts for a password
# only. An ssh that this one starts for a jump host is another process and gets no answer.
_PROGRAM = """\
#!/bin/sh
[ "$PPID" = "$RH_ASKPASS_FOR" ] || exit 1
[ -z "$SSH_ASKPASS_PROMPT" ] || exit 1
case $1 in
    *[Pp]assphrase* | *yes/no*) exit 1 ;;
    *[Pp]assword* | *[Pp]asswort* | *PASSWORD*) exec cat "$RH_ASKPASS_FILE" ;;
esac
exit 1
"""
# The shell's process id stays the same when it becomes ssh.
LAUNCHER = 'RH_ASKPASS_FOR=$$ && export RH_ASKPASS_FOR && exec "$@"'


@contextmanager
def answering(directory: Path, password: str | None) -> Iterator[dict[str, str]]:
    """Give the environment for an ssh that may need a password.

    Args:
        directory: The private directory.
        password: The password, or None: then ssh asks nobody.

    Yields:
        Variables to add to the environment of the local ssh; they are of no use after the block.
    """
    if password is None:
        yield {"SSH_ASKPASS_REQUIRE": "never"}
        return
    program = directory / "askpass"
    if not program.is_file() or program.read_text(encoding="utf-8") != _PROGRAM:
        write_private(program, _PROGRAM.encode(), executable=True)
    secret = directory / f"secret-{os.getpid()}-{os.urandom(8).hex()}"
    write_private(secret, f"{password}\n".encode())
    try:
        yield {
            "SSH_ASKPASS": str(program),
            "SSH_ASKPASS_REQUIRE": "force",
            "RH_ASKPASS_FILE": str(secret),
        }
    finally:
        secret.unlink(missing_ok=True)
