"""The application: one table of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from runhouse.cli import (
    calls,
    clusters,
    dashboard,
    doctor,
    envs,
    files,
    machines,
    notebooks,
    objects,
    runs,
    sagemaker,
    secrets,
    server,
    sync,
)
from runhouse.cli.output import print_line, use_plain_streams
from runhouse.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

# A line of its own with a backspace keeps the lines that follow as they are.
_EXIT_CODES = """\b
Exit codes:
  0  done
  1  failed
  2  wrong use: an unknown command, option or value
  3  the cluster is not up
  4  there is no such cluster, run, object or method
  5  its host is out of reach, or lets nobody in
  6  runhouse cannot start there
  130  interrupted by Ctrl-C
  `rh run` and `rh ssh` end with the code of what they ran, and with 255 when
  that did not run to its end.
"""

_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("list", clusters.list_clusters, ("rh list", "rh list --all --json")),
    ("status", clusters.status, ("rh status box", "rh status ada@gpu-box --json")),
    (
        "up",
        machines.up,
        ("rh up box", "rh up gpu --instance-type A100:1 --provider cheapest --autostop-mins 30"),
    ),
    ("ssh", clusters.ssh, ("rh ssh box",)),
    ("run", clusters.run, ("rh run box -- nvidia-smi -L", "rh run box -- 'cd data && ls | wc -l'")),
    ("notebook", notebooks.notebook, ("rh notebook box", "rh notebook box --env train --sync .")),
    ("ipython", notebooks.ipython, ("rh ipython box",)),
    ("sync", sync.sync, ("rh sync --dry-run", "rh sync box --path ~/project")),
    (
        "cp",
        files.cp,
        ("rh cp data/ box:data", "rh cp one:results two:", "rh cp box:model.pt s3://models/"),
    ),
    ("mount", files.mount, ("rh mount box:data ~/box-data",)),
    (
        "call",
        calls.call,
        ("rh call box model.train --epochs 3", "rh call local add --arg 1 --arg 2 --json"),
    ),
    ("runs", runs.list_runs, ("rh runs box --all",)),
    ("logs", runs.logs, ("rh logs nightly -f -c box", "rh logs box")),
    ("dashboard", dashboard.dashboard, ("rh dashboard box", "rh dashboard gpu --port 8265")),
    ("result", runs.result, ("rh result nightly -c box --wait",)),
    ("cancel", runs.cancel, ("rh cancel nightly -c box", "rh cancel --all --force")),
    ("keys", objects.keys, ("rh keys box --env gpu",)),
    ("get", objects.get, ("rh get box model", "rh get box model -o model.pkl")),
    (
        "put",
        objects.put,
        ("rh put box limits '{\"steps\": 10}'", "rh put box model -f model.pkl --pickle"),
    ),
    ("rename", objects.rename, ("rh rename box model best-model",)),
    ("delete", objects.delete, ("rh delete box model limits",)),
    ("stop", machines.stop, ("rh stop gpu",)),
    ("start", machines.start, ("rh start gpu",)),
    ("down", machines.down, ("rh down gpu", "rh down gpu test --forget --yes")),
    ("keep-warm", machines.keep_warm, ("rh keep-warm gpu", "rh keep-warm gpu --mins 120")),
    ("cost", machines.cost, ("rh cost --days 7",)),
    ("forget", clusters.forget, ("rh forget box --yes",)),
    ("doctor", doctor.doctor, ("rh doctor", "rh doctor box --json")),
)

# The arguments of a function look like options.
_SETTINGS: dict[str, dict[str, Any]] = {"call": {"ignore_unknown_options": True}}

app = typer.Typer(
    name="runhouse",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _name, _function, _examples in _COMMANDS:
    _epilog = "\n".join(["\b", "Example:", *(f"  {example}" for example in _examples)])
    app.command(_name, epilog=_epilog, context_settings=_SETTINGS.get(_name))(_function)
app.add_typer(secrets.app, name="secrets")
app.add_typer(notebooks.app, name="kernel")
app.add_typer(envs.app, name="env")
app.add_typer(server.app, name="server")
app.add_typer(sagemaker.app, name="sagemaker")


def _version(wanted: bool) -> None:
    if wanted:
        print_line(f"runhouse {__version__}")
        raise typer.Exit


@app.callback(epilog=_EXIT_CODES)
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run your Python on any machine you can reach."""
    del version


def main() -> None:
    """Run the command line."""
    use_plain_streams()
    app()
