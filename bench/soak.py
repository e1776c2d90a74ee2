"""Calls of all kinds for a long time: what a server and its workers take must not grow."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sys
import threading
import time
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

import runhouse as rh
from bench import functions
from bench.rows import Row
from bench.usage import server_pid, usage
from runhouse.server.unix_http import unix_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.usage import Usage

CALLERS = 8
_MEGABYTE = np.ones(1_000_000, dtype="u1")
_QUICK_S = 4.0
_SAMPLES = 200
_SHORTEST_PAUSE_S = 0.25
_REPORT_S = 60.0


def _expect(is_so: bool) -> None:
    if not is_so:
        msg = "A call gave a wrong answer."
        raise AssertionError(msg)


def _remote(function: Callable[..., Any]) -> Callable[..., Any]:
    return rh.function(function).to(rh.here)


def _kinds() -> dict[str, Callable[[], None]]:
    """Return what is done, by name; each does its part and checks the answer."""
    identity, identity_async = _remote(functions.identity), _remote(functions.identity_async)
    numbers, fail = _remote(functions.numbers), _remote(functions.fail)
    size_of, make = _remote(functions.size_of), _remote(functions.make_array)
    counters: Callable[..., functions.Counter] = rh.module(functions.Counter).to(rh.here)

    def value() -> None:
        _expect(identity({"a": [1, 2.5, None]}) == {"a": [1, 2.5, None]})

    def generator() -> None:
        _expect(sum(numbers(50)) == 1225)

    def cancelled_generator() -> None:
        with contextlib.closing(numbers(100_000_000)) as items:
            _expect(list(itertools.islice(items, 3)) == [0, 1, 2])

    def exception() -> None:
        try:
            fail("as expected")
        except ValueError as error:
            _expect(str(error) == "as expected")
        else:
            _expect(False)

    def instance() -> None:
        counter = counters(name=f"soak-{threading.get_ident()}")  # takes the last one's place
        _expect([counter.add(2), counter.add(3)] == [2, 5])

    def large_argument() -> None:
        _expect(size_of(_MEGABYTE) == len(_MEGABYTE))

    def large_result() -> None:
        _expect(len(make(len(_MEGABYTE))) == len(_MEGABYTE))

    def asynchronous() -> None:
        async def several() -> list[object]:
            return list(await asyncio.gather(*map(identity_async, range(4))))

        _expect(asyncio.run(several()) == [0, 1, 2, 3])

    def stored() -> None:
        key = f"kept-{threading.get_ident()}"
        rh.here.put(key, [key], persist=True)
        _expect(rh.here.get(key) == [key])
        rh.here.delete(key)

    def over_http() -> None:
        endpoint = rh.here.calls.client.endpoint
        headers = {"Authorization": f"Bearer {endpoint.token}"}
        with contextlib.closing(unix_connection(endpoint.http_path(), 60)) as client:
            client.request("POST", "/call/identity", '{"args": [[1, "a"]]}', headers)
            _expect(client.getresponse().read() == b'[1,"a"]')

    kinds = (value, generator, cancelled_generator, exception, instance, stored, over_http)
    return {kind.__name__: kind for kind in (*kinds, large_argument, large_result, asynchronous)}


class _Callers:
    """Do things of all kinds from several threads until told to stop."""

    def __init__(self) -> None:
        """Prepare what is done."""
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._kinds = list(_kinds().items())
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(CALLERS)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, after what each thread is doing."""
        self._stop.set()
        for thread in filter(threading.Thread.is_alive, self._threads):
            thread.join(60)

    def _run(self, seed: int) -> None:
        choose = random.Random(seed)  # noqa: S311 - not for secrets
        while not self._stop.is_set():
            name, act = choose.choice(self._kinds)
            try:
                act()
            except Exception as error:  # noqa: BLE001 - counted, and makes the run fail
                self.failed[name] += 1
                sys.stderr.write(f"soak: {name}: {type(error).__name__}: {error}\n")
                self._stop.wait(1)
            self.done[name] += 1


def soak_rows(*, quick: bool, minutes: float) -> list[Row]:
    """Do things of all kinds for some time, and measure what grows meanwhile."""
    duration = _QUICK_S if quick else minutes * 60
    callers, server = _Callers(), server_pid()
    try:
        callers.start()
        samples = _sample(server, duration, callers)
    finally:
        callers.stop()
    done, failed = sum(callers.done.values()), sum(callers.failed.values())
    return [
        Row("soak, things done", done, "", None, dict_text(callers.done), 1, 1, "more"),
        Row("soak, things failed", failed, "", None, dict_text(callers.failed), 0, 0, "less"),
        *growth_rows(samples),
    ]


def dict_text(counted: Counter[str]) -> str:
    """Return counts as text."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counted.items()))


def _sample(server: int, duration: float, callers: _Callers) -> list[Usage]:
    """Look at intervals at what the server and its workers take."""
    pause = max(_SHORTEST_PAUSE_S, duration / _SAMPLES)
    samples: list[Usage] = []
    ends, reported = time.monotonic() + duration, time.monotonic()
    while time.monotonic() < ends:
        time.sleep(pause)
        samples.append(usage(server))
        if time.monotonic() - reported > _REPORT_S:
            reported = time.monotonic()
            sys.stderr.write(f"soak: {sum(callers.done.values()):,} done, {samples[-1]}\n")
    return samples


def growth_rows(samples: list[Usage]) -> list[Row]:
    """Return how much the last quarter of samples lies above the second one (medians)."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]

    def row(name: str, unit: str, bound: float, take: Callable[[Usage], float]) -> Row:
        first, last = (median(map(take, part)) for part in (early, late))
        text = f"from {first:,.0f} to {last:,.0f}"
        return Row(f"soak, growth of {name}", last - first, unit, None, text, bound, bound, "less")

    return [
        row("memory", "MB", 10, lambda each: each.memory_bytes / 1e6),
        row("threads", "", 2, lambda each: each.threads),
        row("descriptors", "", 5, lambda each: each.descriptors),
        row("processes", "", 0, lambda each: each.processes),
        row("files", "", 10, lambda each: each.files),
    ]
