"""Workers: start them, hand connections to them, watch them, tell how they died."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.errors import WorkerStartError
from runhouse.extras import find_cloudpickle
from runhouse.files import private_directory
from runhouse.wire.messages import Death, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.server.paths import ServerPaths

log = logging.getLogger(__name__)

_MESSAGE_LIMIT = 64 * 1024
_LOG_TAIL = 4096
_LOG_LIMIT = 16 * 1024 * 1024
_DEATHS_KEPT = 200
_STOP_S = 3.0
_ANSWER_S = 1.0
# Our package and cloudpickle are loaded by their paths, the latter under a name of its own, so that
# no other ones of these names are taken; our directory stands at the end of sys.path, so that the
# user's own packages always win.
_LAUNCH = """\
import sys, importlib.util as u
def load(name, file, **options):
    s = u.spec_from_file_location(name, file, **options)
    m = sys.modules[name] = u.module_from_spec(s)
    s.loader.exec_module(m)
root, pickler = sys.argv.pop(1), sys.argv.pop(1)
sys.path.append(root)
load("runhouse", root + "/runhouse/__init__.py", submodule_search_locations=[root + "/runhouse"])
load("runhouse_cloudpickle", pickler)
from runhouse.worker.main import main
main()
"""


@dataclass(slots=True)
class Worker:
    """Hold what the server knows about one worker process.

    Attributes:
        id: Unique for ever, so that a client notices another worker in its place.
        env: The env that it runs in.
        scope: The code that it was started for.
        state: What the worker last told: running, objects, connections, calls.
        retired: Whether it ends as soon as nobody needs it any more.
    """

    id: str
    env: str
    scope: Scope
    process: asyncio.subprocess.Process
    control: socket.socket
    pipes: tuple[int, int]
    log_path: Path
    started_at: float
    python: str = ""
    retired: bool = False
    state: dict[str, int] = field(default_factory=dict)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    dead: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self.process.pid

    @property
    def idle(self) -> bool:
        """Tell whether nothing runs in it, it holds nothing, and nobody is connected."""
        return not any(self.state.get(key) for key in ("running", "objects", "connections"))


def worker_python(scope: Scope, own: str) -> str:
    """Return the interpreter that a scope asks for."""
    return os.path.expanduser(scope.python) if scope.python else own


class Workers:
    """Hold all workers of the server."""

    def __init__(self, paths: ServerPaths, python: str, environment: dict[str, str]) -> None:
        """Store what new workers get.

        Args:
            paths: Where the server's files are.
            python: Interpreter of workers whose scope names none.
            environment: Variables of the worker processes.
        """
        self._paths = paths
        self._python = python
        self._environment = environment
        self._package_root = str(Path(__file__).resolve().parents[2])
        self._pickler = find_cloudpickle()
        self._alive: dict[str, Worker] = {}
        self._current: dict[tuple[str, str], Worker] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._deaths: OrderedDict[str, Death] = OrderedDict()
        self._watchers: set[asyncio.Task[None]] = set()
        self.on_activity: Callable[[], None] = lambda: None

    def alive(self) -> list[Worker]:
        """Return the workers that run now."""
        return list(self._alive.values())

    def total(self, key: str) -> int:
        """Return the sum of one figure over all workers."""
        return sum(worker.state.get(key, 0) for worker in self._alive.values())

    def find(self, worker_id: str) -> Worker | None:
        """Return the running worker with an id, or None."""
        return self._alive.get(worker_id)

    def death(self, worker_id: str) -> Death | None:
        """Return how a worker ended, or None when that is not known."""
        return self._deaths.get(worker_id)

    async def obtain(self, env: str, scope: Scope, timeout_s: float) -> Worker:
        """Return the worker for an env and the code of a project, started if needed.

        A worker whose code is older than the scope's generation is replaced; it lives on until
        its calls have ended and its objects are gone.

        Raises:
            WorkerStartError: It did not come up; the message has its last lines.
        """
        key = (env, scope.project)
        async with self._locks.setdefault(key, asyncio.Lock()):
            worker = self._current.get(key)
            if worker is not None and not worker.dead.is_set():
                same_code = scope.generation in ("", worker.scope.generation)
                same_python = scope.python in ("", worker.scope.python)
                if same_code and same_python:
                    return worker
                worker.retired = True
                self._end_if_unneeded(worker)
            worker = await self._start(env, scope, timeout_s)
            self._current[key] = worker
            return worker

    async def _start(self, env: str, scope: Scope, timeout_s: float) -> Worker:
        """Start a worker process and wait until it is ready."""
        worker_id = secrets.token_hex(8)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        log_path = private_directory(self._paths.workers) / f"{env}.log"
        log_fd = _open_log(log_path)
        python = worker_python(scope, self._python)
        config = {
            "control_fd": theirs.fileno(),
            "stdout_fd": out_read,
            "stderr_fd": err_read,
            "log_fd": log_fd,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *(python, "-c", _LAUNCH, self._package_root, self._pickler, json.dumps(config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out_write,
                stderr=err_write,
                cwd=_directory(scope.project),
                env=self._environment | {"RH_WORKER_ID": worker_id, "RH_ENV": env},
                pass_fds=(theirs.fileno(), out_read, err_read, log_fd),
                start_new_session=True,
            )
        except OSError as error:
            for fd in (out_read, err_read):
                os.close(fd)
            ours.close()
            msg = (
                f"A worker for env {env!r} did not start. {python} cannot be run in "
                f"{_directory(scope.project)}: {error.strerror}. Check the interpreter's path."
            )
            raise WorkerStartError(msg, host="") from error
        finally:
            theirs.close()
            for fd in (out_write, err_write, log_fd):
                os.close(fd)
        ours.setblocking(False)
        worker = Worker(
            worker_id, env, scope, process, ours, (out_read, err_read), log_path, time.time()
        )
        self._alive[worker_id] = worker
        asyncio.get_running_loop().add_reader(ours, self._on_message, worker)
        watcher = asyncio.create_task(self._watch(worker))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        await self._wait_until_ready(worker, timeout_s)
        log.info("worker %s started: pid %s, env %s, scope %s", worker_id, worker.pid, env, scope)
        return worker

    async def _wait_until_ready(self, worker: Worker, timeout_s: float) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (worker.ready, worker.dead)]
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if worker.ready.is_set() and not worker.dead.is_set():
            return
        if worker.dead.is_set():
            death = self._deaths[worker.id]
            reason = (
                f"It ended with {death.signal_name or death.exit_code}: {death.log_tail.strip()}"
            )
        else:
            worker.process.kill()
            reason = f"It was not ready within {timeout_s:g} s."
        msg = (
            f"A worker for env {worker.env!r} did not start. {reason} "
            f"Its log is {worker.log_path}; workers need Python 3.10 or newer."
        )
        raise WorkerStartError(msg, host="")

    def _on_message(self, worker: Worker) -> None:
        """Take one message from a worker."""
        try:
            data = worker.control.recv(_MESSAGE_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(worker.control)
            return
        message = json.loads(data)
        if message.pop("op") == "ready":
            worker.python = message["python"]
            worker.ready.set()
            return
        if message.pop("asked", False):
            worker.answered.set()
        worker.state = message
        self.on_activity()
        self._end_if_unneeded(worker)

    async def refresh(self) -> None:
        """Ask all workers how much is going on; one that does not answer keeps its last figures."""
        waits = []
        for worker in self.alive():
            worker.answered.clear()
            with contextlib.suppress(OSError):  # it has ended already
                worker.control.send(b'{"op":"state"}')
                waits.append(asyncio.create_task(worker.answered.wait()))
        if waits:
            await asyncio.wait(waits, timeout=_ANSWER_S)
        for wait in waits:
            wait.cancel()

    def hand_over(self, worker: Worker, sock: socket.socket) -> bool:
        """Give a client's connection to a worker; return False when the worker is gone."""
        try:
            socket.send_fds(worker.control, [b'{"op":"connection"}'], [sock.fileno()])
        except OSError:
            return False
        worker.state["connections"] = worker.state.get("connections", 0) + 1
        self.on_activity()
        return True

    def _end_if_unneeded(self, worker: Worker) -> None:
        if worker.retired and worker.idle:
            with contextlib.suppress(OSError):  # it has ended already
                worker.control.send(b'{"op":"stop"}')

    async def _watch(self, worker: Worker) -> None:
        """Wait for the end of a worker, and note how it ended."""
        code = await worker.process.wait()
        asyncio.get_running_loop().remove_reader(worker.control)
        worker.control.close()
        tail = _tail(worker.log_path) + "".join(_rest(fd) for fd in worker.pipes)
        name = signal.Signals(-code).name if code < 0 else None
        self._deaths[worker.id] = Death(
            worker.pid, None if code < 0 else code, name, tail[-_LOG_TAIL:]
        )
        while len(self._deaths) > _DEATHS_KEPT:
            self._deaths.popitem(last=False)
        del self._alive[worker.id]
        if self._current.get((worker.env, worker.scope.project)) is worker:
            del self._current[worker.env, worker.scope.project]
        worker.dead.set()
        log.info("worker %s ended: pid %s, %s", worker.id, worker.pid, name or f"exit code {code}")
        self.on_activity()

    async def stop_all(self) -> None:
        """End all workers: ask, wait a little, then kill."""
        workers = self.alive()
        for worker in workers:
            with contextlib.suppress(OSError):  # it has ended already
                worker.control.send(b'{"op":"stop"}')
        waits = [asyncio.create_task(worker.dead.wait()) for worker in workers]
        if waits:
            await asyncio.wait(waits, timeout=_STOP_S)
        for worker in self.alive():
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()
        if waits:
            await asyncio.wait(waits, timeout=_STOP_S)


def _directory(project: str) -> str:
    """Return the directory in which a worker for a project runs."""
    return os.path.expanduser(project) if project else str(Path.home())


def _open_log(path: Path) -> int:
    """Open a worker's log for appending; a very long one starts again, its old part beside it."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _tail(path: Path) -> str:
    """Return the end of a log."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LOG_TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _rest(fd: int) -> str:
    """Return what a dead worker left in a pipe, and close it."""
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 64 * 1024).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
