"""The command that looks at everything a call needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from runhouse.cli.clusters import cluster_names, find_up
from runhouse.cli.output import Exit, JsonOption, print_json, print_line
from runhouse.clusters.checkup import Check, check_client, check_cluster
from runhouse.errors import RunhouseError

if TYPE_CHECKING:
    from collections.abc import Iterator


def doctor(
    cluster: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLUSTER]",
            help="A cluster to look at too: saved, user@host, or local.",
            autocompletion=cluster_names,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what calls need, here and on a cluster; say what to do.

    Looks at this machine and, with CLUSTER, at its head: login, Python, disk, server. Starts and
    changes nothing. Ends with code 1 when something must be mended first.
    """
    report(_checks(cluster), as_json=as_json)


def report(given: Iterator[Check], *, as_json: bool) -> None:
    """Print what is found while it is found, and end with code 1 when something must be mended."""
    checks = []
    for check in given:
        checks.append(check)
        if not as_json:
            print_line(f"{check.state:8} {check.name:15} {check.found}")
            if check.advice:
                print_line(f"{'':24} -> {check.advice}")
    failed = any(check.state == "failed" for check in checks)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    if failed:
        raise typer.Exit(Exit.FAILED)


def _checks(name: str | None) -> Iterator[Check]:
    yield from check_client()
    if name is None:
        return
    try:
        cluster = find_up(name)
    except (RunhouseError, ImportError, ValueError) as error:
        yield Check("cluster", "failed", str(error))
        return
    yield from check_cluster(cluster)
