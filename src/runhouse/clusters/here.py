"""The cluster that this code runs on."""

from __future__ import annotations

from runhouse.clusters.local import LOCAL_NAME, LocalCluster

here = LocalCluster(LOCAL_NAME)
"""In a worker: the cluster that the worker belongs to. Elsewhere: the embedded cluster of this
machine, started on first use."""
