"""What kinds of cluster have in common whose machines are launched, and cost.

Such a kind has `wanted`, which says as a text what machines these are, and overrides `seen()` and
`teardown()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runhouse.clusters.cluster import Cluster

if TYPE_CHECKING:
    from runhouse.clusters.cloud import Machines
    from runhouse.clusters.status import ClusterStatus


class LaunchedCluster(Cluster):
    """Be machines that somebody launches, and that go again."""

    wanted: object

    @property
    def described(self) -> str:
        """Return the machines that are wanted, as people say it."""
        return str(self.wanted)

    def seen(self, *, refresh: bool) -> Machines | None:
        """Return what is known about the machines, or None when there are none.

        :meta private:

        Args:
            refresh: Ask the cloud; False believes what is known here, if anything is.
        """
        raise NotImplementedError

    def tell(self) -> ClusterStatus:
        """Return what runs on the cluster and what it costs; launches nothing.

        :meta private:
        """
        return self.status()

    def teardown(self) -> None:
        """Remove the machines with all that is on them; safe to repeat. The definition is kept.

        Raises:
            LaunchError: They could not be removed, and may still cost.

        Example:
            >>> import runhouse as rh
            >>> rh.ondemand_cluster("gpu").teardown()  # doctest: +SKIP
        """
        raise NotImplementedError

    def teardown_and_delete(self) -> None:
        """Remove the machines, and forget the saved definition; see `teardown`.

        Raises:
            LaunchError: They could not be removed, and may still cost.

        Example:
            >>> import runhouse as rh
            >>> rh.ondemand_cluster("gpu").teardown_and_delete()  # doctest: +SKIP
        """
        self.teardown()
        self.delete_configs()
