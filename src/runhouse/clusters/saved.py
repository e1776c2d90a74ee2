"""What is saved, beside what clouds have: all clusters at a glance, and new definitions."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runhouse.clusters import launching
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.on_demand import OnDemandCluster
from runhouse.clusters.sagemaker import SageMakerCluster
from runhouse.errors import ClusterNotFoundError, InvalidNameError, LaunchError, RunhouseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runhouse.clusters.cloud import Machines

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what is known about a cluster without connecting to it.

    Attributes:
        name: Its name.
        cluster: The saved cluster; None when nothing is saved, or nothing that can be used.
        machines: What its cloud says of it; None when there is nothing, or it was not asked.
        error: Why what is saved cannot be used.
    """

    name: str
    cluster: Cluster | None = None
    machines: Machines | None = None
    error: RunhouseError | None = None


def overview(*, ask_skypilot: bool) -> list[Seen]:
    """Return the saved clusters by name, and then those that only SkyPilot knows.

    Args:
        ask_skypilot: Ask SkyPilot what it saw last, which does not ask the clouds for this; and
            SageMaker about the clusters that are saved.

    Raises:
        LaunchError: SkyPilot does not answer.
        ImportError: SkyPilot is to be asked about a cluster of its own, and is not installed.
    """
    seen = [_seen(name) for name in Cluster.list()]
    launched: dict[str, Machines] = {}
    if ask_skypilot:
        launched = _launched_by_skypilot([each.cluster for each in seen])
        seen = [_asked(each, launched) for each in seen]
    strangers = sorted(launched.keys() - {each.name for each in seen if each.machines})
    return seen + [Seen(name, machines=launched[name]) for name in strangers]


def _seen(name: str) -> Seen:
    try:
        return Seen(name, Cluster.from_name(name))
    except RunhouseError as error:  # the others are still to be seen
        return Seen(name, error=error)


def _launched_by_skypilot(saved: Sequence[Cluster | None]) -> dict[str, Machines]:
    try:
        found: list[Machines] = launching.skypilot().find_all()
    except ImportError:
        if any(isinstance(each, OnDemandCluster) for each in saved):
            raise
        found = []
    return {machines.name: machines for machines in found}


def _asked(seen: Seen, launched: Mapping[str, Machines]) -> Seen:
    """Return the same with what its cloud says."""
    cluster = seen.cluster
    if isinstance(cluster, SageMakerCluster):
        try:
            return replace(seen, machines=cluster.seen(refresh=True))
        except (LaunchError, ImportError) as error:
            log.warning("SageMaker cannot be asked about %s: %s", seen.name, error)
            return seen
    if cluster is not None and not isinstance(cluster, OnDemandCluster):
        return seen
    return replace(seen, machines=launched.get(seen.name))


def save_new(made: OnDemandCluster) -> OnDemandCluster | None:
    """Save a definition, unless its name stands for something else that is in use.

    Args:
        made: The definition; safe to repeat.

    Returns:
        The definition that it has replaced, or None.

    Raises:
        InvalidNameError: A cluster of another kind is saved under the name, or there are machines
            that were launched by another definition.
        RecordError: What is saved under the name cannot be read.
    """
    try:
        saved = Cluster.from_name(made.name)
    except ClusterNotFoundError:
        saved = None
    if saved == made:
        return None
    if saved is not None and not isinstance(saved, OnDemandCluster):
        msg = (
            f"The name {made.name!r} is taken. The saved cluster of this name is of kind "
            f"{saved.kind}. Choose another name, or forget it with `rh forget {made.name}`."
        )
        raise InvalidNameError(msg)
    machines = _launched(made.name)
    if machines is not None:
        msg = (
            f"The name {made.name!r} is taken. It has machines that were launched otherwise: "
            f"{machines.described} ({machines.state}). Use these with `rh up {made.name}` and no "
            f"options, remove them with `rh down {made.name}`, or choose another name."
        )
        raise InvalidNameError(msg)
    made.save()
    return saved


def _launched(name: str) -> Machines | None:
    """Return what SkyPilot has under a name; what is not installed has nothing."""
    try:
        return launching.find(name, refresh=False)
    except ImportError:
        return None
