"""Figures of this machine's own cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

import numpy as np

import runhouse as rh
from bench import functions
from bench.peers import MEGABYTE, Bulk, bulk_service, http_echo
from bench.rows import Row
from runhouse.server.nodes import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
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
    """Measure how many calls several callers get through."""
    remote = rh.function(functions.identity).to(rh.here)
    each = 30 if quick else 300

    def caller() -> None:
        for _ in range(each):
            remote(1)

    def all_callers() -> None:
        threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_callers()
    rate = CALLERS * each / median(seconds(all_callers) for _ in range(3))
    return [Row(f"calls/s, {CALLERS} callers", rate, "/s", None, "", 1500, 4438, "more")]


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
    """Measure how fast the items of a generator arrive."""
    numbers = rh.function(functions.numbers).to(rh.here)
    count = 2_000 if quick else 50_000
    rate = count / median(seconds(lambda: sum(1 for _ in numbers(count))) for _ in range(3))
    return [Row("generator items", rate, "/s", None, "", 20_000, 20_000, "more")]


def _python(code: str, home: str | None = None) -> float:
    environment = os.environ | ({"RH_HOME": home} if home is not None else {})
    command = [sys.executable, "-c", code]
    return seconds(
        lambda: subprocess.run(command, check=True, env=environment, cwd=ROOT, timeout=60)
    )


def import_rows(*, quick: bool) -> list[Row]:
    """Measure `import runhouse` over an empty program."""
    ours, empty = interleaved(
        lambda: _python("import runhouse"), lambda: _python("pass"), 1 if quick else 20, 1
    )
    over = (median(ours) - median(empty)) * 1e3
    return [Row("import runhouse, over `pass`", over, "ms", None, "", 120, 80, "less")]


_FIRST = """
import runhouse as rh
assert rh.function("operator:neg").to(rh.here)(7) == -7
"""


def cold_rows(*, quick: bool) -> list[Row]:
    """Measure from nothing running to the first result, and what stays in memory."""
    times, sizes = [], []
    for _ in range(1 if quick else 7):
        with tempfile.TemporaryDirectory(prefix="rh-bench-") as home:
            times.append(_python(_FIRST, home))
            sizes.append(_idle_bytes(home))
    return [
        Row("nothing running -> first local result", median(times), "s", None, "", 1.5, 1, "less"),
        Row("idle server + one worker, PSS", median(sizes) / 1e6, "MB", None, "", 80, 80, "less"),
    ]


def _idle_bytes(home: str) -> int:
    """Return the memory of a server and its worker, and stop them."""
    code = (
        "import json, runhouse as rh; s = rh.here.host_of().up(); print(s.pid)\n"
        "import sys; sys.stdin.read(); rh.here.stop()"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env=os.environ | {"RH_HOME": home}
    ) as process:
        assert process.stdout is not None
        server = int(process.stdout.readline())
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        size = sum(resident_bytes(pid) for pid in (server, *map(int, children)))
        process.communicate("", timeout=20)
    return size
