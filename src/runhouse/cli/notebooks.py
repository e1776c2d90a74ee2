"""Commands for notebooks, IPython, and kernels of a local Jupyter."""

from __future__ import annotations

import signal
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from runhouse.cli.clusters import ClusterArgument, find, find_up
from runhouse.cli.output import Exit, JsonOption, print_json, print_line, told
from runhouse.clusters.kernel import (
    install_kernel,
    kernel_name,
    prepare_kernel,
    remove_kernel,
    serve_kernel,
)
from runhouse.errors import ClusterNotUpError, ConnectError, LaunchError

EnvOption = Annotated[
    str | None, typer.Option(metavar="ENV", help="An env of the cluster; else its own.")
]

app = typer.Typer(
    help="Let a Jupyter on this machine run kernels on clusters.", no_args_is_help=True
)


def notebook(
    cluster: ClusterArgument,
    env: EnvOption = None,
    port: Annotated[
        int, typer.Option(metavar="PORT", help="Port here; the next free one if it is taken.")
    ] = 8888,
    persist: Annotated[
        bool, typer.Option("--persist", help="Leave it running; the command finds it again.")
    ] = False,
    sync: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Work on a copy of this project; what has changed comes back at the end.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    browser: Annotated[
        bool | None,
        typer.Option("--browser/--no-browser", help="Open it; as a rule where there is a screen."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run JupyterLab on a cluster, and lead it here.

    Stays until Ctrl-C, which ends it and its kernels unless --persist is given. A dropped
    connection is made again, and the kernels go on meanwhile. With --json, prints address, port and
    token first.
    """
    with (
        told(as_json=as_json, name=cluster),
        find(cluster).open_notebook(env=env, port=port, persist=persist, project=sync) as lab,
    ):
        if as_json:
            facts = {"url": lab.url, "port": lab.port, "token": lab.token, "reused": lab.reused}
            print_json({"name": cluster, **facts}, indent=None)
        lab.stay(open_browser=browser)


def ipython(cluster: ClusterArgument, env: EnvOption = None, as_json: JsonOption = False) -> None:
    """Open IPython on a cluster, in an env of its workers.

    Ends with its code. With --json, prints the command that is run there instead.
    """
    with told(as_json=as_json, failed=None if as_json else Exit.NOT_RUN, name=cluster):
        found = find(cluster)
        if not as_json:
            raise typer.Exit(found.ipython(env=env))
        print_json({"name": cluster, "command": found.ipython_command(env)})


@app.command(epilog="\b\nExample:\n  rh kernel install box --env train")
def install(cluster: ClusterArgument, env: EnvOption = None, as_json: JsonOption = False) -> None:
    """Add a kernel to the Jupyter of this user, which runs on a cluster.

    What the kernel needs is installed on the cluster now if it can be reached, so that notebooks
    need not wait for it. Nothing is launched: Jupyter starts the kernel when a notebook uses it.
    """
    with told(as_json=as_json, name=cluster):
        is_prepared = _prepared(cluster, env)
        folder = install_kernel(cluster, env)
        if as_json:
            facts = {"kernel": folder.name, "path": str(folder), "prepared": is_prepared}
            print_json({"name": cluster, **facts})
        else:
            print_line(f"The kernel {folder.name} is in {folder}.")
            if not is_prepared:
                print_line(
                    f"{cluster} cannot be reached now: its first notebook waits while what it "
                    "needs is installed."
                )


def _prepared(cluster: str, env: str | None) -> bool:
    """Have on a cluster what kernels need, and tell whether that was possible; launch nothing."""
    try:
        found = find_up(cluster)
        prepare_kernel(found.host_of(), found.workplace(env))
    except (ClusterNotUpError, LaunchError, ConnectError):
        return False
    return True


@app.command(epilog="\b\nExample:\n  rh kernel remove box --env train")
def remove(cluster: ClusterArgument, env: EnvOption = None, as_json: JsonOption = False) -> None:
    """Take the kernel of a cluster out of the Jupyter of this user."""
    with told(as_json=as_json, name=cluster):
        removed = remove_kernel(cluster, env)
        if as_json:
            print_json({"name": cluster, "removed": removed})
        else:
            name = kernel_name(cluster, env)
            print_line(f"{name} was removed." if removed else f"There was no kernel {name}.")


@app.command(hidden=True, epilog="\b\nExample:\n  rh kernel serve box connection.json")
def serve(
    cluster: ClusterArgument,
    connection_file: Path,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a kernel for Jupyter, which calls this command."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with told(as_json=as_json, name=cluster):
        found = find(cluster)
        serve_kernel(found.host_of(), found.workplace(env), connection_file)
