"""In which env something is to be, as it is said and as it is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runhouse.server.names import DEFAULT_ENV
from runhouse.specs.env import Env
from runhouse.specs.package import Package

EnvLike = Env | str | Sequence[str | Path | Package] | None
"""An env, its name, or packages; None for the cluster's own."""


@dataclass(frozen=True, slots=True)
class EnvUse:
    """Say in which env something is to be.

    Attributes:
        name: The env's name.
        digest: Digest of what it must be; empty: whatever the name stands for.
        projects: Directories here whose code it has beside.
    """

    name: str = DEFAULT_ENV
    digest: str = ""
    projects: tuple[Path, ...] = ()


def import_places(directory: str, project: Path) -> list[str]:
    """Return where imports of a project on the host are looked for."""
    tops = ["src"] if (project / "src").is_dir() else []
    return [directory, *(f"{directory}/{top}" for top in tops)]
