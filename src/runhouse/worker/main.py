"""The life of a worker process: birth, messages from the server, death.

The server starts it with one end of a socket pair. Over it the server hands in connections (file
descriptors) and asks for things; the worker tells how much is going on. When the server is gone,
the worker ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import itertools
import json
import logging
import os
import platform
import queue
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runhouse.wire import control
from runhouse.wire.messages import Limits
from runhouse.worker import inside
from runhouse.worker.capture import Capture, StreamName, current_sink
from runhouse.worker.code import add_import_roots
from runhouse.worker.connections import Connections
from runhouse.worker.operations import Operations
from runhouse.worker.run import Run, make_sleep_interruptible
from runhouse.worker.runs import Runs
from runhouse.worker.sizes import sizes_of
from runhouse.worker.store import Objects

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_REPORT_INTERVAL_S = 0.1
# The longest wait for the server to have noted a key or a name.
_NOTED_S = 10.0


class Worker:
    """Tie the parts of a worker together."""

    def __init__(self, server: socket.socket) -> None:
        """Store the socket to the server."""
        self._server = server
        self._changed = threading.Event()
        self._numbers = itertools.count()
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        root = Path(os.environ["RH_SERVER_ROOT"])
        self._objects = Objects(self._tell_keys)
        add_import_roots(json.loads(os.environ["RH_SCOPE"]).get("imports", ()))
        self._operations = Operations(self._objects, root / "objects", self._tell)
        self.inside = inside.Inside(
            worker_id=os.environ["RH_WORKER_ID"],
            server_id=os.environ["RH_SERVER_ID"],
            env=os.environ["RH_ENV"],
            root=root,
            objects=self._objects,
        )
        self.runs = Runs(self.inside, self._operations, self._tell, self._ask, self._changed.set)
        self.connections = Connections(self.runs.on_frame, self.runs.on_closed)
        self._answers: dict[str, Callable[[dict[str, Any]], object]] = {
            "state": lambda _: self._state(),
            "runs": lambda _: [info.to_meta() for info in self.runs.infos()],
            "cancel": lambda asked: self.runs.cancel(asked["ids"], asked["reason"]),
            "cancel_children": lambda asked: self.runs.cancel_children(asked["parent"]),
            "delete": lambda asked: self._objects.delete(asked["keys"]),
            "forget_name": lambda asked: self._objects.forget_name(asked["name"]),
            "rename": lambda asked: self._objects.rename(asked["old"], asked["new"]),
            "sizes": lambda _: sizes_of(self._objects.all()),
            "limits": lambda asked: self._set_limits(Limits(**asked["limits"])),
        }

    def run(self) -> None:
        """Serve until the server says stop or goes away."""
        threading.Thread(target=self._report, name="runhouse-report", daemon=True).start()
        self._tell({"op": "ready", "python": platform.python_version(), "pid": os.getpid()})
        while True:
            received = control.receive(self._server)
            if received is None:
                return
            message, descriptor = received
            if message["op"] == "connection" and descriptor is not None:
                self.connections.add(socket.socket(fileno=descriptor))
                self._changed.set()
            elif message["op"] == "ask":
                self._answer(message)
            elif message["op"] == "noted" and message["number"] in self._waiting:
                self._waiting[message["number"]].put(message)
            elif message["op"] == "stop":
                return

    def _answer(self, asked: dict[str, Any]) -> None:
        """Do what the server asks for; loading an object may take long, so it gets a thread."""
        if asked["what"] == "wake":
            threading.Thread(target=self._wake, args=(asked,), daemon=True).start()
            return
        answer = self._answers[asked["what"]](asked)
        self._tell({"op": "answer", "id": asked["id"], "answer": answer})

    def _wake(self, asked: dict[str, Any]) -> None:
        """Take an object that was persisted into memory."""
        problem = ""
        try:
            self._operations.wake(Path(asked["path"]))
        except Exception as error:  # noqa: BLE001 - whoever asked for the object is told
            problem = f"{type(error).__name__}: {error}"
        self._tell({"op": "answer", "id": asked["id"], "answer": problem})

    def _set_limits(self, limits: Limits) -> None:
        self.runs.admission.set_limits(limits)
        self._objects.set_memory_limit(limits.memory_bytes)

    def _state(self) -> dict[str, Any]:
        return {
            "running": len(self.runs.running),
            "objects": len(self._objects),
            "connections": len(self.connections),
            "calls": self.runs.count,
        }

    def _report(self) -> None:
        """Tell the server what has changed, a few times a second at most."""
        pause = threading.Event()
        while True:
            self._changed.wait()
            self._changed.clear()
            self._tell({"op": "state", "state": self._state()})
            pause.wait(_REPORT_INTERVAL_S)

    def _tell_keys(self, added: dict[str, str], removed: list[str], on_disk: bool) -> None:
        """Tell the server of keys; if a call has put them, without being interrupted in it."""
        sink = current_sink()
        with sink.shielded() if isinstance(sink, Run) else contextlib.nullcontext():
            self._tell_keys_now(added, removed, on_disk)

    def _tell_keys_now(self, added: dict[str, str], removed: list[str], on_disk: bool) -> None:
        """Tell the server of keys, and wait until no other worker holds those that were added."""
        message: dict[str, Any] = {"op": "keys", "added": added, "removed": removed}
        message["on_disk"] = on_disk
        if not added or threading.current_thread() is threading.main_thread():
            self._tell(message)  # in the main thread it is the server that has asked
        else:
            self._ask(message)
        self._changed.set()

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Tell the server something, and return its answer; nothing when it does not answer."""
        number = next(self._numbers)
        noted = self._waiting[number] = queue.SimpleQueue()
        self._tell({**message, "number": number})
        try:
            return noted.get(timeout=_NOTED_S)
        except queue.Empty:
            return {}
        finally:
            del self._waiting[number]

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the server is gone: run() ends
            control.send(self._server, message)


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when the server dies (Linux prctl(2))."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_code(server: socket.socket) -> None:
    """Wait until the server says which code this process is for; end with the server."""
    received = control.receive(server)
    if received is None:
        os._exit(0)
    os.environ["RH_SCOPE"] = json.dumps(received[0]["scope"])


def main() -> None:
    """Run a worker; the server gives its set-up as one JSON argument."""
    config = json.loads(sys.argv[1])
    del sys.argv[1:]
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = socket.socket(fileno=config["control_fd"])
    pipes: dict[int, StreamName] = {config["stdout_fd"]: "stdout", config["stderr_fd"]: "stderr"}
    for fd in (config["control_fd"], config["log_fd"], *pipes):
        os.set_inheritable(fd, False)
    if config["spare"]:
        _wait_for_code(server)
    sys.path[0:1] = []  # the "" of `python -c`: the current directory is no place for code
    worker = Worker(server)
    inside.enter(worker.inside)
    capture = Capture(worker.runs.writers, config["log_fd"], pipes)
    worker.runs.executor.capture = capture
    make_sleep_interruptible(current_sink)
    capture.install()
    faulthandler.enable(file=2)
    worker.run()
    # Threads that still run user code must not keep the process.
    os._exit(0)
