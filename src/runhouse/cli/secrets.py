"""Commands about secrets: what is here, what is on a cluster."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from runhouse.cli.clusters import ClusterArgument, cluster_names, find_up
from runhouse.cli.output import JsonOption, confirm, print_json, print_line, print_table, told
from runhouse.registry import credentials
from runhouse.specs.providers import PROVIDERS
from runhouse.specs.secret import Secret, is_found, secret, sendable

if TYPE_CHECKING:
    from runhouse.specs.secret import SentSecret

app = typer.Typer(no_args_is_help=True, help="Secrets: found here, sent to clusters.")


def _names(incomplete: str) -> list[str]:
    names = [*PROVIDERS, *credentials.value_names()]
    return [name for name in names if name.startswith(incomplete)]


NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Providers or saved secrets.", autocompletion=_names),
]
EnvOption = Annotated[
    str | None,
    typer.Option("--env", metavar="ENV", help="Only into the variables of this env's workers."),
]


@app.command("list", epilog="\b\nExample:\n  rh secrets list\n  rh secrets list box --json")
def list_secrets(
    cluster: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLUSTER]",
            help="Whose secrets to list; left out: those of this machine.",
            autocompletion=cluster_names,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the secrets that are found here, or that were sent to a cluster; never a value."""
    with told(as_json=as_json, name=cluster):
        if cluster is not None:
            _show(find_up(cluster).secrets(), as_json=as_json)
            return
        only_named = [name for name, provider in PROVIDERS.items() if provider.only_named]
        found = [*sendable(), *(made for made in map(Secret, only_named) if is_found(made))]
        rows = [
            {
                "name": each.name,
                "places": list(each.places()),
                "sent_by_default": each.name not in only_named,
            }
            for each in found
        ]
        if as_json:
            print_json(rows)
            return
        print_table(
            ("NAME", "FOUND IN"),
            [(each.name, ", ".join(each.places())) for each in found],
        )
        known = sorted({*PROVIDERS} - {each.name for each in found})
        print_line(f"Not found here: {', '.join(known)}")


@app.command(
    "send",
    epilog="\b\nExample:\n  rh secrets send box\n  rh secrets send box aws wandb --env train",
)
def send(
    cluster: ClusterArgument,
    names: NamesArgument = None,
    env: EnvOption = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Put them in place of others there, which come back with rm."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send secrets to a cluster: those that are named, else all that are found here."""
    with told(as_json=as_json, name=cluster):
        target = find_up(cluster)
        if names and overwrite:
            sent = [secret(name).to(target, env=env, overwrite=True) for name in names]
        elif overwrite:
            msg = "--overwrite needs the names of the secrets. Name them."
            raise ValueError(msg)
        else:
            sent = target.sync_secrets(names or None, env=env)
        _show(sent, as_json=as_json)


@app.command("rm", epilog="\b\nExample:\n  rh secrets rm box aws\n  rh secrets rm box --all --yes")
def rm(
    cluster: ClusterArgument,
    names: NamesArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were sent there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove secrets from a cluster; what was there before comes back."""
    with told(as_json=as_json, name=cluster):
        if bool(names) == everything:
            msg = "Say which secrets are to be removed: their names, or --all."
            raise ValueError(msg)
        target = find_up(cluster)
        if everything:
            confirm(
                f"Remove all secrets that were sent to {cluster}?",
                f"The secrets of {cluster} were not removed.",
                yes=yes,
                as_json=as_json,
            )
        _show(target.remove_secrets(names or None), as_json=as_json)


def _show(secrets: list[SentSecret], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(each) for each in secrets])
        return
    rows = [(each.name, each.state, ", ".join(each.places)) for each in secrets]
    print_table(("NAME", "STATE", "PLACES"), rows)
