"""The cluster of a host whose envs are tested, and what a package's version is in one of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import runhouse as rh
from tests.integration import sample_envs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.client import Client


@contextmanager
def cluster_of(client: Client, name: str, host: str) -> Iterator[rh.Cluster]:
    """Give a cluster that is up."""
    with client.used_by_this_process():
        made = rh.cluster(name, host=host).up()
        yield made
        made.stop()
        made.disconnect()


def version_in(box: rh.Cluster, env: object, package: str = "tiny") -> str:
    """Return what a package in an env says of its version."""
    return str(rh.function(sample_envs.version).to(box, env)(package))  # type: ignore[arg-type]
