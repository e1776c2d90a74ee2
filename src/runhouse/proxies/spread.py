"""Many calls at once: threads that take items as they are needed, and results as they come."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

T = TypeVar("T", contravariant=True)


class Caller(Protocol[T]):
    """Make calls that can be stopped."""

    def call(self, item: T, run_id: str) -> Any:
        """Call with an item, and wait for the result."""

    def cancel(self, run_id: str) -> None:
        """Stop a call."""


def spread(
    caller: Caller[T], items: Iterable[T], concurrency: int, *, ordered: bool
) -> Generator[Any, None, None]:
    """Call with each item, several at once; yield the results.

    Args:
        caller: Makes the calls.
        items: Taken as they are needed: at most `2 * concurrency` ahead.
        concurrency: How many calls run at once.
        ordered: Yield the results in the order of the items; False: as they come.
    """
    waiting: deque[tuple[str, Future[Any]]] = deque()
    rest = iter(items)
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="runhouse-map")
    try:
        while True:
            while len(waiting) < 2 * concurrency:
                try:
                    item = next(rest)
                except StopIteration:
                    break
                run_id = secrets.token_hex(8)
                waiting.append((run_id, pool.submit(caller.call, item, run_id)))
            if not waiting:
                return
            yield _take(waiting, ordered=ordered).result()
    finally:
        _stop(caller, pool, waiting)


def _take(waiting: deque[tuple[str, Future[Any]]], *, ordered: bool) -> Future[Any]:
    """Remove and return the call whose result is next."""
    if ordered:
        return waiting.popleft()[1]
    wait([future for _, future in waiting], return_when=FIRST_COMPLETED)
    ready = next(entry for entry in waiting if entry[1].done())
    waiting.remove(ready)
    return ready[1]


def _stop(
    caller: Caller[Any], pool: ThreadPoolExecutor, waiting: deque[tuple[str, Future[Any]]]
) -> None:
    """Stop the calls whose results nobody wants any more, without waiting for their end."""
    running = [run_id for run_id, future in waiting if not future.cancel() and not future.done()]
    pool.shutdown(wait=False)

    def stop() -> None:
        for run_id in running:
            caller.cancel(run_id)

    if running:
        threading.Thread(target=stop, name="runhouse-map-stop").start()
