"""A kernel on a cluster, for a Jupyter on this machine."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.bootstrap.jupyter_host import PORTS
from runhouse.clusters.jupyter import Jupyter, Workplace
from runhouse.errors import NotebookError
from runhouse.files import write_private

if TYPE_CHECKING:
    from runhouse.bootstrap.host import Host

_COMMAND = "from runhouse.cli.main import main; main()"
_SETTINGS = ("RH_HOME", "RH_REGISTRY", "RH_SSH_CONFIG")


def kernels_directory() -> Path:
    """Return where Jupyter looks for the kernels of this user.

    See https://docs.jupyter.org/en/latest/use/jupyter-directories.html.
    """
    given = os.environ.get("JUPYTER_DATA_DIR")
    if given:
        return Path(given) / "kernels"
    if sys.platform == "darwin":
        return Path("~/Library/Jupyter/kernels").expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "jupyter" / "kernels"


def kernel_name(cluster: str, env: str | None) -> str:
    """Return the name of the kernel of a cluster."""
    plain = "-".join(filter(None, ["rh", cluster, env]))
    return "".join(each if each.isalnum() else "-" for each in plain).lower()


def install_kernel(cluster: str, env: str | None) -> Path:
    """Let the Jupyter of this user offer a kernel that runs on a cluster; safe to repeat.

    Args:
        cluster: The cluster, as on the command line.
        env: Name of the env that it runs in; None for the cluster's own.

    Returns:
        The directory that was written.
    """
    options = [] if env is None else ["--env", env]
    spec = {
        "argv": [
            *(sys.executable, "-c", _COMMAND, "kernel", "serve", cluster, "{connection_file}"),
            *options,
        ],
        "display_name": f"Python on {cluster}" + ("" if env is None else f" ({env})"),
        "language": "python",
        "interrupt_mode": "message",
        "env": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
    }
    folder = kernels_directory() / kernel_name(cluster, env)
    write_private(folder / "kernel.json", json.dumps(spec, indent=2).encode())
    return folder


def prepare_kernel(host: Host, place: Workplace) -> None:
    """Have on a host what its kernels need.

    Raises:
        EnvSetupError: The packages cannot be had there.
    """
    Jupyter(host, "", "kernel").tools(place.python)


def remove_kernel(cluster: str, env: str | None) -> bool:
    """Undo `install_kernel`; return whether there was such a kernel."""
    folder = kernels_directory() / kernel_name(cluster, env)
    if not (folder / "kernel.json").exists():
        return False
    shutil.rmtree(folder)
    return True


def serve_kernel(host: Host, place: Workplace, connection_file: Path) -> None:
    """Run a kernel on a host for the Jupyter here that has written a connection file.

    Returns when the kernel has ended. A dropped connection is made again; the kernel goes on.

    Args:
        host: The host.
        place: Where code runs.
        connection_file: What Jupyter says: the ports on which it expects the kernel, and the key.

    Raises:
        NotebookError: The file cannot be used, or the kernel did not start.
    """
    try:
        facts = json.loads(connection_file.read_bytes())
        ports = {name: int(facts[name]) for name in PORTS}
        key, scheme = str(facts["key"]), str(facts["signature_scheme"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = (
            f"The kernel was not started. {connection_file} is no connection file of Jupyter: "
            f"{error!r}. Jupyter starts this command by itself."
        )
        raise NotebookError(msg) from error
    jupyter = Jupyter(host, f"kernel-{uuid.uuid4().hex[:12]}", "kernel")
    with ExitStack() as stack:
        stack.callback(jupyter.stop)
        found = jupyter.start(place, secret=key, signature_scheme=scheme)["ports"]
        for name in PORTS:
            stack.enter_context(host.forward_port(ports[name], found[name]))
        jupyter.hold()
