"""The hosts of a cluster: a handle on each, made when it is needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from runhouse import settings
from runhouse.bootstrap.local_host import LocalHost
from runhouse.clusters.definition import Definition
from runhouse.worker import inside

if TYPE_CHECKING:
    from runhouse.bootstrap.host import Host


class Hosts(Definition):
    """Hold the handles on a cluster's hosts."""

    _met: str | None = None  # the server to which whoever pickled this was connected

    def _make_host(self, node: int) -> Host:
        """Return a new handle on one of the hosts."""
        msg = f"{type(self).__name__} must override _make_host()."
        raise TypeError(msg)

    @cached_property
    def _hosts(self) -> dict[int, Host]:
        return {}

    def host_of(self, node: int = 0) -> Host:
        """Return the handle on a node's host, for code that works below clusters.

        :meta private:

        Args:
            node: Index of the node; 0 is the head.
        """
        if node not in self._hosts:
            inward = node == 0 and self._is_own()
            self._hosts[node] = LocalHost(settings.load()) if inward else self._make_host(node)
        return self._hosts[node]

    @property
    def may_launch(self) -> bool:
        """Tell whether machines may have to be launched before anything can be asked of them.

        :meta private:
        """
        return False

    def check_there(self) -> None:
        """Refuse a question for which machines would have to be launched.

        :meta private:

        Raises:
            ClusterNotUpError: They are not up.
        """
        if self.may_launch:
            self.ssh_creds()

    def _is_own(self) -> bool:
        """Tell whether this code runs under this cluster's server."""
        own = inside.own()
        return own is not None and self._is_own_server(own.server_id)

    def _is_own_server(self, server_id: str) -> bool:
        """Tell whether the server that this code runs under is this cluster's."""
        return self._met == server_id
