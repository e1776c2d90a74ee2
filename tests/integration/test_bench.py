"""The bench runs and prints a table whose figures make sense."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.rows import Row, print_table

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(90)
@pytest.mark.slow
def test_a_quick_run_gives_figures() -> None:
    groups = "generator,import,cold"  # those whose peers need nothing more than the tests do
    command = [sys.executable, "-m", "bench", "--quick", "--json", "--only", groups]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=80)
    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows] == [
        "generator items",
        "import runhouse",
        "nothing running -> first local result",
        "idle server + one worker, PSS",
    ]
    assert all(row["ours"] > 0 and row["peer"] > 0 and row["against"] for row in rows)
    assert done.stderr == "generator ...\nimport ...\ncold ...\n"


def test_an_unknown_group_is_refused() -> None:
    command = [sys.executable, "-m", "bench", "--only", "speed"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 2
    assert "there is no group speed" in done.stderr


def test_a_row_knows_whether_its_target_holds(capsys: pytest.CaptureFixture[str]) -> None:
    ratio = Row("call", 0.2, "ms", 0.1, "echo", 4, 1.5, "less")
    rate = Row("calls/s", 2000, "/s", 1000, "echo", 1500, 4000, "more", by="figure")
    start = Row("import", 60, "ms", 40, "pass", 30, 10, "less", by="difference")
    assert ratio.figure == pytest.approx(2)
    assert (ratio.holds(ratio.bound), ratio.holds(ratio.later)) == (True, False)
    assert (rate.holds(rate.bound), rate.holds(rate.later)) == (True, False)
    assert (start.holds(start.bound), start.holds(start.later)) == (True, False)
    assert (rate.to_json()["holds"], rate.to_json()["ratio"]) == (True, 2)
    print_table([ratio, rate, start])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| call | 0.2 ms | 0.1 ms (echo) | 2 | <= 4 x ok | <= 1.5 x MISSED |"
    assert lines[3].endswith("| 2 | >= 1,500 /s ok | >= 4,000 /s MISSED |")
    assert lines[4].endswith("| 1.5 | <= +30 ms ok | <= +10 ms MISSED |")
