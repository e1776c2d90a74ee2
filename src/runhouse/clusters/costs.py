"""What clusters that were launched have cost, whoever has launched them."""

from __future__ import annotations

from typing import Any

from runhouse.clusters import launching
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.sagemaker import SageMakerCluster
from runhouse.errors import RunhouseError


def all_costs(days: int) -> list[dict[str, Any]]:
    """Return what each cluster has cost: name, seconds, machines, US dollars, state.

    Args:
        days: Count what was used in so many days.

    Raises:
        LaunchError: SkyPilot or SageMaker does not answer.
        ImportError: Nothing is installed that could know of costs.
    """
    jobs = [cost for each in _saved_jobs() for cost in each.costs(days)]
    try:
        return [*launching.skypilot().costs(days), *jobs]
    except ImportError:
        if not jobs:
            raise
        return jobs


def _saved_jobs() -> list[SageMakerCluster]:
    """Return the saved clusters of SageMaker; what cannot be read has none that could be found."""
    found = []
    for name in Cluster.list():
        try:
            cluster = Cluster.from_name(name)
        except RunhouseError:
            continue
        if isinstance(cluster, SageMakerCluster):
            found.append(cluster)
    return found
