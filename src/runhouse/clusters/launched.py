"""What kinds of cluster have in common whose machines are launched, and cost.

Such a kind overrides `seen()`, `tell()` and `teardown()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runhouse.clusters.cluster import Cluster

if TYPE_CHECKING:
    from runhouse.clusters.cloud import Machines
    from runhouse.clusters.status import ClusterStatus


class LaunchedCluster(Cluster):
    """Be machines that somebody launches, and that go again."""

    @property
    def described(self) -> str:
        """Return the machines that are wanted, as people say it."""
        return ""

    def seen(self, *, refresh: bool) -> Machines | None:
        """Return what is known about the machines, or None when there are none.

        Args:
            refresh: Ask the cloud; False believes what is known here, if anything is.
        """
        msg = f"{type(self).__name__} must override seen()."
        raise TypeError(msg)

    def tell(self, *, refresh: bool = True) -> ClusterStatus:
        """Return what runs on the cluster and what it costs; launches nothing.

        Args:
            refresh: Ask the cloud whether the machines are there.
        """
        msg = f"{type(self).__name__} must override tell()."
        raise TypeError(msg)

    def teardown(self) -> None:
        """Remove the machines with all that is on them; safe to repeat. The definition is kept."""
        msg = f"{type(self).__name__} must override teardown()."
        raise TypeError(msg)

    def teardown_and_delete(self) -> None:
        """Remove the machines, and forget the saved definition; see `teardown`."""
        self.teardown()
        self.delete_configs()
