"""The command line: `python -m bench [--only NAME,…] [--quick] [--json]`."""

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
from bench import local, remote
from bench.rows import print_table
from runhouse import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from bench.rows import Row

GROUPS: dict[str, Callable[..., list[Row]]] = {
    "call": local.call_rows,
    "rate": local.rate_rows,
    "bulk": local.bulk_rows,
    "generator": local.generator_rows,
    "import": local.import_rows,
    "cold": local.cold_rows,
    "start": remote.start_rows,
    "tunnel": remote.tunnel_rows,
}
_NEED_ROOT = ("start", "tunnel")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as with Ctrl-C, so that all that was started is stopped."""
    del number, frame
    raise KeyboardInterrupt


def _measure(names: list[str], *, quick: bool) -> list[Row]:
    """Return the rows of some groups, without those that cannot be had here."""
    rows: list[Row] = []
    for name in names:
        if name in _NEED_ROOT and os.geteuid():
            sys.stderr.write(f"{name}: left out, it makes machines and needs root\n")
            continue
        sys.stderr.write(f"{name} ...\n")
        try:
            rows += GROUPS[name](quick=quick)
        except pytest.skip.Exception as reason:
            sys.stderr.write(f"{name}: left out, {reason}\n")
    return rows


def main() -> int:
    """Measure what was asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="few repetitions: to see that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    names = options.only.split(",")
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="rh-bench-") as home:
        os.environ["RH_HOME"] = home
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process would compile again
        settings.load.cache_clear()
        try:
            rows = _measure(names, quick=options.quick)
        except KeyboardInterrupt:
            return 130
        finally:
            rh.here.stop()
    if options.json:
        sys.stdout.write(json.dumps([row.to_json() for row in rows], indent=2) + "\n")
    else:
        print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
