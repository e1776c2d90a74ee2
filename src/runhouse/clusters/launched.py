"""What kinds of cluster have in common whose machines are launched, and cost.

Such a kind has `wanted`, which says as a text what machines these are, and overrides the abstract
methods.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from runhouse.bootstrap.ssh_host import SshHost
from runhouse.clusters.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.clusters.cloud import Machines
    from runhouse.clusters.status import ClusterStatus


class LaunchedCluster(Cluster, ABC):
    """Be machines that somebody launches, and that go again."""

    wanted: object

    @property
    def described(self) -> str:
        """Return the machines that are wanted, as people say it."""
        return str(self.wanted)

    @abstractmethod
    def seen(self, *, refresh: bool) -> Machines | None:
        """Return what is known about the machines, or None when there are none.

        :meta private:

        Args:
            refresh: Ask the cloud; False believes what is known here, if anything is.
        """

    @property
    def may_launch(self) -> bool:
        """Tell whether the machines have not been looked for yet; see `Hosts.may_launch`.

        :meta private:
        """
        head = self._hosts.get(0)
        return not (isinstance(head, SshHost) and head.is_found) and not self._is_own()

    @abstractmethod
    def _told(self) -> dict[str, Any]:
        """Return what a server is told about autostop, as it is now.

        Raises:
            ClusterNotUpError: The machines are not up.
        """

    @abstractmethod
    def _set_autostop(self, autostop_mins: int) -> None:
        """Change after how many idle minutes the machines go; -1: never."""

    @contextlib.contextmanager
    def pause_autostop(self) -> Iterator[None]:
        """Keep the machines from going by themselves within a `with` block, whatever happens there.

        When this process is killed within the block, they stay until somebody says otherwise, or
        until a limit of the cloud's own.

        Raises:
            ClusterNotUpError: The machines are not up.
        """
        before = self._told()["autostop_mins"]
        self._set_autostop(-1)
        try:
            yield
        finally:
            self._set_autostop(before)

    def tell(self) -> ClusterStatus:
        """Return what runs on the cluster and what it costs; launches nothing.

        :meta private:
        """
        return self.status()

    @abstractmethod
    def teardown(self) -> None:
        """Remove the machines with all that is on them; safe to repeat. The definition is kept.

        Raises:
            LaunchError: They could not be removed, and may still cost.

        Example:
            >>> import runhouse as rh
            >>> rh.ondemand_cluster("gpu").teardown()  # doctest: +SKIP
        """

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
