"""Which class makes an object of a record: the one table of kinds."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from runhouse.errors import RecordError
from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    from importlib import metadata
else:
    metadata = LazyModule("importlib.metadata")

KINDS = {
    "local": "runhouse.clusters.local:LocalCluster",
    "byo": "runhouse.clusters.byo:ByoCluster",
    "on-demand": "runhouse.clusters.on_demand:OnDemandCluster",
    "sagemaker": "runhouse.clusters.sagemaker:SageMakerCluster",
}
GROUP = "runhouse.kinds"


def resolve(kind: str) -> object:
    """Return the class of a kind: one of ours, or one that an installed package announces.

    Raises:
        RecordError: Nobody knows the kind, or the package that announces it is broken.
    """
    target = KINDS.get(kind)
    if target is not None:
        module, _, name = target.partition(":")
        found: object = getattr(importlib.import_module(module), name)
        return found
    strangers = metadata.entry_points(group=GROUP)
    for entry in strangers:
        if entry.name == kind:
            return _load(entry)
    known = ", ".join([*KINDS, *sorted({entry.name for entry in strangers})])
    msg = (
        f"There is no kind of cluster {kind!r}. The kinds are {known}. "
        "Upgrade runhouse, or install the package that brings the kind."
    )
    raise RecordError(msg)


def _load(entry: metadata.EntryPoint) -> object:
    """Load the class of a kind that another package brings."""
    try:
        loaded: object = entry.load()
    except (ImportError, AttributeError) as error:
        package = entry.dist.name if entry.dist is not None else entry.module
        msg = (
            f"The kind of cluster {entry.name!r} cannot be loaded. {entry.value} of {package} "
            f"failed: {error}. Repair or upgrade {package}."
        )
        raise RecordError(msg) from error
    return loaded
