"""Objects of the sample classes, for the tests of modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from tests.integration.sample_modules import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator


def make(cluster: rh.Cluster, cls: Any, *args: Any, env: str | None = None, **kwargs: Any) -> Any:
    """Make an object on a cluster; untyped, as a proxy has more than its class."""
    return rh.module(cls).to(cluster, env=env)(*args, **kwargs)


def holds(cluster: rh.Cluster, key: str) -> bool:
    """Tell whether a cluster holds an object under a key."""
    return key in set(cluster.keys())


def calls_of(cluster: rh.Cluster) -> int:
    """Return how many calls the workers have had."""
    return sum(worker.calls for worker in cluster.status().workers)


@pytest.fixture
def shelf(cluster: rh.Cluster) -> Iterator[Any]:
    """Give a shelf with 0, 1, 2 on a cluster, and have all shelves deleted afterwards."""
    yield make(cluster, Shelf, 3, name="shelf")
    cluster.clear()
