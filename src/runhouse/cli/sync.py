"""The command that copies a project to a cluster, or shows what would be copied."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from runhouse.cli.clusters import cluster_names, find_up
from runhouse.cli.output import JsonOption, counted, print_json, print_line, print_table, told
from runhouse.clusters.projects import project_of_directory
from runhouse.ssh.project import Listing, list_project
from runhouse.ssh.project_size import LeftOut, left_out

if TYPE_CHECKING:
    from runhouse.bootstrap.host import Placed


def sync(
    cluster: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLUSTER]",
            help="Where to copy it; with --dry-run it may be left out.",
            autocompletion=cluster_names,
        ),
    ] = None,
    path: Annotated[
        Path, typer.Option(metavar="DIR", help="A directory of the project.", exists=True)
    ] = Path(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Copy nothing; show what is sent and what stays here.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy the project of a directory to a cluster, as a call does.

    The project is the nearest directory with .git or pyproject.toml, else the directory itself.
    What git ignores, and what .rhignore files name, stays here.
    """
    if cluster is None and not dry_run:
        msg = "Say to which CLUSTER, or add --dry-run to see what would be copied."
        raise typer.BadParameter(msg, param_hint="CLUSTER")
    with told(as_json=as_json, name=cluster):
        root = project_of_directory(path)
        host = None if cluster is None else find_up(cluster).host_of()
        placed = None if host is None else host.place(root, dry_run=dry_run)
        listing = list_project(root) if placed is None else placed.listing
        stays = left_out(listing) if dry_run else ()
        if as_json:
            print_json(_as_json(listing, stays, placed, cluster))
            return
        verb = "would be sent" if dry_run else "are there"
        print_line(
            f"{root}: {counted(len(listing.files), 'file')}, {decimal(listing.size_bytes)}, {verb}"
        )
        _show("Largest folders", listing.largest_folders())
        _show("Left out", [(each.path, each.size_bytes) for each in stays])
        if placed is not None:
            print_line(_done(placed, str(cluster), dry_run=dry_run))


def _show(title: str, rows: Any) -> None:
    if rows:
        print_table((title, "SIZE"), [(path, decimal(size)) for path, size in rows])


def _done(placed: Placed, cluster: str, *, dry_run: bool) -> str:
    """Say what was copied, or would be."""
    report = placed.report
    if report is None:
        return f"{cluster}: its code runs where it is, nothing is copied."
    verb = "to copy" if dry_run else "copied"
    return (
        f"{cluster}: {counted(report.files, 'file')} {verb} ({decimal(report.size_bytes)}), "
        f"{report.deleted} deleted, in {placed.directory}"
    )


def _as_json(
    listing: Listing, stays: tuple[LeftOut, ...], placed: Placed | None, cluster: str | None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "project": str(listing.root),
        "files": len(listing.files),
        "size_bytes": listing.size_bytes,
        "largest_folders": [
            {"path": path, "size_bytes": size} for path, size in listing.largest_folders()
        ],
        "left_out": [asdict(each) for each in stays],
    }
    if placed is not None:
        report = asdict(placed.report) if placed.report is not None else None
        found |= {"cluster": cluster, "directory": placed.directory, "report": report}
    return found
