"""From records to clusters and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from runhouse.errors import RecordError, RunhouseError
from runhouse.registry import credentials
from runhouse.registry.kinds import resolve
from runhouse.registry.store import clusters

if TYPE_CHECKING:
    from runhouse.clusters.cluster import Cluster
    from runhouse.registry.record import Record


class _Kind(Protocol):
    """Be a class of clusters that can be made from a record."""

    def from_record(self, record: Record) -> Cluster:
        """Make a cluster of this kind."""


store = clusters


def forget(name: str) -> None:
    """Delete what is saved under a name: the record, even one that cannot be read, and passwords.

    Raises:
        InvalidNameError: No cluster can have this name.
    """
    try:
        load_cluster(store().load(name)).delete_configs()
    except RecordError:
        store().delete(name)
        credentials.delete_password(name)


def load_cluster(record: Record) -> Cluster:
    """Make a cluster of the kind that a record names.

    Raises:
        RecordError: The kind is unknown, or its fields are not those of the kind.
        InvalidNameError: Its name cannot be used.
    """
    kind = cast("_Kind", resolve(record.kind))
    try:
        return kind.from_record(record)
    except RunhouseError:
        raise
    except (TypeError, ValueError) as error:
        msg = f"The definition of {record.name!r} cannot be used. {error}"
        raise RecordError(msg) from error
