"""Commands about the server of this very host: the one that clients reach by SSH."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from runhouse import settings
from runhouse.bootstrap import runtime
from runhouse.cli.clusters import show_status
from runhouse.cli.output import Exit, JsonOption, print_json, print_line, told
from runhouse.clusters.status import read_status
from runhouse.server.control import running_server, server_status, start_server, stop_server
from runhouse.server.info import ServerConfig
from runhouse.server.paths import ServerPaths
from runhouse.version import __version__

app = typer.Typer(
    help="Start, ask and stop the server of this host.\n\nIt is the one that clients reach by SSH.",
    no_args_is_help=True,
)


def _paths() -> ServerPaths:
    """Return where clients look for the server when they come by SSH."""
    return ServerPaths(Path.home() / ".rh" / "hosts" / os.uname().nodename)


@app.command(epilog="\b\nExample:\n  rh server start")
def start(as_json: JsonOption = False) -> None:
    """Start the server unless it runs.

    Its workers use the Python of this command.
    """
    with told(as_json=as_json, up=False):
        config = ServerConfig(
            root=str(_paths().root),
            version=__version__,
            digest=runtime.digest(),
            start_timeout_s=settings.load().start_timeout_s,
            keep_runs_days=settings.load().keep_runs_days,
        )
        info = start_server(config)
        if as_json:
            print_json({"name": info.hostname, "up": True, "pid": info.pid})
        else:
            print_line(f"The server of {info.hostname} is up: pid {info.pid}.")


@app.command(epilog="\b\nExample:\n  rh server status --json")
def status(as_json: JsonOption = False) -> None:
    """Show what runs in the server; start nothing.

    Ends with code 3 when it is not up.
    """
    with told(as_json=as_json, up=False):
        paths = _paths()
        info = running_server(paths)
        if info is not None:
            show_status(read_status(info.hostname, server_status(paths, info)), as_json=as_json)
            return
        if as_json:
            print_json({"name": os.uname().nodename, "up": False})
        else:
            print_line("The server of this host is not up. Start it with: rh server start")
        raise typer.Exit(Exit.NOT_UP)


@app.command(epilog="\b\nExample:\n  rh server stop")
def stop(as_json: JsonOption = False) -> None:
    """Stop the server and its workers."""
    with told(as_json=as_json):
        stopped = stop_server(_paths())
        if as_json:
            print_json({"name": os.uname().nodename, "stopped": stopped})
        else:
            print_line("The server was stopped." if stopped else "The server was not running.")
