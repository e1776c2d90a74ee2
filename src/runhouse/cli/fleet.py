"""The clusters that this user knows, for the dashboard: how they stand, and how to reach them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from runhouse.cli.clusters import find
from runhouse.clusters.here import here
from runhouse.clusters.launched import LaunchedCluster
from runhouse.clusters.local import LocalCluster
from runhouse.clusters.on_demand import OnDemandCluster
from runhouse.clusters.saved import Seen, overview
from runhouse.errors import RunhouseError

if TYPE_CHECKING:
    from runhouse.clusters.cluster import Cluster

# How long an answer is good for: some of them come from clouds, or from hosts far away.
_FRESH_S = 20.0


class Fleet:
    """Look at saved clusters, and do to them what their servers cannot do themselves.

    All methods block; they may be called from several threads.
    """

    def __init__(self, first: str) -> None:
        """Store which cluster is looked at first; it need not be saved."""
        self.first = first
        self._lock = threading.Lock()
        self._clusters: dict[str, Cluster] = {}
        self._looked_at = 0.0
        self._entries: list[dict[str, Any]] = []

    def cluster(self, name: str) -> Cluster:
        """Return a cluster, the same one each time: connections are made once.

        Raises:
            RunhouseError: There is none of the name, or its machines are not up.
        """
        known = self._clusters.get(name)
        return known if known is not None else self._clusters.setdefault(name, find(name))

    def reach(self, name: str) -> tuple[str, str]:
        """Return the path of a Unix socket that leads to a cluster's HTTP API, and the token.

        Starts nothing on other machines.

        Raises:
            RunhouseError: It cannot be reached, or is not up.
        """
        cluster = self.cluster(name)
        if isinstance(cluster, LaunchedCluster):
            cluster.ssh_creds()  # which says so when its machines are not up
        if isinstance(cluster, LocalCluster):
            cluster.up()
        else:
            cluster.check_server(restart_server=False)
        endpoint = cluster.client.endpoint
        return endpoint.http_path(), endpoint.token

    def stop(self, name: str) -> bool:
        """Stop a cluster; return whether it was running."""
        try:
            return self.cluster(name).stop()
        finally:
            self._looked_at = 0.0

    def keep_warm(self, name: str, autostop_mins: int) -> None:
        """Say after how many idle minutes machines go; -1: never."""
        try:
            kept = self.cluster(name).keep_warm(autostop_mins)
            if name in type(kept).list():
                kept.save()
        finally:
            self._looked_at = 0.0

    def names(self) -> list[str]:
        """Return the names of all clusters, without asking any of them."""
        saved = [each.name for each in overview(ask_skypilot=False) if each.error is None]
        return list(dict.fromkeys([self.first, here.name, *saved]))

    def entries(self) -> list[dict[str, Any]]:
        """Return how each cluster stands, as JSON objects; none is connected for that."""
        with self._lock:
            if time.monotonic() - self._looked_at > _FRESH_S:
                self._entries = [self._entry(each) for each in self._seen()]
                self._looked_at = time.monotonic()
            return self._entries

    def _seen(self) -> list[Seen]:
        saved = overview(ask_skypilot=False)
        if any(isinstance(each.cluster, LaunchedCluster) for each in saved):
            try:
                saved = overview(ask_skypilot=True)
            except (RunhouseError, ImportError) as error:
                saved = [_not_known(each, error) for each in saved]
        seen = [Seen(here.name, here), *saved]
        if self.first not in {each.name for each in seen}:
            seen.insert(0, Seen(self.first, self.cluster(self.first)))
        return seen

    def _entry(self, seen: Seen) -> dict[str, Any]:
        cluster, machines = seen.cluster, seen.machines
        launched = isinstance(cluster, LaunchedCluster) or cluster is None
        entry = {
            "name": seen.name,
            "kind": OnDemandCluster.kind if cluster is None else cluster.kind,
            "launched": launched,
            "state": "down" if launched else "unknown",
            "price_per_hour": None,
            "hosts": "",
            "autostop": None,
            "autostop_mins": None,
            "error": "",
        }
        if seen.error is not None:
            return entry | {"state": "unusable", "error": str(seen.error), "launched": False}
        if machines is not None:
            entry |= {"state": machines.state, "price_per_hour": machines.price_per_hour}
            entry["autostop_mins"] = machines.autostop_mins
            entry["hosts"] = machines.resources
        elif isinstance(cluster, LaunchedCluster):
            entry["hosts"] = cluster.described
        elif cluster is not None:
            entry["hosts"] = ", ".join(cluster.ips)
        return entry | self._asked(seen.name, launched=launched)

    def _asked(self, name: str, *, launched: bool) -> dict[str, Any]:
        """Return what a cluster itself tells, if that needs no new connection."""
        cluster = here if name == here.name else self._clusters.get(name)
        if cluster is None or not (cluster is here or cluster.is_connected()):
            return {}
        if not cluster.is_up():
            return {} if launched else {"state": "down"}
        try:
            return {"state": "up", "autostop": cluster.client.get("/autostop")}
        except RunhouseError:
            return {"state": "up"}


def _not_known(seen: Seen, error: Exception) -> Seen:
    """Return what is known about a cluster when the clouds cannot be asked."""
    if not isinstance(seen.cluster, LaunchedCluster):
        return seen
    failed = error if isinstance(error, RunhouseError) else RunhouseError(str(error))
    return Seen(seen.name, seen.cluster, error=failed)
