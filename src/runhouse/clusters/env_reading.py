"""What the packages of an env need, read from files here; loaded with the first env."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runhouse.clusters.companions import imported_by
from runhouse.specs.locks import exported
from runhouse.specs.mirror import mirrored
from runhouse.specs.requirements import Reader, Requirements

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from runhouse.specs.package import Package


def read_packages(
    packages: Sequence[Package],
    base: Path,
    root: Path | None = None,
    modules: Iterable[str] = (),
) -> Requirements:
    """Return what packages need.

    Args:
        packages: The packages.
        base: The directory from which relative paths go.
        root: The project of the code that is to run with them.
        modules: The modules of that code, for `"mirror"`.

    Raises:
        ValueError: A file is not there or cannot be understood.
    """
    mirrors = any(package.sort == "mirror" for package in packages)
    mirror = mirrored(imported_by(root, modules)) if mirrors else ()
    return Reader(base, exported, mirror).read(packages)
