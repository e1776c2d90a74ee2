"""The cluster that this code runs on, and those that are called by name."""

from __future__ import annotations

from runhouse.clusters.cluster import Cluster
from runhouse.clusters.local import LOCAL_NAME, LocalCluster

here = LocalCluster(LOCAL_NAME)
"""In a worker: the cluster that the worker belongs to. Elsewhere: the embedded cluster of this
machine, started on first use."""


def find_cluster(given: Cluster | str) -> Cluster:
    """Return a cluster, or load the one of a name.

    Raises:
        TypeError: It is neither.
        ClusterNotFoundError: No cluster is saved under the name.
    """
    if isinstance(given, Cluster):
        return given
    if isinstance(given, str):
        return here if given in ("here", LOCAL_NAME) else Cluster.from_name(given)
    msg = (
        f"{given!r} is not a cluster. It is of type {type(given).__name__}. "
        "Pass what runhouse.cluster() returned, or the name of a saved cluster."
    )
    raise TypeError(msg)
