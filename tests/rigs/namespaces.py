"""Linux namespaces: whether they can be made here, entering them, and who lives in one."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The programs that a machine is made with, and the Debian package of each.
_TOOLS = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "pivot_root": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "bash": "bash",
    "tar": "tar",
    "openssl": "openssl",
}
_CLONE_NEWNET = 0x40000000


@cache
def why_not() -> str | None:
    """Return why machines cannot be made here and what to do about it, or None when they can."""
    if os.geteuid() != 0:
        return "machines for tests need namespaces of their own: run as root"
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=SYSTEM_PATH) is None]
    if missing:
        packages = " ".join(sorted({_TOOLS[tool] for tool in missing}))
        return f"missing here: {', '.join(missing)}; apt-get install {packages}"
    flags = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"]
    trial = ["unshare", *flags, "mount", "-t", "proc", "proc", "/proc"]
    done = subprocess.run(trial, check=False, capture_output=True, text=True)
    if done.returncode:
        return f"no namespaces can be made here ({done.stderr.strip()}): run with CAP_SYS_ADMIN"
    return None


def require() -> None:
    """Skip the test where no machine can be made, and say what is missing."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)


def enter_network(pid: int) -> None:
    """Move the calling thread, and no other, into the network of a process."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if library.setns(descriptor, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), f"network of process {pid}")
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Process:
    """Describe a process that runs inside a machine.

    Attributes:
        pid: Its number here, on the outside, for `os.kill`.
        pid_inside: Its number inside.
        uid: The user that it runs as.
        command: Its command line, word for word.
    """

    pid: int
    pid_inside: int
    uid: int
    command: tuple[str, ...]


def inode(pid: int) -> int:
    """Return what identifies the pid namespace of a process."""
    return os.stat(f"/proc/{pid}/ns/pid").st_ino


def members(namespace: int) -> list[Process]:
    """Return the processes of a pid namespace, those that have ended already excepted."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            pid = int(entry.name)
            if inode(pid) != namespace:
                continue
            command = tuple((entry / "cmdline").read_text(errors="replace").split("\0")[:-1])
            facts = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
            if command:
                inside = int(facts["NSpid"].split()[-1])
                found.append(Process(pid, inside, int(facts["Uid"].split()[0]), command))
    return found


def children(pid: int) -> list[int]:
    """Return the process ids of the children of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
