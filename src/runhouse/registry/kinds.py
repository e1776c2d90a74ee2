"""Which class makes an object of a record: the one table of kinds."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from runhouse.errors import RecordError

KINDS = {
    "local": "runhouse.clusters.local:LocalCluster",
    "byo": "runhouse.clusters.byo:ByoCluster",
}
GROUP = "runhouse.kinds"


def resolve(kind: str) -> object:
    """Return the class of a kind: one of ours, or one that an installed package announces.

    Raises:
        RecordError: Nobody knows the kind.
    """
    target = KINDS.get(kind)
    if target is not None:
        module, _, name = target.partition(":")
        found: object = getattr(importlib.import_module(module), name)
        return found
    strangers = entry_points(group=GROUP)
    for entry in strangers:
        if entry.name == kind:
            loaded: object = entry.load()
            return loaded
    known = ", ".join([*KINDS, *(entry.name for entry in strangers)])
    msg = (
        f"There is no kind of cluster {kind!r}. The kinds are {known}. "
        "Upgrade runhouse, or install the package that brings the kind."
    )
    raise RecordError(msg)
