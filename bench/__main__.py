"""The command line: `python -m bench [--only NAME,…] [--quick] [--json] [--minutes N]`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from bench import cloud, editing, load, local, remote, soak, ssm, systems
from bench.rows import print_others, print_table
from runhouse import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from bench.rows import Figures, Row

GROUPS: dict[str, Callable[..., list[Row]]] = {
    "call": local.call_rows,
    "rate": local.rate_rows,
    "bulk": local.bulk_rows,
    "generator": local.generator_rows,
    "import": local.import_rows,
    "cold": local.cold_rows,
    "start": remote.start_rows,
    "tunnel": remote.tunnel_rows,
    "sync": editing.editing_rows,
    "memory": load.memory_rows,
    "scale": load.scale_rows,
    "cloud": cloud.cloud_rows,
    "ssm": ssm.ssm_rows,
}
_NEED_ROOT = ("start", "tunnel", "sync", "cloud", "ssm")
_PEERS, _SOAK = "peers", "soak"
_DEFAULT = [*GROUPS, _PEERS]
_NAMES = [*_DEFAULT, _SOAK]


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as with Ctrl-C, so that all that was started is stopped."""
    del number, frame
    raise KeyboardInterrupt


def _measure(options: argparse.Namespace) -> tuple[list[Row], dict[str, Figures]]:
    """Return the rows of some groups, without those that cannot be had here; and other systems."""
    rows: list[Row] = []
    others: dict[str, Figures] = {}
    for name in options.only.split(","):
        if name in _NEED_ROOT and os.geteuid():
            sys.stderr.write(f"{name}: left out, it makes machines and needs root\n")
            continue
        sys.stderr.write(f"{name} ...\n")
        try:
            if name == _PEERS:
                others = systems.measure(quick=options.quick)
                rows += systems.peer_rows(others)
            elif name == _SOAK:
                rows += soak.soak_rows(quick=options.quick, minutes=options.minutes)
            else:
                rows += GROUPS[name](quick=options.quick)
        except pytest.skip.Exception as reason:
            sys.stderr.write(f"{name}: left out, {reason}\n")
    return rows, others


def main() -> int:
    """Measure what was asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--only",
        default=",".join(_DEFAULT),
        help=f"some of {','.join(_NAMES)}; all but {_SOAK} unless given",
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions: to see that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--minutes", type=float, default=60, help=f"how long {_SOAK} goes on")
    options = parser.parse_args()
    unknown = [name for name in options.only.split(",") if name not in _NAMES]
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}; there are {', '.join(_NAMES)}")
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="rh-bench-") as home:
        os.environ["RH_HOME"] = home
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process would compile again
        settings.load.cache_clear()
        try:
            rows, others = _measure(options)
        except KeyboardInterrupt:
            return 130
        finally:
            rh.here.stop()
    if options.json:
        found = {"rows": [row.to_json() for row in rows], "others": others}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        print_table(rows)
        print_others(others)
    return 0


if __name__ == "__main__":
    sys.exit(main())
