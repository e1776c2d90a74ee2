"""Calls from many threads at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def call_from_threads(call: Callable[[], object], threads: int, each: int = 1) -> None:
    """Make calls from several threads, some of them in each, and wait for all.

    When this is interrupted or a call fails, the threads end with the call that they are in.

    Args:
        call: What each thread does.
        threads: How many threads there are.
        each: How often each of them does it.

    Raises:
        Exception: What the first call raised that failed.
    """
    ended = threading.Event()
    failed: list[BaseException] = []

    def caller() -> None:
        try:
            for _ in range(each):
                if ended.is_set():
                    return
                call()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            failed.append(error)
            ended.set()

    running = [threading.Thread(target=caller, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        for thread in running:
            thread.join()
    finally:
        ended.set()
        for thread in running:
            thread.join()
    if failed:
        raise failed[0]
