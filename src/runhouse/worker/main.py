"""The life of a worker process: birth, messages from the server, death.

The server starts it with one end of a socket pair. Over it the server hands in connections (file
descriptors) and asks for things; the worker tells how much is going on. When the server is gone,
the worker ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import platform
import signal
import socket
import sys
import threading
from typing import Any

from runhouse.worker.capture import Capture, StreamName, current_sink
from runhouse.worker.connections import Connections
from runhouse.worker.execute import Executor
from runhouse.worker.run import make_sleep_interruptible
from runhouse.worker.store import Objects

_PR_SET_PDEATHSIG = 1
_REPORT_INTERVAL_S = 0.1
MESSAGE_LIMIT = 64 * 1024


class Worker:
    """Tie the parts of a worker together."""

    def __init__(self, control: socket.socket) -> None:
        """Store the socket to the server."""
        self._control = control
        self._changed = threading.Event()
        self.executor = Executor(Objects(), self._changed.set)
        self.connections = Connections(self.executor.on_frame, self.executor.on_closed)

    def run(self) -> None:
        """Serve until the server says stop or goes away."""
        threading.Thread(target=self._report, name="runhouse-report", daemon=True).start()
        self._tell({"op": "ready", "python": platform.python_version(), "pid": os.getpid()})
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_LIMIT, 1)
            if not message:
                return
            request = json.loads(message)
            if request["op"] == "connection":
                self.connections.add(socket.socket(fileno=descriptors[0]))
                self._changed.set()
            elif request["op"] == "state":
                self._tell({"op": "state", "asked": True, **self._state()})
            elif request["op"] == "stop":
                return

    def _state(self) -> dict[str, Any]:
        return {
            "running": len(self.executor.running),
            "objects": len(self.executor.objects),
            "connections": len(self.connections),
            "calls": self.executor.calls,
        }

    def _report(self) -> None:
        """Tell the server what has changed, a few times a second at most."""
        pause = threading.Event()
        while True:
            self._changed.wait()
            self._changed.clear()
            self._tell({"op": "state", **self._state()})
            pause.wait(_REPORT_INTERVAL_S)

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the server is gone: run() ends
            self._control.send(json.dumps(message).encode())


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when the server dies (Linux prctl(2))."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Run a worker; the server gives its set-up as one JSON argument."""
    config = json.loads(sys.argv[1])
    del sys.argv[1:]
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=config["control_fd"])
    pipes: dict[int, StreamName] = {config["stdout_fd"]: "stdout", config["stderr_fd"]: "stderr"}
    for fd in (config["control_fd"], config["log_fd"], *pipes):
        os.set_inheritable(fd, False)
    sys.path[0:1] = []  # the "" of `python -c`: the current directory is no place for code
    worker = Worker(control)
    capture = Capture(worker.executor.running.values(), config["log_fd"], pipes)
    worker.executor.capture = capture
    make_sleep_interruptible(current_sink)
    capture.install()
    faulthandler.enable(file=2)
    worker.run()
    # Threads that still run user code must not keep the process.
    os._exit(0)
