"""What is saved, beside what SkyPilot has: all clusters at a glance, and new definitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runhouse.clusters import launching
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.on_demand import OnDemandCluster
from runhouse.errors import ClusterNotFoundError, InvalidNameError, RunhouseError

if TYPE_CHECKING:
    from runhouse.clusters.cloud import Machines


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what is known about a cluster without connecting to it.

    Attributes:
        name: Its name.
        cluster: The saved cluster; None when nothing is saved, or nothing that can be used.
        machines: What SkyPilot saw of it last; None when there is nothing, or it was not asked.
        error: Why what is saved cannot be used.
    """

    name: str
    cluster: Cluster | None = None
    machines: Machines | None = None
    error: RunhouseError | None = None


def overview(*, ask_skypilot: bool) -> list[Seen]:
    """Return the saved clusters by name, and then those that only SkyPilot knows.

    Args:
        ask_skypilot: Ask SkyPilot what it saw last; it does not ask the clouds for this.

    Raises:
        LaunchError: SkyPilot does not answer.
        ImportError: SkyPilot is to be asked, and is not installed.
    """
    launched: dict[str, Machines] = {}
    if ask_skypilot:
        launched = {machines.name: machines for machines in launching.skypilot().find_all()}
    seen = [_seen(name, launched) for name in Cluster.list()]
    strangers = sorted(launched.keys() - {each.name for each in seen if each.machines})
    return seen + [Seen(name, machines=launched[name]) for name in strangers]


def _seen(name: str, launched: dict[str, Machines]) -> Seen:
    try:
        cluster = Cluster.from_name(name)
    except RunhouseError as error:  # the others are still to be seen
        return Seen(name, machines=launched.get(name), error=error)
    is_launched = isinstance(cluster, OnDemandCluster)
    return Seen(name, cluster, launched.get(name) if is_launched else None)


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
