"""A cluster as a named definition: what it is, how it is saved, how it is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from runhouse.clusters.arguments import text
from runhouse.clusters.records import load_cluster, store
from runhouse.registry.names import check_name, is_name
from runhouse.registry.record import Record
from runhouse.specs.env import Env
from runhouse.specs.envs import as_env

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runhouse.clusters.cluster import Cluster

Self = TypeVar("Self", bound="Definition")


class Definition:
    """Hold what a cluster is; connects to nothing."""

    kind: ClassVar[str] = ""

    def __init__(self, name: str, *, env: object = None, python: str | None = None) -> None:
        """Store the name, the env in which code runs, and the interpreter that runs it.

        Raises:
            TypeError: The env or the interpreter is of the wrong type.
            ValueError: The interpreter is empty, or the env has a package that is none.
            InvalidNameError: The env's name cannot be used.
        """
        self.name = name
        given = as_env(env)
        self._env = check_name(given) if isinstance(given, str) else given
        self._python = None if python is None else text("python", python)

    def fields(self) -> dict[str, Any]:
        """Return what the record holds beside name and kind: JSON values, and no secret.

        :meta private:
        """
        env = self._env.fields() if isinstance(self._env, Env) else self._env
        given = {"env": env, "python": self._python}
        return {key: value for key, value in given.items() if value is not None}

    def __repr__(self) -> str:
        """Return the class and the name."""
        return f"<runhouse.{type(self).__name__} {self.name!r}>"

    def __eq__(self, other: object) -> bool:
        """Tell whether another cluster is of the same kind, name and definition."""
        return isinstance(other, Definition) and self.config() == other.config()

    def __hash__(self) -> int:
        """Hash by kind and name."""
        return hash((self.kind, self.name))

    @property
    def ips(self) -> list[str]:
        """Return the hosts' names or addresses, the head first."""
        return ["localhost"]

    @property
    def address(self) -> str:
        """Return the head's name or address."""
        return self.ips[0]

    def ssh_creds(self) -> dict[str, Any]:
        """Return how to log in to the head, as `runhouse.cluster` takes it, without any secret.

        Returns:
            A subset of the keys `ssh_user`, `ssh_private_key` (a path), `ssh_port`, `ssh_host`,
            `ssh_proxy_command`, `ssh_proxy_jump`; empty where no SSH is needed.

        Example:
            >>> import runhouse as rh
            >>> creds = {"password": "sesame", "ssh_port": 22}
            >>> rh.cluster("box", host="ada@gpu-box", ssh_creds=creds).ssh_creds()
            {'ssh_port': 22}
        """
        return {}

    def config(self) -> dict[str, Any]:
        """Return the cluster's definition: JSON values, and no secret.

        Returns:
            `name`, `kind`, and what the kind needs; `from_config` makes the same cluster of it.

        Example:
            >>> import runhouse as rh
            >>> rh.here.config()["kind"]
            'local'
        """
        return {"name": self.name, "kind": self.kind, **self.fields()}

    @property
    def config_for_rns(self) -> dict[str, Any]:
        """Return the same as `config()`, under its older name."""
        return self.config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dryrun: bool = False) -> Cluster:
        """Make a cluster from what `config()` returned; nothing is connected or saved.

        Args:
            config: `name`, `kind` and the kind's fields.
            dryrun: Changes nothing, since a definition is not checked against files.

        Returns:
            A cluster of the kind that the config names.

        Raises:
            RecordError: The config is not that of a cluster.
            InvalidNameError: Its name cannot be used.

        Example:
            >>> import runhouse as rh
            >>> rh.Cluster.from_config({"name": "box", "kind": "byo", "host": ["gpu-box"]}).address
            'gpu-box'
        """
        del dryrun
        return load_cluster(Record.from_mapping(config))

    @classmethod
    def from_name(cls, name: str, dryrun: bool = False) -> Cluster:
        """Load a saved cluster; nothing is connected.

        Args:
            name: The name under which it was saved.
            dryrun: Changes nothing, since a definition is not checked against files.

        Returns:
            The cluster, of the kind that was saved.

        Raises:
            ClusterNotFoundError: No cluster is saved under the name; lists names that look alike.
            InvalidNameError: No cluster can have this name.
            RecordError: Its record cannot be read.

        Example:
            >>> import runhouse as rh
            >>> box = rh.cluster("box", host="ada@gpu-box").save()
            >>> rh.Cluster.from_name("box") == box
            True
            >>> box.delete_configs()
        """
        del dryrun
        return load_cluster(store().load(name))

    def save(self: Self, name: str | None = None) -> Self:
        """Save the cluster under its name, so that `runhouse.cluster(name)` finds it.

        An earlier record of the name is replaced. Passwords are not part of the record: they are
        kept in the keyring when there is one, else in a file that only this user can read.

        Args:
            name: Another name for it from now on; None keeps the one that it has.

        Returns:
            The cluster itself.

        Raises:
            InvalidNameError: The name cannot be used.
            RecordError: The record cannot be written, or would hold a credential.

        Example:
            >>> import runhouse as rh
            >>> box = rh.cluster("box", host="ada@gpu-box").save()
            >>> rh.cluster("box").address
            'gpu-box'
            >>> box.delete_configs()
        """
        checked = check_name(self.name if name is None else name)
        store().save(Record(kind=self.kind, name=checked, fields=self.fields()))
        self.name = checked
        return self

    def delete_configs(self) -> None:
        """Forget the saved record and credentials; the hardware is not touched. Safe to repeat.

        Raises:
            RecordError: The record cannot be deleted.

        Example:
            >>> import runhouse as rh
            >>> box = rh.cluster("box", host="ada@gpu-box").save()
            >>> box.delete_configs()
            >>> "box" in rh.Cluster.list()
            False
        """
        if is_name(self.name):
            store().delete(self.name)

    @classmethod
    def list(cls) -> list[str]:
        """Return the names of all saved clusters, sorted.

        Example:
            >>> import runhouse as rh
            >>> box = rh.cluster("box", host="ada@gpu-box").save()
            >>> "box" in rh.Cluster.list()
            True
            >>> box.delete_configs()
        """
        return store().names()
