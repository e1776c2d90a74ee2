"""How much the workers' processes compute, with all that they have started; from /proc, proc(5)."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# Part of one core; more than what an idle process with its timers takes.
_BUSY_SHARE = 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """Hold what is known about a process; times are clock ticks.

    Attributes:
        pid: Its process id.
        parent: The process that has started it, or has taken it over.
        session: The process that leads its session.
        started: When it was started; with the pid, this is what no other process has.
        used: How much it has computed, with its children that have ended and were waited for.
    """

    pid: int
    parent: int
    session: int
    started: int
    used: int


def parse_stat(line: bytes) -> Process:
    """Read a line of `/proc/PID/stat`; the name in it may hold spaces and parentheses."""
    head, _, rest = line.rpartition(b")")
    fields = [int(field) for field in rest.split()[1:20]]
    return Process(
        pid=int(head.split(b" ", 1)[0]),
        parent=fields[0],
        session=fields[2],
        started=fields[18],
        used=sum(fields[10:14]),
    )


def read_processes(proc: Path = Path("/proc")) -> dict[int, Process]:
    """Return all processes by id; those that end meanwhile are left out."""
    found = {}
    for entry in os.scandir(proc):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                process = parse_stat(Path(entry.path, "stat").read_bytes())
                found[process.pid] = process
    return found


class WorkerTrees:
    """Know which processes belong to which worker, and how much they compute.

    What was seen below a worker once belongs to it for as long as it lives, whoever has taken it
    over, and even when the worker itself has ended.
    """

    def __init__(self) -> None:
        """Start without having looked."""
        self._members: dict[tuple[int, int], int] = {}
        self._used: dict[int, int] = {}
        self._looked_at = 0.0

    def look(self, workers: Collection[int], now: float) -> list[int]:
        """Return the workers whose processes have computed since the last look.

        Args:
            workers: Ids of the workers' processes.
            now: Seconds on any clock that goes forward.
        """
        processes = read_processes()
        roots = self._roots(processes, workers)
        self._members = {
            (pid, processes[pid].started): root for pid, root in roots.items() if root is not None
        }
        used: dict[int, int] = {}
        for (pid, _), root in self._members.items():
            used[root] = used.get(root, 0) + processes[pid].used
        enough = (now - self._looked_at) * _BUSY_SHARE * _TICKS_PER_S
        busy = [
            root for root, ticks in used.items() if ticks - self._used.get(root, ticks) > enough
        ]
        self._used, self._looked_at = used, now
        return busy

    def _roots(
        self, processes: dict[int, Process], workers: Collection[int]
    ) -> dict[int, int | None]:
        """Return the worker of each process, or None."""
        roots: dict[int, int | None] = {}
        for process in processes.values():
            if process.pid in workers:
                roots[process.pid] = process.pid
            elif process.session in workers:
                roots[process.pid] = process.session
            elif (process.pid, process.started) in self._members:
                roots[process.pid] = self._members[process.pid, process.started]
        for pid in processes:
            line = []
            while pid in processes and pid not in roots:
                line.append(pid)
                roots[pid] = None  # ends the way up even if it were a ring
                pid = processes[pid].parent
            roots |= dict.fromkeys(line, roots.get(pid))
        return roots
