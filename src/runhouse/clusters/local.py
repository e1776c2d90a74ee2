"""This machine as a cluster: the same server and workers, without SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from runhouse import settings
from runhouse.bootstrap.local_host import LocalHost
from runhouse.clusters.cluster import Cluster
from runhouse.registry.names import check_name

if TYPE_CHECKING:
    from runhouse.bootstrap.host import Host
    from runhouse.clusters.env_use import EnvLike
    from runhouse.registry.record import Record

LOCAL_NAME = "local"


class LocalCluster(Cluster):
    """Be the embedded cluster of this machine.

    Its server starts with the first use, and ends when nobody was connected for `RH_LOCAL_IDLE_S`
    (10 minutes) or by `stop()`. In a worker, it is the cluster that the worker belongs to.
    """

    kind: ClassVar[str] = "local"

    def __init__(self, name: str, *, env: EnvLike = None, python: str | None = None) -> None:
        """Store the definition; use `runhouse.cluster` or `runhouse.here` instead."""
        super().__init__(name if name == LOCAL_NAME else check_name(name), env=env, python=python)

    def _make_host(self, node: int) -> Host:
        del node
        return LocalHost(settings.load(), self._python or "")

    def _is_own_server(self, server_id: str) -> bool:
        """Tell that it is: in a worker, this cluster is the one that the worker belongs to."""
        del server_id
        return True

    @classmethod
    def from_record(cls, record: Record) -> LocalCluster:
        """Make the cluster from its record."""
        return cls(record.name, **record.take("env", "python"))

    def on_this_cluster(self) -> bool:
        """Tell whether this code runs here: it does, wherever `here` is."""
        return True
