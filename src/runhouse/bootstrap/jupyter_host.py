"""Run JupyterLab and kernels; runs on the host, with what comes on standard input.

Usage: `main()` with a JSON object on standard input, whose `op` names a function of `_OPERATIONS`.
The answer is a JSON object on standard output.

Each of them has a directory, and a supervisor in a session of its own: it lives on when the
connection of whoever has started it drops. A client that is there renews a *lease*; when it has not
been renewed for long, the supervisor ends its child, unless that is to persist. The supervisor
holds a lock, by which is told whether it runs. Needs the standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from runhouse.files import private_directory, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOOK_S = 0.1
_RENEW_S = 2.0
_PATIENCE_S = 10.0
_TAIL_BYTES = 4000
# JupyterLab asks on its first start whether it may fetch news; its settings can change this.
_NO_NEWS = (
    "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
)
_NOT_BROUGHT = frozenset({"__pycache__", ".ipynb_checkpoints", ".git"})
PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
# What the env has comes first; Jupyter's packages and ours stand at the end.
_KERNEL = "import sys; sys.path += {}; from ipykernel.kernelapp import main; main()"
_IN_ENV = ("/bin/sh", "-c", '[ -z "$0" ] || . "$0"; exec "$@"')
_LAB_OPTIONS = (
    "--no-browser",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    "--ServerApp.allow_root=True",
    "--KernelSpecManager.allowed_kernelspecs={'runhouse'}",
    "--MultiKernelManager.default_kernel_name=runhouse",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)


class _Place:
    """Name the files of one server or kernel."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.folder = private_directory(Path(request["root"], "notebooks", request["name"]))
        self.lock = self.folder / "lock"
        self.lease = self.folder / "lease"
        self.log = self.folder / "log"
        self.record = self.folder / "record.json"
        self.runtime = self.folder / "runtime"
        self.connection = self.runtime / "kernel.json"

    def is_running(self) -> bool:
        """Tell whether there is a supervisor."""
        with self.lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def read_record(self) -> dict[str, Any]:
        """Return what the supervisor has noted; nothing when it has not yet."""
        try:
            record: dict[str, Any] = json.loads(self.record.read_bytes())
        except (OSError, ValueError):
            return {}
        return record

    def log_tail(self) -> str:
        """Return the end of what the child has printed."""
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        return ""


# -- starting -------------------------------------------------------------------------------------


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Start what the request describes unless it runs, and tell how it is reached."""
    place = _Place(request)
    ready = _READY[request["what"]]
    with _alone(place):
        reused = place.is_running()
        if not reused:
            shutil.rmtree(place.runtime, ignore_errors=True)
            place.record.unlink(missing_ok=True)
            place.runtime.mkdir()
            place.lease.touch()
            _supervise_apart(request)
        deadline = time.monotonic() + request["timeout_s"]
        while time.monotonic() < deadline:
            place.lease.touch()
            found = ready(place)
            if found is not None:
                return {**found, "reused": reused}
            if not reused and place.read_record().get("ended"):
                return {"failed": "ended", "said": place.log_tail()}
            time.sleep(_LOOK_S)
    _end(place)
    return {"failed": "slow", "said": place.log_tail()}


@contextlib.contextmanager
def _alone(place: _Place) -> Iterator[None]:
    """Let one client start at a time."""
    with (place.folder / "starting").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _supervise_apart(request: dict[str, Any]) -> None:
    """Start this program again, in a session of its own, as the supervisor."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        subprocess.Popen(  # noqa: S603 - the very command that has started this process
            sys.orig_argv,
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(reading)
        pipe.write(json.dumps({**request, "op": "supervise"}).encode())


