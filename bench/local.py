"""Figures of this machine's own cluster."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

import numpy as np

import runhouse as rh
from bench import functions
from bench.callers import call_from_threads
from bench.limits import MEGABYTE, Bulk, bulk_service, http_echo, item_service
from bench.rows import Row
from bench.starts import first_result, local_home, run_python
from runhouse.server.nodes import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

CALLERS = 32
BULK = 100 * MEGABYTE


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def interleaved(
    first: Callable[[], object], second: Callable[[], object], rounds: int, batch: int
) -> tuple[list[float], list[float]]:
    """Time two actions in turn, so that both meet the machine in the same states."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for action, into in zip((first, second), times, strict=True):
            into.extend(seconds(action) for _ in range(batch))
    return times


def call_rows(*, quick: bool) -> list[Row]:
    """Measure a call that does nothing against an HTTP echo."""
    remote = rh.function(functions.identity).to(rh.here)
    with http_echo() as echo:
        interleaved(lambda: remote(1), echo, 3, 50)
        ours, peer = interleaved(lambda: remote(1), echo, 5 if quick else 30, 100)
    rows = []
    for name, figure in (("p50", median), ("p99", _p99)):
        mine, theirs = figure(ours) * 1e3, figure(peer) * 1e3
        against = f"HTTP echo {name}"
        rows.append(Row(f"local call, {name}", mine, "ms", theirs, against, 4, 2.5, "less"))
    return rows


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


def rate_rows(*, quick: bool) -> list[Row]:
    """Measure how many calls several callers get through, against as many of the HTTP echo."""
    remote = rh.function(functions.identity).to(rh.here)
    each = 30 if quick else 200
    with http_echo() as echo:
        ours, peer = (
            partial(call_from_threads, lambda: remote(1), CALLERS, each),
            partial(call_from_threads, echo, CALLERS, each),
        )
        interleaved(ours, peer, 1, 1)
        mine, theirs = (
            CALLERS * each / median(times)
            for times in interleaved(ours, peer, 3 if quick else 7, 1)
        )
    name, against = f"calls/s, {CALLERS} callers", f"HTTP echo, {CALLERS} callers"
    return [Row(name, mine, "/s", theirs, against, 1500, 4438, "more", by="figure")]


def bulk_rows(*, quick: bool) -> list[Row]:
    """Measure large arguments and results against raw TCP."""
    take = rh.function(functions.size_of).to(rh.here)
    make = rh.function(functions.make_array).to(rh.here)
    array = np.ones(BULK, dtype="u1")
    times: dict[str, list[float]] = {name: [] for name in ("arg", "raw arg", "result", "raw")}
    with bulk_service() as port:
        raw = Bulk(port)
        for number in range(3 if quick else 12):
            measured = {
                "arg": seconds(lambda: take(array)),
                "raw arg": seconds(lambda: raw.send(BULK)),
                "result": seconds(lambda: make(BULK)),
                "raw": seconds(lambda: raw.receive(BULK)),
            }
            if number:  # the first round touches memory for the first time
                for name, value in measured.items():
                    times[name].append(value)
        raw.close()
    speed = {name: BULK / 1e9 / median(values) for name, values in times.items()}
    against = "raw loopback TCP"
    return [
        Row("100 MB argument", speed["arg"], "GB/s", speed["raw arg"], against, 0.25, 0.5, "more"),
        Row("100 MB result", speed["result"], "GB/s", speed["raw"], against, 0.25, 0.5, "more"),
    ]


def generator_rows(*, quick: bool) -> list[Row]:
    """Measure how fast the items of a generator arrive, against small messages sent one by one."""
    numbers = rh.function(functions.numbers).to(rh.here)
    count = 2_000 if quick else 50_000
    with item_service() as read:
        ours, peer = interleaved(
            lambda: sum(1 for _ in numbers(count)), lambda: read(count), 3 if quick else 7, 1
        )
    rate, limit = count / median(ours), count / median(peer)
    against = "small messages over loopback TCP"
    return [Row("generator items", rate, "/s", limit, against, 20_000, 20_000, "more", by="figure")]


def import_rows(*, quick: bool) -> list[Row]:
    """Measure `import runhouse` over an empty program."""
    run_python("import runhouse")  # writes byte code
    ours, empty = interleaved(
        lambda: run_python("import runhouse"), lambda: run_python("pass"), 3 if quick else 25, 1
    )
    mine, theirs = median(ours) * 1e3, median(empty) * 1e3
    against = "`python -c pass`"
    return [Row("import runhouse", mine, "ms", theirs, against, 120, 80, "less", by="difference")]


def cold_rows(*, quick: bool) -> list[Row]:
    """Measure from nothing running to the first result, and what stays in memory."""
    with local_home() as home:
        first_result(home)  # writes byte code
    times, empty, sizes, idle = [], [], [], []
    for _ in range(2 if quick else 9):
        with local_home() as home:
            times.append(first_result(home))
            sizes.append(_idle_bytes(home))
        empty.append(seconds(lambda: run_python("pass")))
        idle.append(_idle_interpreters(2))
    name, size = "nothing running -> first local result", "idle server + one worker, PSS"
    against = "`python -c pass`"
    pss, limit = median(sizes) / 1e6, median(idle) / 1e6
    return [
        Row(name, median(times), "s", median(empty), against, 1.5, 1, "less", by="figure"),
        Row(size, pss, "MB", limit, "two idle interpreters", 80, 80, "less", by="figure"),
    ]


def _idle_bytes(home: str) -> int:
    """Return the memory of the server that runs for a home, and of its worker."""
    (info,) = Path(home, "rh", "local").glob("*/server.json")
    server = int(json.loads(info.read_text())["pid"])
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    return sum(resident_bytes(pid) for pid in (server, *map(int, children)))


def _idle_interpreters(count: int) -> int:
    """Return the memory of interpreters that wait for input."""
    program = "import sys; print(flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            command = [sys.executable, "-c", program]
            process = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe))
            stack.callback(process.kill)
            made.append(process)
        for process in made:
            assert process.stdout is not None
            process.stdout.readline()
        return sum(resident_bytes(process.pid) for process in made)
