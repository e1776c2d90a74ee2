"""Keys that are needed no more: gathered here, and told to their worker with the next call."""

from __future__ import annotations

import atexit
import os
import weakref
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runhouse.clusters.calls import Calls

_AT_EXIT_S = 1.0


class Unneeded:
    """Gather the keys of one worker whose proxies are gone.

    `forget` is called by the garbage collector, at any moment and on any thread. It takes no lock
    and calls nothing that may wait or fail.
    """

    def __init__(self, calls: Calls, worker_id: str) -> None:
        """Start with nothing gathered."""
        self._calls = calls
        self._worker_id = worker_id
        self._held: set[str] = set()
        self._gone: deque[str] = deque()
        self._pid = os.getpid()

    def hold(self, proxy: object, key: str) -> weakref.finalize[[str], object]:
        """Let go of a key when a proxy is gone, or at the end of this process.

        Returns:
            What to detach when the key is to stay.
        """
        self._held.add(key)
        finalizer = weakref.finalize(proxy, self.forget, key)
        finalizer.atexit = False  # all keys at once are told by `tell_last`
        return finalizer

    def keep(self, key: str) -> None:
        """Note that a key is to stay, whatever becomes of its proxy."""
        self._held.discard(key)

    def forget(self, key: str) -> None:
        """Note that the proxy of a key is gone; in a forked process it is the parent's."""
        if self._pid == os.getpid():
            self._held.discard(key)
            self._gone.append(key)

    def take(self) -> list[str]:
        """Return what has been gathered since the last time."""
        keys: list[str] = []
        while self._gone:
            keys.append(self._gone.popleft())
        return keys

    def tell_last(self) -> None:
        """Tell the worker about all keys at the end of this process, if it can be reached now."""
        keys = [*self.take(), *self._held]
        if keys and self._pid == os.getpid():
            self._calls.release(self._worker_id, keys, _AT_EXIT_S)


_known: dict[tuple[Calls, str], Unneeded] = {}


def unneeded(calls: Calls, worker_id: str) -> Unneeded:
    """Return what gathers the keys of a worker."""
    if not _known:  # now, as the client's connections are closed by what was registered before
        atexit.register(_tell_last)
    return _known.setdefault((calls, worker_id), Unneeded(calls, worker_id))


def _tell_last() -> None:
    for gathered in list(_known.values()):
        gathered.tell_last()
