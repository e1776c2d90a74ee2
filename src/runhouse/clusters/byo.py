"""A cluster of hosts that you have already, reached by SSH. There is nothing to launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from runhouse import settings
from runhouse.bootstrap.ssh_host import SshHost
from runhouse.clusters.cluster import Cluster
from runhouse.registry import credentials
from runhouse.ssh.target import Target

if TYPE_CHECKING:
    from runhouse.bootstrap.host import Host
    from runhouse.registry.record import Record

Self = TypeVar("Self", bound="ByoCluster")
Creds = Mapping[str, Any]


class ByoCluster(Cluster):
    """Be one or several hosts that you can SSH to; the first one is the head."""

    kind: ClassVar[str] = "byo"

    def __init__(
        self,
        name: str,
        hosts: Sequence[str],
        ssh_creds: Sequence[Creds] = (),
        *,
        ssh_port: int | None = None,
        server_port: int | None = None,
        env: str | None = None,
        python: str | None = None,
    ) -> None:
        """Store the definition; use `runhouse.cluster` instead."""
        super().__init__(name, env=env, python=python)
        self._given_hosts = tuple(hosts)
        self._creds = tuple(dict(each) for each in ssh_creds)
        self._ssh_port = ssh_port
        self._server_port = server_port
        for node in range(len(self._given_hosts)):
            self._target(node)  # wrong types and values are refused here, before any network

    def _creds_of(self, node: int) -> dict[str, Any]:
        """Return the credentials for a node: its own, or the ones that all share."""
        if not self._creds:
            return {}
        return self._creds[node if len(self._creds) > 1 else 0]

    def _target(self, node: int) -> Target:
        return Target.parse(self._given_hosts[node], self._creds_of(node), port=self._ssh_port)

    def _make_host(self, node: int) -> Host:
        creds = self._creds_of(node)
        if "password" not in creds:
            saved = credentials.load_password(self._credential_name(node))
            creds = {**creds, "password": saved} if saved is not None else creds
        target = Target.parse(self._given_hosts[node], creds, port=self._ssh_port)
        return SshHost(
            target,
            settings.load(),
            python=self._python or "",
            port=self._server_port or 0,
        )

    def _credential_name(self, node: int) -> str:
        return f"{self.name}.{node}" if len(self._creds) > 1 else self.name

    @property
    def ips(self) -> list[str]:
        """Return the hosts' names or addresses, the head first."""
        return [self._target(node).host for node in range(len(self._given_hosts))]

    def ssh_creds(self) -> dict[str, Any]:
        """Return how to log in to the head, without any secret."""
        return _public(self._creds_of(0))

    def fields(self) -> dict[str, Any]:
        """Return what the record holds beside name and kind: JSON values, and no secret."""
        given: dict[str, Any] = {"host": list(self._given_hosts), **super().fields()}
        if self._creds:
            given["ssh_creds"] = [_public(creds) for creds in self._creds]
        if self._ssh_port is not None:
            given["ssh_port"] = self._ssh_port
        if self._server_port is not None:
            given["server_port"] = self._server_port
        return given

    @classmethod
    def from_record(cls, record: Record) -> ByoCluster:
        """Make the cluster from its record."""
        fields = record.take("host", "ssh_creds", "ssh_port", "server_port", "env", "python")
        return cls(record.name, fields.pop("host"), fields.pop("ssh_creds", ()), **fields)

    def save(self: Self, name: str | None = None) -> Self:
        """Save the cluster under its name; see `Cluster.save`."""
        super().save(name)
        for node, creds in enumerate(self._creds):
            if creds.get("password"):
                credentials.save_password(self._credential_name(node), creds["password"])
        return self

    def delete_configs(self) -> None:
        """Forget the saved record and credentials; see `Cluster.delete_configs`."""
        super().delete_configs()
        for node in range(max(1, len(self._creds))):
            credentials.delete_password(self._credential_name(node))


def _public(creds: Creds) -> dict[str, Any]:
    """Return credentials without the password, as JSON values."""
    return {
        key: value if isinstance(value, int) else str(value)
        for key, value in creds.items()
        if key != "password" and value is not None
    }
