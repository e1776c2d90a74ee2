"""Results that there are already: those of runs of a name, in the manner of their function."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from runhouse.errors import ClusterNotUpError, RunNotFoundError
from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Callable

    from runhouse.client.run import Run
    from runhouse.clusters.cluster import Cluster
else:
    asyncio = LazyModule("asyncio")

_END = object()


def result_or(cluster: Cluster, run_name: str, manner: str, call: Callable[[], Any]) -> Any:
    """Return the result of the run of a name, or what a call gives when there is none.

    Args:
        cluster: The cluster.
        run_name: The name.
        manner: What calling the function gives, see `callee.Manner`; the result is given likewise.
        call: Calls the function.
    """
    if manner == "coroutine":
        return _await_result(cluster, run_name, call)
    if manner == "items_async":
        return _iterate(cluster, run_name, call)
    run = _useful_run(cluster, run_name)
    return run.result() if run is not None else call()


def _useful_run(cluster: Cluster, run_name: str) -> Run | None:
    """Return the run of a name whose result is there, or will be; None when there is none."""
    try:
        cluster.check_there()
    except ClusterNotUpError:  # a call brings it up, and the run may still be on its disk
        cluster.up()
    with contextlib.suppress(RunNotFoundError):
        run = cluster.get_run(run_name)
        if run.status in ("queued", "running", "done"):
            return run
    return None


async def _await_result(cluster: Cluster, run_name: str, call: Callable[[], Any]) -> Any:
    run = await asyncio.to_thread(_useful_run, cluster, run_name)
    return await (asyncio.to_thread(run.result) if run is not None else call())


async def _iterate(
    cluster: Cluster, run_name: str, call: Callable[[], Any]
) -> AsyncGenerator[Any, None]:
    run = await asyncio.to_thread(_useful_run, cluster, run_name)
    if run is None:
        async with contextlib.aclosing(call()) as made:
            async for item in made:
                yield item
        return
    items = await asyncio.to_thread(run.result)
    while (item := await asyncio.to_thread(next, items, _END)) is not _END:
        yield item
