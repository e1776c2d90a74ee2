"""The packages that code really imports, at the versions that are installed here."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib import metadata
else:
    metadata = LazyModule("importlib.metadata")

_OWN = "runhouse"


@lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    """Return which distributions bring which top-level modules."""
    return dict(metadata.packages_distributions())


def mirrored(modules: Iterable[str]) -> list[str]:
    """Return a requirement for each distribution that brings one of some top-level modules.

    Modules that no distribution brings are left out: they are of the standard library or of a
    project, which is synced.

    Example:
        >>> mirrored(["json", "no_such_module"])
        []
    """
    known = _distributions()
    names = {name for module in modules for name in known.get(module.partition(".")[0], ())}
    return [f"{name}=={metadata.version(name)}" for name in sorted(names) if name.lower() != _OWN]
