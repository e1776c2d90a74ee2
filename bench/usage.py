"""What a cluster's server and workers take of the machine, read from /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import runhouse as rh
from bench.peers.figures import descendants, pss_bytes
from runhouse import settings

_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Usage:
    """Hold what a server and all processes below it take together.

    Attributes:
        memory_bytes: Memory, shared pages counted by share (PSS).
        threads: Number of threads.
        descriptors: Number of open file descriptors.
        processes: Number of processes.
        files: Number of files in the home of all that is measured.
    """

    memory_bytes: int
    threads: int
    descriptors: int
    processes: int
    files: int = 0

    def more_than(self, other: Usage) -> int:
        """Return how many more there are of all but memory than in another."""
        return (
            max(0, self.threads - other.threads)
            + max(0, self.descriptors - other.descriptors)
            + max(0, self.processes - other.processes)
            + max(0, self.files - other.files)
        )


def usage(server: int) -> Usage:
    """Return what a server takes, and what it has started."""
    pids = [pid for pid in (server, *descendants(server)) if pss_bytes(pid)]
    return Usage(
        memory_bytes=sum(map(pss_bytes, pids)),
        threads=sum(_entries(pid, "task") for pid in pids),
        descriptors=sum(_entries(pid, "fd") for pid in pids),
        processes=len(pids),
        files=sum(len(files) for _, _, files in os.walk(settings.load().home)),
    )


def _entries(pid: int, folder: str) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/{folder}").iterdir()))
    except OSError:  # it has ended
        return 0


def settled(server: int, before: Usage | None, longest_s: float) -> Usage:
    """Return what a server takes when it has given back what it will give back.

    Args:
        server: Its process.
        before: What it took before, which is not waited for any longer; None when not known.
        longest_s: Longest wait.
    """
    until = time.monotonic() + longest_s
    while time.monotonic() < until:
        now = usage(server)
        if before is not None and not now.more_than(before):
            return now
        time.sleep(_PAUSE_S)
    return usage(server)


def server_pid() -> int:
    """Return the process of this machine's server, which is started when none runs."""
    return rh.here.status().pid


def available_bytes() -> int:
    """Return how much memory this machine can give without swapping."""
    return _field(Path("/proc/meminfo"), "MemAvailable")


def _field(file: Path, name: str) -> int:
    """Return a size from one of the kernel's tables, in bytes."""
    for line in file.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    msg = f"{file} has no {name}"
    raise LookupError(msg)


class Peak:
    """Measure how far a process's memory rises (RSS, by the kernel's own mark)."""

    def __init__(self, pid: int) -> None:
        """Set the mark to what the process takes now."""
        self._status = Path(f"/proc/{pid}/status")
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._before = _field(self._status, "VmRSS")

    def growth_bytes(self) -> int:
        """Return how much more the process has taken since, at most."""
        return _field(self._status, "VmHWM") - self._before
