"""The command line: `python -m bench [--only NAME,…] [--quick] [--json]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING

import runhouse as rh
from bench import local, remote
from bench.rows import print_table
from runhouse import settings

if TYPE_CHECKING:
    from collections.abc import Callable

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
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="rh-bench-") as home:
        os.environ["RH_HOME"] = home
        settings.load.cache_clear()
        try:
            for name in names:
                if name in _NEED_ROOT and os.geteuid():
                    sys.stderr.write(f"{name}: left out, it makes machines and needs root\n")
                    continue
                sys.stderr.write(f"{name} ...\n")
                rows += GROUPS[name](quick=options.quick)
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
