"""Where things are sent: a cluster as specs see it, and its hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from runhouse.registry.kinds import resolve
from runhouse.registry.record import Record
from runhouse.registry.store import clusters

if TYPE_CHECKING:
    from collections.abc import Sequence


class Completed(Protocol):
    """Hold how a command ended."""

    @property
    def exit_code(self) -> int:
        """Return the exit code."""

    @property
    def stdout(self) -> str:
        """Return the whole standard output."""

    @property
    def stderr(self) -> str:
        """Return the whole standard error."""


class Host(Protocol):
    """Be one machine, as far as specs need it; see `bootstrap.host.Host`."""

    @property
    def host(self) -> str:
        """Return its name for messages."""

    def server_root(self) -> str:
        """Return the directory of its server."""

    def run_program(self, program: str, data: bytes) -> Completed:
        """Run the text of a Python program, which reads data."""


class System(Protocol):
    """Be a cluster, as far as specs need it."""

    @property
    def ips(self) -> list[str]:
        """Return the names or addresses of its hosts."""

    def host_of(self, node: int = 0) -> Any:
        """Return the host of a node."""


class _Kind(Protocol):
    def from_record(self, record: Record) -> System:
        """Make a cluster of this kind."""


def find_system(given: object) -> System:
    """Return the cluster that a user means: itself, a saved one's name, or `here`.

    Raises:
        ClusterNotFoundError: No cluster is saved under the name.
        InvalidNameError: No cluster can have this name.
        TypeError: It is neither a cluster nor a name.
    """
    if isinstance(given, str):
        local = given in ("here", "local")
        record = Record(kind="local", name="local") if local else clusters().load(given)
        return cast("_Kind", resolve(record.kind)).from_record(record)
    if not callable(getattr(given, "host_of", None)):
        msg = (
            f"{given!r} is no cluster. It is of type {type(given).__name__}. Give a cluster, as "
            "rh.cluster(...) makes it, or the name of a saved one."
        )
        raise TypeError(msg)
    return cast("System", given)


def hosts(given: object) -> Sequence[Host]:
    """Return all hosts of the cluster that a user means; see `find_system` for errors."""
    system = find_system(given)
    return [system.host_of(node) for node in range(len(system.ips))]