def _lab_ready(place: _Place) -> dict[str, Any] | None:
    """Return port and token of a JupyterLab that listens."""
    for file in place.runtime.glob("jpserver-*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            facts = json.loads(file.read_bytes())
            return {"port": facts["port"], "token": facts["token"]}
    return None


def _kernel_ready(place: _Place) -> dict[str, Any] | None:
    """Return the ports of a kernel, which it notes in its connection file when it has them."""
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads(place.connection.read_bytes())
        if all(facts[name] for name in PORTS):
            return {"ports": {name: facts[name] for name in PORTS}}
    return None


_READY: dict[str, Callable[[_Place], dict[str, Any] | None]] = {
    "lab": _lab_ready,
    "kernel": _kernel_ready,
}

# -- supervising ----------------------------------------------------------------------------------


def supervise(request: dict[str, Any]) -> dict[str, Any]:
    """Run the child until it ends, is stopped, or nobody has been there for long."""
    place = _Place(request)
    with place.lock.open("a") as lock, place.log.open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            _run_child(place, request, log)
        except OSError as error:
            log.write(f"{error}\n".encode())
        finally:
            write_private(place.record, json.dumps({"ended": True}).encode())
    return {}


def _run_child(place: _Place, request: dict[str, Any], log: BinaryIO) -> None:
    child = subprocess.Popen(  # noqa: S603 - no shell
        [*_IN_ENV, request["script"], *_command(place, request)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=_environ(place, request),
        cwd=Path(request["directory"]).expanduser(),
        umask=request["umask"],
        start_new_session=True,
    )
    try:
        write_private(place.record, json.dumps({"pid": child.pid, "own": os.getpid()}).encode())
        while child.poll() is None and not _is_orphaned(place, request["orphan_s"]):
            time.sleep(_LOOK_S)
    finally:
        _terminate(child)


def _is_orphaned(place: _Place, orphan_s: float | None) -> bool:
    return orphan_s is not None and time.time() - place.lease.stat().st_mtime > orphan_s


def _terminate(child: subprocess.Popen[bytes]) -> None:
    """Ask the child to end, which ends its kernels; what does not is killed."""
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_PATIENCE_S)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _environ(place: _Place, request: dict[str, Any]) -> dict[str, str]:
    """Return the variables of the child: its secret is no argument."""
    path = f"{Path(request['python']).parent}:{os.environ.get('PATH', os.defpath)}"
    return {
        **os.environ,
        "PATH": path,
        "JUPYTER_TOKEN": request["secret"],
        "JUPYTER_CONFIG_DIR": str(place.folder / "config"),
        "JUPYTER_DATA_DIR": str(place.folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(place.runtime),
    }


def _command(place: _Place, request: dict[str, Any]) -> list[str]:
    """Return the command of the child, after having written what it reads."""
    packages = [*request["packages"], str(Path(__file__).parents[2])]
    kernel = [request["python"], "-c", _KERNEL.format(packages), "-f"]
    if request["what"] == "kernel":
        facts = {"key": request["secret"], "ip": "127.0.0.1", "transport": "tcp"}
        facts |= {"signature_scheme": request["signature_scheme"], **dict.fromkeys(PORTS, 0)}
        write_private(place.connection, json.dumps(facts).encode())
        return [*kernel, str(place.connection)]
    spec = {
        "argv": [*kernel, "{connection_file}"],
        "display_name": request["title"],
        "language": "python",
        "metadata": {"debugger": True},
    }
    write_private(place.folder / "data/kernels/runhouse/kernel.json", json.dumps(spec).encode())
    settings = place.folder / _NO_NEWS
    if not settings.exists():
        write_private(settings, b'{"fetchNews": "false", "checkForUpdates": false}')
    directory = Path(request["directory"]).expanduser()
    root = f"--ServerApp.root_dir={directory}"
    return [request["jupyter_python"], "-m", "jupyterlab", *_LAB_OPTIONS, root]


# -- code that comes back -------------------------------------------------------------------------


def collect(request: dict[str, Any]) -> dict[str, Any]:
    """Gather the files that have changed since a copy was made, under their paths.

    Returns:
        The directory that holds them, and how many there are.
    """
    place = _Place(request)
    copy, gathered = place.folder / "code", place.folder / "changed"
    shutil.rmtree(gathered, ignore_errors=True)
    gathered.mkdir()
    since = (place.folder / "copied").stat().st_ctime_ns
    count = 0
    for directory, folders, names in os.walk(copy):
        folders[:] = [name for name in folders if name not in _NOT_BROUGHT]
        for name in names:
            file = Path(directory, name)
            if file.is_symlink() or file.stat().st_ctime_ns <= since:
                continue
            to = gathered / file.relative_to(copy)
            to.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, to)
            count += 1
    return {"path": str(gathered), "count": count}


def copy_code(request: dict[str, Any]) -> dict[str, Any]:
    """Make a copy of a project for the notebook: what is newer in an earlier copy stays.

    Where code runs is mirrored from the client, which would remove what a notebook adds.
    """
    place = _Place(request)
    copy = place.folder / "code"
    copy.mkdir(exist_ok=True)
    subprocess.run(  # noqa: S603 - no shell
        ["cp", "-R", "-p", "-u", f"{request['source']}/.", str(copy)],  # noqa: S607
        check=True,
        capture_output=True,
    )
    (place.folder / "copied").write_text("")
    return {"path": str(copy)}


# -- while it runs --------------------------------------------------------------------------------


def hold(request: dict[str, Any]) -> dict[str, Any]:
    """Renew the lease until there is nothing left to hold."""
    place = _Place(request)
    renewed_at = 0.0
    while place.is_running():
        if time.monotonic() - renewed_at > _RENEW_S:
            place.lease.touch()
            renewed_at = time.monotonic()
        time.sleep(_LOOK_S)
    return {"ended": True, "said": place.log_tail()}


def stop(request: dict[str, Any]) -> dict[str, Any]:
    """End what runs; tell whether there was anything."""
    place = _Place(request)
    stopped = _end(place)
    if request["forget"]:
        shutil.rmtree(place.folder, ignore_errors=True)
    return {"stopped": stopped}


def _end(place: _Place) -> bool:
    """Ask the supervisor to end its child, and wait for both."""
    if not place.is_running():
        return False
    with contextlib.suppress(ProcessLookupError, KeyError):
        os.kill(place.read_record()["own"], signal.SIGTERM)
    deadline = time.monotonic() + 2 * _PATIENCE_S
    while place.is_running() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return True


_OPERATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    **{"start": start, "supervise": supervise, "hold": hold, "stop": stop},
    **{"copy": copy_code, "collect": collect},
}


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Do what is asked on standard input."""
    signal.signal(signal.SIGTERM, _leave)
    # What the user makes in a notebook is as open as what is made in a shell.
    umask = os.umask(0o077)
    request = {"umask": umask, **json.loads(sys.stdin.buffer.read())}
    try:
        answer = _OPERATIONS[request["op"]](request)
    except OSError as error:
        answer = {"failed": "error", "said": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
