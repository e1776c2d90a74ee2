"""Commands about envs: what is on a host, what is in one, and what can go."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from runhouse.cli.clusters import ClusterArgument, find_up
from runhouse.cli.output import (
    JsonOption,
    confirm,
    counted,
    print_json,
    print_line,
    print_table,
    span,
    told,
)
from runhouse.clusters.local import LOCAL_NAME
from runhouse.errors import ObjectNotFoundError

if TYPE_CHECKING:
    from runhouse.clusters.env_status import EnvStatus

_DAYS = 30.0

app = typer.Typer(
    help="List, show and remove envs.\n\nThey are the packages and Pythons that code runs in.",
    no_args_is_help=True,
)


@app.command("list", epilog="\b\nExample:\n  rh env list box\n  rh env list box --json")
def list_envs(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """List the envs of a cluster, with what they take on its disk."""
    with told(as_json=as_json, name=cluster):
        found = find_up(cluster).envs()
        if as_json:
            print_json([asdict(env) for env in found])
            return
        if not found:
            print_line(f"There are no envs on {cluster}.")
            return
        now = time.time()
        rows = [
            (
                ", ".join(env.names) or "-",
                env.digest[:10],
                env.python_version,
                str(len(env.packages)),
                decimal(env.size_bytes),
                f"{span(now - env.used_at)} ago",
                str(len(env.pids)) if env.in_use else "-",
            )
            for env in found
        ]
        print_table(("NAMES", "ENV", "PYTHON", "PACKAGES", "SIZE", "USED", "WORKERS"), rows)


@app.command(epilog="\b\nExample:\n  rh env show box train")
def show(
    cluster: ClusterArgument,
    env: Annotated[str, typer.Argument(metavar="ENV", help="Its name, or how its digest begins.")],
    as_json: JsonOption = False,
) -> None:
    """Show what is in an env: its packages, commands and the names of its variables."""
    with told(as_json=as_json, name=cluster, env=env):
        found = _find(find_up(cluster).envs(), env, cluster)
        if as_json:
            print_json(asdict(found))
            return
        print_line(f"{', '.join(found.names) or 'no name'}: {found.prefix}")
        print_line(f"Python {found.python_version}, {decimal(found.size_bytes)}")
        for title, lines in (
            ("Packages", found.packages),
            ("Commands", found.commands),
            ("Variables", found.variables),
        ):
            if lines:
                print_line(f"{title}:")
                for line in lines:
                    print_line(f"  {line}")


def _find(envs: list[EnvStatus], name: str, cluster: str) -> EnvStatus:
    """Return the env with a name or digest.

    Raises:
        ObjectNotFoundError: There is none.
    """
    for env in envs:
        if name in env.names or env.digest.startswith(name):
            return env
    msg = f"There is no env {name!r} on {cluster}. Look at `rh env list {cluster}`."
    raise ObjectNotFoundError(msg, key=name)


@app.command(epilog="\b\nExample:\n  rh env prune box --days 7\n  rh env prune box --dry-run")
def prune(
    cluster: ClusterArgument = LOCAL_NAME,
    days: Annotated[
        float, typer.Option(metavar="N", min=0.0, help="Those not used for so many days.")
    ] = _DAYS,
    cache: Annotated[
        bool, typer.Option("--cache", help="Remove downloads too, from which envs are made.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Remove nothing; show what would be.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove envs that were not used for some days; none in which a worker runs.

    One that is still wanted is made again with its next use.
    """
    with told(as_json=as_json, name=cluster):
        found = find_up(cluster)
        if not dry_run:
            would = found.prune_envs(days, cache=cache, dry_run=True)
            question = (
                f"Remove {counted(len(would['removed']), 'env')} ({decimal(would['freed_bytes'])})?"
            )
            confirm(question, "Nothing was removed.", yes=yes, as_json=as_json)
        done = found.prune_envs(days, cache=cache, dry_run=dry_run)
        if as_json:
            print_json(done)
            return
        verb = "would be removed" if dry_run else "removed"
        print_line(
            f"{counted(len(done['removed']), 'env')} {verb}, {decimal(done['freed_bytes'])} freed."
        )
