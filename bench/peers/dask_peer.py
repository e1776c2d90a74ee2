"""Dask (distributed): a local cluster of one worker process with one thread."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import work
from dask.distributed import Client
from figures import Peer, main

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def start() -> Iterator[Peer]:
    """Start a scheduler in this process, as is usual, and a worker."""
    with Client(
        processes=True, n_workers=1, threads_per_worker=1, dashboard_address=None
    ) as client:

        def take(array: object) -> int:
            sent = client.scatter(array, direct=True, hash=False)
            return int(client.submit(work.size_of, sent, pure=False).result())

        yield Peer(
            call=lambda value: client.submit(work.identity, value, pure=False).result(),
            many=lambda count: client.gather(client.map(work.identity, range(count), pure=False)),
            take=take,
            make=lambda size: client.submit(work.make_array, size, pure=False).result(),
            items=None,
            server_inside=True,
        )


if __name__ == "__main__":
    main(start)
