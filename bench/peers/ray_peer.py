"""Ray: one actor, the nearest to a worker; and tasks, where they are quicker."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import ray
import work
from figures import Peer, main

if TYPE_CHECKING:
    from collections.abc import Iterator


class Worker:
    """Do all work in one process."""

    def identity(self, value: Any) -> Any:
        """Return the argument."""
        return value

    def size_of(self, array: Any) -> int:
        """Return the size of an array in bytes."""
        return work.size_of(array)

    def make_array(self, size: int) -> Any:
        """Return an array of that many bytes."""
        return work.make_array(size)

    def numbers(self, count: int) -> Iterator[int]:
        """Yield numbers."""
        for number in range(count):  # noqa: UP028 - Ray cannot take `yield from`
            yield number


@contextlib.contextmanager
def start() -> Iterator[Peer]:
    """Start Ray with one worker."""
    ray.init(num_cpus=1, include_dashboard=False, _temp_dir=f"{os.environ['HOME']}/ray")
    worker = ray.remote(Worker).remote()

    def numbers(count: int) -> Iterator[int]:
        stream = worker.numbers.options(num_returns="streaming").remote(count)
        return (ray.get(item) for item in stream)

    try:
        yield Peer(
            call=lambda value: ray.get(worker.identity.remote(value)),
            many=lambda count: ray.get([worker.identity.remote(1) for _ in range(count)]),
            take=lambda array: ray.get(worker.size_of.remote(array)),
            make=lambda size: ray.get(worker.make_array.remote(size)),
            items=numbers,
        )
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(start)
