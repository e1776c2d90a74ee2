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
from runhouse.bootstrap.host import Tunnel
from runhouse.clusters.status import CloudStatus, ClusterStatus
from runhouse.server.problem import SORTS
from tests.rigs.commands import commands

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
_BLOCK = re.compile(r"^```python( \w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEEDS_CLOUD = " cloud"
EXAMPLES = [page for page in PAGES if "```python\n" in (ROOT / page).read_text(encoding="utf-8")]


def blocks(page: str, mark: str = "") -> list[str]:
    """Return the Python blocks of a page that have a mark, or those that have none."""
    found = _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [block for its_mark, block in found if its_mark == mark]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("page", EXAMPLES)
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    program = tmp_path / f"{Path(page).stem.lower()}_page.py"
    program.write_text("\n\n".join(blocks(page)))
    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    rh.here.stop()


@pytest.mark.parametrize("page", PAGES)
def test_blocks_that_need_a_cloud_are_programs(page: str) -> None:
    program = ast.parse("\n".join(blocks(page, _NEEDS_CLOUD)))
    members = [each.attr for each in ast.walk(program) if isinstance(each, ast.Attribute)]
    kinds = (rh, rh.OnDemandCluster, rh.SageMakerCluster, rh.Function, rh.Secret, rh.Folder, Tunnel)
    known = {name for kind in kinds for name in dir(kind)} | {"exit_code", "reason"}
    known |= {each.name for kind in (ClusterStatus, CloudStatus) for each in fields(kind)}
    assert set(members) <= known, "they are those of clusters, functions and their status"
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"^```python( .*)$", text, re.MULTILINE)) <= {_NEEDS_CLOUD}


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, "CONTRIBUTING.md"]:
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


def test_every_error_has_a_cause_and_what_to_do() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = {
        row[0].strip(" *`"): row[1:]
        for row in re.findall(r"^\| (.*) \| (.*) \| (.*) \|$", page, re.M)
    }
    for name in vars(rh.errors):
        if name.endswith(("Error", "Warning")) and name != "RunhouseError":
            cause, advice = rows[name]
            assert cause.strip(), name
            assert advice.strip(), name


def test_attributes_that_troubleshooting_names_are_there() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    for name, cause in re.findall(r"^\| \*?`(\w+)`\*? \| (.*?) \|", page, re.M):
        error = getattr(rh.errors, name, None)
        facts = " ".join(each.__doc__ or "" for each in error.__mro__) if error else ""
        for fact in re.findall(r"`\.(\w+)`", cause):
            assert f"{fact}: " in facts, f"{name}.{fact}"


def _options() -> dict[str, set[str]]:
    """Return the options of each command of `rh`, by its words."""
    return {
        " ".join(words): {name for each in command.params for name in each.opts} | {"-h", "--help"}
        for words, command in commands().items()
    }


@pytest.mark.parametrize("page", [*PAGES, "bench/README.md", "CONTRIBUTING.md"])
def test_commands_that_pages_show_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    known = _options()
    for line in re.findall(r"^(?:\$ |    |> )rh (.*)$|`rh ([^`]+)`", text, re.MULTILINE):
        shown = re.split(r" {2,}#| -- | \| ", "".join(line))[0].split()
        if not shown or shown[0].isupper():
            continue
        word = " ".join(shown[:2]) if " ".join(shown[:2]) in known else shown[0]
        if word.startswith("-"):
            word = ""
        assert word in known, f"{page}: rh {' '.join(shown)}"
        if word != "call":  # whose function has options, too
            options = {each.partition("=")[0] for each in shown if re.match(r"--?[a-z]", each)}
            assert options <= known[word], f"{page}: rh {' '.join(shown)}"


def test_what_others_are_told_to_use_is_there() -> None:
    page = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
    owners: dict[str, object] = {"rh": rh, "rh.run": rh.run, "cluster": rh.OnDemandCluster}
    owners |= {"f": rh.Function, "ref": rh.Reference, "run": rh.Run, "remote_fn": rh.Function}
    seen = 0
    for here in re.findall(r"^\| .* \| (.*) \|$", page, re.MULTILINE):
        for owner, name in re.findall(r"(?<![\w.])(rh\.run|\w+)\.(\w+)", here):
            if owner in owners:
                assert hasattr(owners[owner], name), f"{owner}.{name}"
                seen += 1
    assert seen > 40
