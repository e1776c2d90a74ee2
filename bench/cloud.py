"""Figures of machines that SkyPilot launches, in a region made for the run.

Inside of it, `python -m bench.cloud ROUNDS` prints the seconds of both sides as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pytest

from bench.rows import Row
from bench.starts import first_result

_ROOT = Path(__file__).parents[1]
_LONGEST_S = 1800
_TYPE = "m6i.large"
# What `sky launch` does, without a command line; the machine goes when it is idle, as ours does.
_LAUNCH = f"""
import sky
task = sky.Task()
task.set_resources(sky.Resources(instance_type={_TYPE!r}))
sky.get(sky.launch(task, cluster_name="bare", idle_minutes_to_autostop=30, down=True))
"""


def cloud_rows(*, quick: bool) -> list[Row]:
    """Measure what we add to a launch; needs root and SkyPilot's environment, which is made."""
    rounds = "1" if quick else "3"
    command = ["scripts/in-region.sh", "-m", "bench.cloud", rounds]
    done = subprocess.run(
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=_LONGEST_S
    )
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if not last.startswith("{"):
        pytest.skip(last)
    found = json.loads(last)
    name, against = "cloud: no machine -> first result", "bare `sky.launch`"
    ours, peer = median(found["ours"]), median(found["bare"])
    return [Row(name, ours, "s", peer, against, 1.15, 1.15, "less")]


def _seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=sys.stderr, timeout=_LONGEST_S)
    return time.perf_counter() - began


def _down(name: str) -> None:
    _seconds("sky", "down", "--yes", name)


def main() -> None:
    """Launch with and without runhouse in turn, and print how long each took."""
    found: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(1 + int(sys.argv[1])):  # the first time, everything is slower
        found["bare"].append(_seconds(sys.executable, "-c", _LAUNCH))
        _down("bare")
        with TemporaryDirectory(prefix="rh-b-") as home:
            paths = os.pathsep.join([str(_ROOT), str(_ROOT / "src")])
            found["ours"].append(first_result(home, "ours", _TYPE, PYTHONPATH=paths))
        _down("ours")
    sys.stdout.write(json.dumps({name: each[1:] for name, each in found.items()}) + "\n")


if __name__ == "__main__":
    main()
