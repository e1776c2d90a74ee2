"""What each peer's script does: take the same figures, and print each as a JSON object on a line.

    python ray_peer.py first       # print the first result; the time until then is taken outside
    python ray_peer.py figures

The scripts run in the peers' own interpreters, which have neither runhouse nor this package: they
are copied into one folder, a user's project, and started there.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

CALLERS = 32
BULK = 100_000_000
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_CALLS_S = 4.0
_ROUND_S = 1.0
_BULK_S = 5.0
_ITEMS_S = 2.0
_SETTLED_S = 15.0


@dataclass
class Peer:
    """Say how one system does what is measured.

    Attributes:
        call: Call a function that returns its argument.
        many: Make so many of these calls, as fast as the system knows how to.
        take: Pass an array as argument.
        make: Have an array of so many bytes made, and return it.
        items: Iterate over so many numbers of a generator; None when there is no such thing.
        quiet_call: As `call`, without output of the call; None when that makes no difference.
        server_inside: Whether the server lives in this process, which then counts for memory.
    """

    call: Callable[[int], Any]
    many: Callable[[int], object]
    take: Callable[[Any], object]
    make: Callable[[int], Any]
    items: Callable[[int], Iterable[int]] | None
    quiet_call: Callable[[int], Any] | None = None
    server_inside: bool = False


def main(start: Callable[[], AbstractContextManager[Peer]]) -> None:
    """Do what the command line asks for with a peer that is started for it."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1)  # servers that detach themselves stay our descendants
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the peers print much
    with start() as peer:
        lines = [str(peer.call(7))] if sys.argv[1] == "first" else map(json.dumps, figures(peer))
        for line in lines:
            out.write(f"{line}\n")
            out.flush()
        out.close()
        sys.stdin.read()  # whoever started this ends it


def figures(peer: Peer) -> Iterator[dict[str, float]]:
    """Take one figure after the other: seconds, calls and items per second, GB/s, bytes."""
    yield {"idle_bytes": idle_bytes(own=peer.server_inside)}
    call_times = times(peer.call)
    yield {"call_p50_s": median(call_times), "call_p99_s": quantiles(call_times, n=100)[98]}
    if peer.quiet_call:
        yield {"quiet_call_p50_s": median(times(peer.quiet_call))}
    yield {"calls_per_s": rate(peer.many, CALLERS, _ROUND_S)}
    array = peer.make(BULK).copy()
    yield {"argument_gb_per_s": BULK / 1e9 / bulk_time(lambda: peer.take(array))}
    yield {"result_gb_per_s": BULK / 1e9 / bulk_time(lambda: peer.make(BULK))}
    items = peer.items
    if items:
        yield {"items_per_s": rate(lambda count: sum(1 for _ in items(count)), 8, _ITEMS_S)}


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def times(call: Callable[[int], object]) -> list[float]:
    """Return how long each of many calls takes."""
    for _ in range(10):
        call(1)
    measured: list[float] = []
    until = time.perf_counter() + _CALLS_S
    while time.perf_counter() < until:
        measured.append(seconds(lambda: call(1)))
    return measured


def bulk_time(action: Callable[[], object]) -> float:
    """Return how long an action takes, but for the first time, when it meets untouched memory."""
    measured: list[float] = []
    while len(measured) < 2 or (len(measured) < 7 and sum(measured) < _BULK_S):
        measured.append(seconds(action))
    return median(measured[1:])


def rate(many: Callable[[int], object], count: int, round_s: float) -> float:
    """Return how many are done in a second: the median of rounds of at least `round_s`."""
    while (took := seconds(partial(many, count))) < round_s:
        count = int(count * min(10.0, 1.5 * round_s / took)) + 1
    return count / median(seconds(partial(many, count)) for _ in range(3))


def all_callers(call: Callable[[int], object], count: int) -> None:
    """Make calls from several threads at once."""

    def caller(number: int) -> None:
        for _ in range(number, count, CALLERS):
            call(1)

    numbers = range(CALLERS)
    threads = [threading.Thread(target=caller, args=(n,), daemon=True) for n in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def idle_bytes(*, own: bool) -> float:
    """Return the memory (PSS) of all that was started, when it has settled."""
    until = time.monotonic() + _SETTLED_S
    last, now = 0.0, 1.0
    while abs(now - last) > 0.005 * now and time.monotonic() < until:
        time.sleep(1)
        pids = descendants(os.getpid()) + ([os.getpid()] if own else [])
        last, now = now, float(sum(pss_bytes(pid) for pid in pids))
    return now


def children(pid: int) -> list[int]:
    """Return the processes that one has started or inherited."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # that thread has ended
            found += map(int, listed.read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """Return the processes below one."""
    below = children(pid)
    return below + [each for child in below for each in descendants(child)]


def pss_bytes(pid: int) -> int:
    """Return a process's memory, shared pages counted by share; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def wait_until(is_so: Callable[[], bool], longest_s: float) -> None:
    """Wait for something to start."""
    until = time.monotonic() + longest_s
    while not is_so():
        if time.monotonic() > until:
            msg = f"It did not start within {longest_s:g} s."
            raise TimeoutError(msg)
        time.sleep(0.005)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
