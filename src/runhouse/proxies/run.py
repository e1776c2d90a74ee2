"""Runs that somebody has started, from any process or machine that reaches their cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runhouse.clusters.here import find_cluster

if TYPE_CHECKING:
    from runhouse.client.run import Run
    from runhouse.clusters.cluster import Cluster


def attach(key: str, cluster: Cluster | str) -> Run:
    """Return the handle of a run that was started elsewhere.

    Args:
        key: The name of the run (the newest one of that name), or its id.
        cluster: The cluster that it runs on, or the name of a saved one.

    Raises:
        RunNotFoundError: The cluster knows no such run.
        ClusterNotFoundError: No cluster is saved under the name.
        ConnectError: The cluster cannot be reached.

    Example:
        >>> import math
        >>> import runhouse as rh
        >>> started = rh.function(math.factorial).to(rh.here).run(5)
        >>> rh.run.attach(started.key, rh.here).result()
        120
    """
    return find_cluster(cluster).get_run(key)
