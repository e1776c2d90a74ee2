"""Start a worker process: its sockets, pipes, log, interpreter and environment."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.errors import WorkerStartError
from runhouse.extras import find_cloudpickle
from runhouse.files import private_directory
from runhouse.server.gpus import VISIBLE
from runhouse.server.worker import Worker
from runhouse.wire.messages import Death, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runhouse.server.envs import Binding
    from runhouse.server.paths import ServerPaths

_LOG_TAIL = 4096
_LOG_READ = 64 * 1024
_CRASH = "Fatal Python error: "
_LOG_LIMIT = 16 * 1024 * 1024
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


class Launcher:
    """Start worker processes of one server."""

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

    async def start(
        self,
        env: str,
        scope: Scope,
        binding: Binding | None = None,
        gpus: Sequence[int] = (),
        *,
        spare: bool = False,
    ) -> Worker:
        """Start a process; it is not ready yet.

        Args:
            env: Name of its env.
            scope: The code that it is for.
            binding: What the env is; None: the host's own interpreter.
            gpus: The GPUs that it is to see, if the binding says how many.
            spare: Whether it is to wait until it is told which code it is for.

        Raises:
            WorkerStartError: The interpreter cannot be run.
        """
        worker_id = secrets.token_hex(8)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        log_path = private_directory(self._paths.workers) / f"{env}.log"
        log_fd = _open_log(log_path)
        log_start = os.fstat(log_fd).st_size
        python = (binding.python if binding else "") or worker_python(scope, self._python)
        mark = binding.open_mark() if binding is not None else None
        if mark is not None:
            fcntl.flock(mark, fcntl.LOCK_SH)
        config = {
            "control_fd": theirs.fileno(),
            "stdout_fd": out_read,
            "stderr_fd": err_read,
            "log_fd": log_fd,
            "spare": spare,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *(python, "-c", _LAUNCH, self._package_root, self._pickler, json.dumps(config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out_write,
                stderr=err_write,
                cwd=_directory(scope.project),
                env=self._variables(binding, gpus)
                | {
                    "RH_WORKER_ID": worker_id,
                    "RH_ENV": env,
                    "RH_SCOPE": json.dumps(with_imports(scope, binding).to_meta()),
                },
                # It holds the lock of its env's mark for as long as it lives.
                pass_fds=(theirs.fileno(), out_read, err_read, log_fd, *_given(mark)),
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
            for fd in (out_write, err_write, log_fd, *_given(mark)):
                os.close(fd)
        ours.setblocking(False)
        pipes = out_read, err_read
        started = time.time()
        worker = Worker(worker_id, env, scope, process, ours, pipes, log_path, started, log_start)
        worker.binding = binding.digest if binding is not None else ""
        worker.gpus = tuple(gpus)
        return worker

    def _variables(self, binding: Binding | None, gpus: Sequence[int]) -> dict[str, str]:
        if binding is None:
            return self._environment
        variables = binding.environment(self._environment)
        if binding.gpus is not None:
            variables[VISIBLE] = ",".join(map(str, gpus))
        return variables


def _given(descriptor: int | None) -> tuple[int, ...]:
    return () if descriptor is None else (descriptor,)


def with_imports(scope: Scope, binding: Binding | None) -> Scope:
    """Return a scope with the directories that its env adds."""
    if binding is None or not binding.imports:
        return scope
    return replace(scope, imports=tuple(dict.fromkeys((*scope.imports, *binding.imports))))


def worker_python(scope: Scope, own: str) -> str:
    """Return the interpreter that a scope asks for."""
    return os.path.expanduser(scope.python) if scope.python else own


def _directory(project: str) -> str:
    """Return the directory in which a worker for a project runs."""
    return os.path.expanduser(project) if project else str(Path.home())


def _open_log(path: Path) -> int:
    """Open a worker's log for appending; a very long one starts again, its old part beside it."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _tail(path: Path, start: int) -> str:
    """Return the end of a log: whole lines, none from before a worker's own start."""
    try:
        with path.open("rb") as file:
            begin = file.seek(0, os.SEEK_END) - _LOG_READ
            file.seek(max(start, begin))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return text.partition("\n")[2] or text if begin > start else text


def _rest(fd: int) -> str:
    """Return what a dead worker left in a pipe, and close it."""
    os.set_blocking(fd, False)
    try:
        return os.read(fd, _LOG_READ).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _last_words(text: str) -> str:
    """Return the end of what a worker wrote; of a crash, the thread that it was in.

    See `faulthandler`, which lists all threads, with the one that has crashed anywhere among them.
    """
    before, crash, dump = text.rpartition(_CRASH)
    if not crash:
        return text[-_LOG_TAIL:]
    reason, *threads = dump.split("\n\n")
    current = [each for each in threads if each.startswith("Current thread ")]
    told = "\n\n".join([crash + reason, *current])[:_LOG_TAIL]
    room = _LOG_TAIL - len(told)
    return before[max(0, len(before) - room) :] + told


def death_of(worker: Worker, code: int) -> Death:
    """Tell how a worker has ended, with its last lines; lets go of its pipes."""
    tail = _tail(worker.log_path, worker.log_start) + "".join(_rest(fd) for fd in worker.pipes)
    name = signal.Signals(-code).name if code < 0 else None
    exit_code = None if code < 0 else code
    return Death(worker.pid, exit_code, name, _last_words(tail), tuple(worker.cancelled))
