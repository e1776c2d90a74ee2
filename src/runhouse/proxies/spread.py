"""Many calls at once: threads that take items as they are needed, and results as they come."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

T = TypeVar("T")


def spread(
    call: Callable[[T], Any], items: Iterable[T], concurrency: int, *, ordered: bool
) -> Generator[Any, None, None]:
    """Call with each item, several at once; yield the results.

    Args:
        call: What to call; blocks until it has its result.
        items: Taken as they are needed.
        concurrency: How many calls run at once.
        ordered: Yield the results in the order of the items; False: as they come.
    """
    waiting: deque[Future[Any]] = deque()
    rest = iter(items)
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="runhouse-map")
    try:
        while True:
            while len(waiting) < 2 * concurrency:
                try:
                    item = next(rest)
                except StopIteration:
                    break
                waiting.append(pool.submit(call, item))
            if not waiting:
                return
            if not ordered:
                wait(waiting, return_when=FIRST_COMPLETED)
                first = next(future for future in waiting if future.done())
                waiting.remove(first)
            else:
                first = waiting.popleft()
            yield first.result()
    finally:
        for future in waiting:
            future.cancel()
        threading.Thread(target=pool.shutdown, daemon=True).start()
