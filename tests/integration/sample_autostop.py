"""Functions that keep a host busy in ways that are not seen from their calls."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

SPIN = """
import os, sys
while not os.path.exists(sys.argv[1]):
    sum(range(1000))
"""


def spin_in_thread(until: str) -> None:
    """Compute in a thread until a file is there; return at once."""

    def spin() -> None:
        while not Path(until).exists():
            sum(range(1000))

    threading.Thread(target=spin, daemon=True).start()


def spin_in_process(until: str) -> int:
    """Compute in another process until a file is there; return at once."""
    return subprocess.Popen([sys.executable, "-S", "-c", SPIN, until]).pid


def spin_in_process_of_shell(until: str) -> int:
    """Compute in a process that the worker has not started itself, and that nobody waits for."""
    line = '"$@" >&2 & echo $!'
    command = ["/bin/sh", "-c", line, "sh", sys.executable, "-S", "-c", SPIN, until]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
