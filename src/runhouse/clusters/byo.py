"""A cluster of hosts that you have already, reached by SSH. There is nothing to launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from runhouse import settings
from runhouse.bootstrap.ssh_host import SshHost
from runhouse.clusters import arguments
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.records import store
from runhouse.errors import RunhouseError
from runhouse.registry import credentials
from runhouse.registry.names import check_name
from runhouse.ssh.target import Target

if TYPE_CHECKING:
    from runhouse.bootstrap.host import Host
    from runhouse.clusters.env_use import EnvLike
    from runhouse.registry.record import Record

Self = TypeVar("Self", bound="ByoCluster")
Creds = Mapping[str, Any]
_KEY, _PASSWORD = "ssh_private_key", "password"
_LOGIN = ("host", "ssh_creds", "ssh_port")


class ByoCluster(Cluster):
    """Be one or several hosts that you can SSH to; the first one is the head."""

    kind: ClassVar[str] = "byo"

    def __init__(
        self,
        name: str,
        hosts: str | Sequence[str],
        ssh_creds: Creds | Sequence[Creds] | None = None,
        *,
        ssh_port: int | None = None,
        server_port: int | None = None,
        env: EnvLike = None,
        python: str | None = None,
    ) -> None:
        """Check and store the definition; use `runhouse.cluster` instead."""
        super().__init__(check_name(name), env=env, python=python)
        self._given_hosts = arguments.hosts(hosts)
        self._creds = arguments.creds(ssh_creds, len(self._given_hosts))
        self._ssh_port = None if ssh_port is None else arguments.port("ssh_port", ssh_port)
        self._server_port = (
            None if server_port is None else arguments.port("server_port", server_port)
        )
        for creds in self._creds:
            if _KEY in creds:
                arguments.path(_KEY, creds[_KEY])
        for node in range(len(self._given_hosts)):
            self._parse(node, {key: x for key, x in self._creds_of(node).items() if key != _KEY})

    def _creds_of(self, node: int) -> dict[str, Any]:
        """Return the credentials for a node: its own, or the ones that all share."""
        if not self._creds:
            return {}
        return self._creds[node if len(self._creds) > 1 else 0]

    def _parse(self, node: int, creds: Creds) -> Target:
        return Target.parse(self._given_hosts[node], creds, port=self._ssh_port)

    def _make_host(self, node: int) -> Host:
        password = self._password(node)
        creds = self._creds_of(node) | ({} if password is None else {_PASSWORD: password})
        return SshHost(
            self._parse(node, creds),
            settings.load(),
            python=self._python or "",
            port=self._server_port or 0,
        )

    def private_keys(self) -> list[Path]:
        """Return the files of the private keys that the credentials name."""
        given = [creds[_KEY] for creds in self._creds if _KEY in creds]
        return [Path(key).expanduser() for key in given]

    # -- passwords ------------------------------------------------------------------------------

    def _owner(self, node: int) -> int | None:
        """Return which node a password is kept for; None: for all."""
        return node if len(self._creds) > 1 else None

    def _password(self, node: int) -> str | None:
        """Return the password that was given, or the one saved with this very login."""
        given = self._creds_of(node).get(_PASSWORD)
        if given is not None:
            return str(given)
        saved = credentials.load_password(self.name, node=self._owner(node))
        return saved if saved is not None and self._login() == _saved_login(self.name) else None

    def _login(self) -> dict[str, Any]:
        """Return the part of the definition that a password is for: it is sent nowhere else."""
        return _login(self.fields())

    # -- records --------------------------------------------------------------------------------

    @property
    def ips(self) -> list[str]:
        """Return the hosts' names or addresses, the head first."""
        return [
            self._parse(node, {"ssh_host": self._creds_of(node).get("ssh_host")}).host
            for node in range(len(self._given_hosts))
        ]

    def ssh_creds(self) -> dict[str, Any]:
        """Return how to log in to the head, without any secret; see `Cluster.ssh_creds`."""
        return _public(self._creds_of(0))

    def fields(self) -> dict[str, Any]:
        """Return what the record holds beside name and kind: JSON values, and no secret."""
        given: dict[str, Any] = {"host": list(self._given_hosts), **super().fields()}
        creds = [_public(each) for each in self._creds]
        if any(creds) or len(creds) > 1:
            given["ssh_creds"] = creds
        if self._ssh_port is not None:
            given["ssh_port"] = self._ssh_port
        if self._server_port is not None:
            given["server_port"] = self._server_port
        return given

    @classmethod
    def from_record(cls, record: Record) -> ByoCluster:
        """Make the cluster from its record."""
        fields = record.take("host", "ssh_creds", "ssh_port", "server_port", "env", "python")
        hosts, creds = fields.pop("host", None), fields.pop("ssh_creds", None)
        return cls(record.name, hosts, creds, **fields)

    def save(self: Self, name: str | None = None) -> Self:
        """Save the cluster under its name; see `Cluster.save`."""
        new = check_name(self.name if name is None else name)
        owners = {self._owner(node): self._password(node) for node in range(len(self.ips))}
        outdated = _owners(new) - owners.keys()
        super().save(new)
        for owner, password in owners.items():
            if password is None:
                credentials.delete_password(new, node=owner)
            else:
                credentials.save_password(new, password, node=owner)
        for owner in outdated:
            credentials.delete_password(new, node=owner)
        return self

    def delete_configs(self) -> None:
        """Forget the saved record and credentials; see `Cluster.delete_configs`."""
        owners = _owners(self.name) | {self._owner(node) for node in range(len(self.ips))}
        super().delete_configs()
        for owner in owners:
            credentials.delete_password(self.name, node=owner)


def _public(creds: Creds) -> dict[str, Any]:
    """Return credentials without the password, as JSON values."""
    return {
        key: value if isinstance(value, int) else str(value)
        for key, value in creds.items()
        if key != _PASSWORD
    }


def _login(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fields[key] for key in _LOGIN if key in fields}


def _saved_login(name: str) -> dict[str, Any] | None:
    """Return where the saved cluster of a name logs in, or None when there is none to be read."""
    try:
        return _login(store().load(name).fields)
    except RunhouseError:
        return None


def _owners(name: str) -> set[int | None]:
    """Return for which nodes passwords of the saved cluster of a name may be kept."""
    creds = (_saved_login(name) or {}).get("ssh_creds")
    return {None, *range(len(creds) if isinstance(creds, list) else 0)}
