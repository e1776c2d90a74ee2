"""Commands about the server of this very machine."""

from __future__ import annotations

import typer

from runhouse.cli import clusters
from runhouse.cli.output import JsonOption
from runhouse.clusters.local import LOCAL_NAME

app = typer.Typer(help="Start, ask and stop the server of this machine.", no_args_is_help=True)


@app.command()
def start(as_json: JsonOption = False) -> None:
    """Start the server of this machine unless it runs."""
    clusters.up(LOCAL_NAME, as_json)


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show whether the server runs, and what runs in it; exit code 3 when it does not."""
    clusters.status(LOCAL_NAME, as_json)


@app.command()
def stop(as_json: JsonOption = False) -> None:
    """Stop the server of this machine with all its workers."""
    clusters.stop(LOCAL_NAME, as_json)
