"""Figures of a host behind SSH: a machine of the tests, made for the run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from functools import partial
from statistics import median

import numpy as np

import runhouse as rh
from bench import functions
from bench.limits import Bulk, bulk_service, cold_ssh, ssh_forward
from bench.local import BULK, interleaved, seconds
from bench.machines import box as machine
from bench.rows import Row
from bench.starts import first_result


def _wait_for_the_connection_to_end(home: str) -> None:
    """Wait until no ssh process serves a home any more, so that the next one starts cold."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        listed = subprocess.run(["pgrep", "-f", f"^ssh .*{home}"], check=False, capture_output=True)
        if listed.returncode:
            return
        time.sleep(0.1)


def start_rows(*, quick: bool) -> list[Row]:
    """Measure the way to the first result on a bare and on a running host."""
    bare: list[float] = []
    warm: list[float] = []
    cold: list[float] = []
    for _ in range(1 if quick else 5):
        with machine() as client, tempfile.TemporaryDirectory(prefix="rh-b-") as home:
            cold_ssh(client.config, "box")
            for into in (bare, warm):
                cold.append(seconds(partial(cold_ssh, client.config, "box")))
                variables = {"RH_SSH_CONFIG": str(client.config), "RH_SSH_PERSIST_S": "1"}
                into.append(first_result(home, "box", **variables))
                _wait_for_the_connection_to_end(home)
    base, against = median(cold), "cold `ssh host true`"
    return [
        Row("bare SSH host -> first result", median(bare), "s", base, against, 12, 8, "less"),
        Row("running host, new process -> result", median(warm), "s", base, against, 4, 3, "less"),
    ]


def tunnel_rows(*, quick: bool) -> list[Row]:
    """Measure calls and bulk through the tunnel against OpenSSH's own forwarding."""
    with machine() as client, bulk_service() as service, client.used_by_this_process():
        box = rh.cluster("box", host="box", python=sys.executable)  # it has NumPy
        try:
            with ssh_forward(client.config, "box", service) as port:
                raw = Bulk(port)
                rows = _tunnel_rows(box, raw, quick=quick)
                raw.close()
            return rows
        finally:
            box.stop()
            box.disconnect()


def _tunnel_rows(box: rh.Cluster, raw: Bulk, *, quick: bool) -> list[Row]:
    through = rh.function("operator:pos").to(box)
    local = rh.function(functions.identity).to(rh.here)
    take = rh.function("builtins:len").to(box)
    rounds = 3 if quick else 15
    interleaved(lambda: through(1), lambda: raw.receive(1), 2, 30)
    calls, trips = interleaved(lambda: through(1), lambda: raw.receive(1), rounds, 60)
    here = [seconds(lambda: local(1)) for _ in range(500)]
    array = np.ones(BULK, dtype="u1")
    interleaved(lambda: take(array), lambda: raw.send(BULK), 1, 1)
    ours, peer = interleaved(lambda: take(array), lambda: raw.send(BULK), 2 if quick else 6, 1)
    limit = (median(trips) + median(here)) * 1e3
    against = "`ssh -L` round trip + local call"
    return [
        Row(
            "call through the tunnel, p50", median(calls) * 1e3, "ms", limit, against, 2, 1, "less"
        ),
        Row(
            "100 MB through the tunnel",
            BULK / 1e9 / median(ours),
            "GB/s",
            BULK / 1e9 / median(peer),
            "raw `ssh -L`",
            0.25,
            0.8,
            "more",
        ),
    ]
