"""Commands about SageMaker."""

from __future__ import annotations

from typing import Annotated

import typer

from runhouse.cli.clusters import cluster_names
from runhouse.cli.doctor import report
from runhouse.cli.output import JsonOption, told
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.factory import sagemaker_cluster
from runhouse.clusters.readiness import examine
from runhouse.clusters.sagemaker import SageMakerCluster

app = typer.Typer(
    help="Look at what SageMaker clusters need.\n\nThey are used as all others: rh up, ssh, ...",
    no_args_is_help=True,
)


@app.callback()
def _commands() -> None:
    """Make `doctor` a command of its own, as others may follow."""


@app.command(
    epilog="\b\nExample:\n  rh sagemaker doctor --profile sagemaker\n  rh sagemaker doctor sm"
)
def doctor(
    cluster: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLUSTER]",
            help="A saved SageMaker cluster, whose profile and role are meant.",
            autocompletion=cluster_names,
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Profile of ~/.aws/config.")
    ] = None,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="Name or ARN.")] = None,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="AWS's region.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what SageMaker clusters need, one line each; changes nothing.

    Ends with code 1 when something must be mended first. Warnings are about what works without, or
    could not be looked at.
    """
    with told(as_json=as_json):
        meant = _meant(cluster, profile, role, region)
        report(examine(meant.wanted), as_json=as_json)


def _meant(
    name: str | None, profile: str | None, role: str | None, region: str | None
) -> SageMakerCluster:
    """Return the cluster whose needs are meant."""
    given = {"profile": profile, "role": role, "region": region}
    chosen = {key: value for key, value in given.items() if value is not None}
    if name is None:
        return sagemaker_cluster("doctor", **chosen)  # type: ignore[arg-type]
    found = Cluster.from_name(name)
    if isinstance(found, SageMakerCluster):
        found.wanted = found.wanted.changed(**chosen)
        return found
    msg = (
        f"{name} cannot be looked at. It is not of SageMaker, but of kind {found.kind}. "
        f"Try `rh doctor {name}`."
    )
    raise ValueError(msg)
