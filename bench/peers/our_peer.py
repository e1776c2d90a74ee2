"""Runhouse as it is here, measured as the peers are."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

import work
from figures import Peer, all_callers, main

import runhouse as rh

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def start() -> Iterator[Peer]:
    """Give the cluster of this machine."""
    identity = rh.function(work.identity).to(rh.here)
    try:
        yield Peer(
            call=identity,
            many=partial(all_callers, identity),
            take=rh.function(work.size_of).to(rh.here),
            make=rh.function(work.make_array).to(rh.here),
            items=rh.function(work.numbers).to(rh.here),
        )
    finally:
        rh.here.stop()


if __name__ == "__main__":
    main(start)
