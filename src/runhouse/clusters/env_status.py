"""What `cluster.envs()` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class EnvStatus:
    """Hold one env that is on a host.

    Attributes:
        digest: Digest of its content, and the name of its directory.
        names: The names that stand for it; none when it is only kept.
        prefix: Its directory.
        python_version: The version of its Python.
        packages: What is installed in it, each as `"name==version"`.
        commands: The set-up commands that were run in it.
        size_bytes: What it takes on the disk; what it shares with the cache counts here, too.
        made_at: When it was made, in seconds since the epoch.
        used_at: When a worker was started in it last, or it was asked for.
        in_use: Whether a worker runs in it now.
        pids: The processes of the workers of its names.
        variables: Names of the variables of its workers.
    """

    digest: str
    names: tuple[str, ...]
    prefix: str
    python_version: str
    packages: tuple[str, ...]
    commands: tuple[str, ...]
    size_bytes: int
    made_at: float
    used_at: float
    in_use: bool
    pids: tuple[int, ...]
    variables: tuple[str, ...]


def status_of(
    rows: Sequence[Mapping[str, Any]], bound: Sequence[Mapping[str, Any]]
) -> list[EnvStatus]:
    """Join what is on the disk with what the server knows; the newest use first.

    Args:
        rows: What the host's disk holds.
        bound: What names stand for.
    """
    found = []
    for row in rows:
        own = [each for each in bound if each["prefix"] == row["prefix"]]
        found.append(
            EnvStatus(
                digest=row["digest"],
                names=tuple(each["name"] for each in own),
                prefix=row["prefix"],
                python_version=row["python_version"],
                packages=tuple(row["packages"]),
                commands=tuple(row["build"]["commands"]),
                size_bytes=row["size_bytes"],
                made_at=row["made_at"],
                used_at=row["used_at"],
                in_use=row["in_use"],
                pids=tuple(pid for each in own for pid in each["pids"]),
                variables=tuple(sorted({name for each in own for name in each["variables"]})),
            )
        )
    return sorted(found, key=lambda env: -env.used_at)
