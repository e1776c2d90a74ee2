"""A host without SSH: a shell with a home and a PATH of its own, and whatever mounts it needs.

What is under test gets commands and input as it would over SSH.
"""

from __future__ import annotations

import glob
import os
import shlex
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = ("cat", "chmod", "df", "getconf", "grep", "gzip", "id", "mkdir", "mv", "rm", "timeout")
# Where Pythons of this machine may be that every host looks at.
_SYSTEM_PYTHONS = (
    "/usr/bin/python3*",
    "/usr/local/bin/python3*",
    "/opt/*/bin/python3*",
    "/opt/python/*/bin/python3*",
    "/usr/local/*/bin/python3*",
    "/home/linuxbrew/.linuxbrew/bin/python3*",
)


@dataclass(frozen=True, slots=True)
class Done:
    """Hold how a command ended."""

    exit_code: int
    stdout: str
    stderr: str


@cache
def can_mount() -> bool:
    """Tell whether mounts of one's own are allowed here."""
    argv = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(argv, check=False, capture_output=True).returncode
    )


@cache
def interpreter(version: str) -> str:
    """Return the path of an installed Python, for example of `"3.8"`, or skip the test."""
    for pattern in (f"~/.pyenv/versions/{version}.*/bin/python", f"/usr/bin/python{version}"):
        for found in glob.glob(os.path.expanduser(pattern)):
            return found
    pytest.skip(f"needs a Python {version}, for example in ~/.pyenv/versions")


@dataclass
class BareHost:
    """Run shell commands with a private home and PATH.

    Attributes:
        home: The home directory.
        bin: The only directory in PATH; holds `sh` and a few tools.
        mounts: Shell commands that are run first, in a mount namespace of their own.
    """

    home: Path
    bin: Path
    mounts: list[str] = field(default_factory=list)

    def run(self, command: str, data: bytes = b"") -> Done:
        """Run a command in the host's shell."""
        argv = [str(self.bin / "sh"), "-c", command]
        environ = {"HOME": str(self.home), "PATH": str(self.bin)}
        if self.mounts:
            variables = [f"{name}={value}" for name, value in environ.items()]
            script = "set -e; " + "; ".join([*self.mounts, 'exec "$@"'])
            argv = ["unshare", "-m", "sh", "-c", script, "sh", "env", "-i", *variables, *argv]
            environ = dict(os.environ)
        pipe = subprocess.PIPE
        with subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environ, start_new_session=True
        ) as process:
            try:
                stdout, stderr = process.communicate(data)
            except BaseException:  # of a test whose time is up: nothing may go on running
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return Done(process.returncode, stdout.decode(), stderr.decode())

    def add(self, name: str, target: str | Path) -> Path:
        """Put a link to a program into PATH."""
        link = self.bin / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        return link

    def add_script(self, name: str, body: str) -> Path:
        """Put a shell script into PATH."""
        script = self.bin / name
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        return script

    def mount(self, command: str) -> None:
        """Mount something before each command, in a namespace of its own; or skip the test."""
        if not can_mount():
            pytest.skip("needs to mount: run as root, with unshare of util-linux")
        self.mounts.append(command)

    def hide_system_pythons(self) -> None:
        """Make the Pythons of this machine's system directories impossible to run."""
        found = {
            os.path.realpath(path)
            for pattern in _SYSTEM_PYTHONS
            for path in glob.glob(pattern)
            if os.access(path, os.X_OK)
        }
        for path in sorted(found):
            self.mount(f"mount --bind /dev/null {shlex.quote(path)}")


def make_bare_host(folder: Path, shell: str = "dash") -> BareHost:
    """Make a host in a folder, with spaces in its home, whose tools are those of one shell.

    Args:
        folder: An empty directory.
        shell: `dash`, `bash` or `busybox`; the test is skipped when it is not installed.
    """
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"needs {shell}")
    host = BareHost(folder / "home of ada", folder / "bin")
    host.home.mkdir(parents=True)
    host.bin.mkdir()
    host.add("sh", found)
    for tool in (*TOOLS, "uname"):
        path = found if shell == "busybox" and tool != "getconf" else shutil.which(tool)
        if path is not None:
            host.add(tool, path)
    return host
