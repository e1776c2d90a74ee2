"""Every Python block of the documentation runs, top to bottom, as one program for each page."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import runhouse as rh
from runhouse.clusters.status import CloudStatus, ClusterStatus
from runhouse.server.problem import SORTS

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/guide.md",
    "docs/functions.md",
    "docs/modules.md",
    "docs/runs.md",
    "docs/objects.md",
    "docs/http.md",
    "docs/on-demand.md",
    "docs/secrets.md",
    "docs/notebooks.md",
]
_BLOCK = re.compile(r"^```python( \w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEEDS_CLOUD = " cloud"


def blocks(page: str, mark: str = "") -> list[str]:
    """Return the Python blocks of a page that have a mark, or those that have none."""
    found = _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [block for its_mark, block in found if its_mark == mark]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    program = tmp_path / f"{Path(page).stem.lower()}_page.py"
    program.write_text("\n\n".join(blocks(page)))
    assert blocks(page)
    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    rh.here.stop()


@pytest.mark.parametrize("page", PAGES)
def test_blocks_that_need_a_cloud_are_programs(page: str) -> None:
    program = ast.parse("\n".join(blocks(page, _NEEDS_CLOUD)))
    members = [each.attr for each in ast.walk(program) if isinstance(each, ast.Attribute)]
    known = {*dir(rh), *dir(rh.OnDemandCluster), *dir(rh.Function), *dir(rh.Secret)}
    known |= {each.name for kind in (ClusterStatus, CloudStatus) for each in fields(kind)}
    assert set(members) <= known, "they are those of clusters, functions and their status"
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"^```python( .*)$", text, re.MULTILINE)) <= {_NEEDS_CLOUD}


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, "docs/architecture.md", "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_every_setting_is_documented() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    settings = (ROOT / "src" / "runhouse" / "settings.py").read_text(encoding="utf-8")
    for name in set(re.findall(r"`(RH_[A-Z_]+)`", settings)):
        assert f"`{name}`" in guide, name


def test_every_sort_of_problem_is_documented() -> None:
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    for sort, what in SORTS.items():
        (row,) = [
            line for line in page.splitlines() if line.startswith("|") and f"`{sort}`" in line
        ]
        assert str(what.status) in row, sort


@pytest.mark.timeout(60)
def test_the_quickstart_shows_what_it_promises() -> None:
    command = [sys.executable, str(ROOT / "examples" / "quickstart.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    assert "class:     42" in done.stdout
    assert "generator: 3 2 1" in done.stdout
    rh.here.stop()
