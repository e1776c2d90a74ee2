"""The application: one table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from runhouse.cli import clusters, server
from runhouse.cli.output import print_line
from runhouse.version import __version__

app = typer.Typer(
    name="runhouse",
    help="Run your Python on any machine you can reach.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("list")(clusters.list_clusters)
app.command()(clusters.status)
app.command()(clusters.up)
app.command()(clusters.ssh)
app.command()(clusters.run)
app.command()(clusters.logs)
app.command()(clusters.stop)
app.command()(clusters.forget)
app.add_typer(server.app, name="server")


def _version(wanted: bool) -> None:
    if wanted:
        print_line(f"runhouse {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run your Python on any machine you can reach."""
    del version


def main() -> None:
    """Run the command line."""
    app()
