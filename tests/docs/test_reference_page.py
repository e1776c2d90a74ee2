"""The page about clusters, in the form in which a user has it, builds against this package.

It is put unchanged into an empty Sphinx project, with autosectionlabel, and with napoleon because
docstrings are in Google's form; nothing of ours is in the project.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import runhouse as rh

PAGE = Path(__file__).parent / "reference" / "cluster.rst"
OURS = Path(__file__).parents[2] / "docs" / "api" / "python" / "cluster.rst"
CLASSES = ["Cluster", "OnDemandCluster", "SageMakerCluster"]
FACTORIES = ["cluster", "sagemaker_cluster"]

# The page's own: a title whose line is too short, and a language that nobody knows.
_OWN_WARNINGS = {
    "WARNING: Title underline too short.",
    "WARNING: Pygments lexer name 'cli' is not known [misc.highlighting_failure]",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the page; return the project's directory, with what Sphinx has said in a file."""
    project = tmp_path_factory.mktemp("project")
    shutil.copy(PAGE, project)
    extensions = [f"sphinx.ext.{name}" for name in ("autodoc", "autosectionlabel", "napoleon")]
    (project / "conf.py").write_text(f"extensions = {extensions}\nroot_doc = 'cluster'\n")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--no-color", "-b", "html", ".", "html"]
    done = subprocess.run(
        command, cwd=project, capture_output=True, text=True, check=True, timeout=50
    )
    (project / "said").write_text(done.stderr)
    return project


def _page(built: Path) -> str:
    return (built / "html" / "cluster.html").read_text(encoding="utf-8")


def _plain(markup: str) -> str:
    """Return the letters of a piece of HTML or reStructuredText."""
    return re.sub(r"[\s`'\"\u2018-\u201d\\\\]", "", html.unescape(re.sub(r"<[^>]*>", "", markup)))


@pytest.mark.timeout(60)
def test_no_warning_comes_from_the_package(built: Path) -> None:
    said = re.findall(r"(?:WARNING|ERROR).*", (built / "said").read_text())
    assert {each for each in said if each not in _OWN_WARNINGS} == set()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", CLASSES)
def test_each_member_is_shown_with_signature_and_docstring(built: Path, name: str) -> None:
    page = _page(built)
    kind = getattr(rh, name)
    for member in dir(kind):
        what = getattr(kind, member)
        if member.startswith("_") or ":meta private:" in (what.__doc__ or ""):
            continue
        if not callable(what) and not isinstance(what, property):
            continue
        entry = page.partition(f'id="runhouse.{name}.{member}"')[2].partition("</dd></dl>")[0]
        assert entry, f"{name}.{member} is not shown"
        signature = entry.partition("</dt>")[0]
        assert isinstance(what, property) or "(" in _plain(signature)
        assert _plain(what.__doc__.partition("\n\n")[0]) in _plain(entry), f"{name}.{member}"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FACTORIES)
def test_each_factory_is_shown_with_signature_and_docstring(built: Path, name: str) -> None:
    entry = _page(built).partition(f'id="runhouse.{name}"')[2]
    assert "dryrun" in entry.partition("</dt>")[0]
    assert "InvalidNameError" in entry


@pytest.mark.timeout(60)
def test_references_to_its_own_sections_lead_there(built: Path) -> None:
    page = _page(built)
    labels = set(re.findall(r":ref:`[^`<]*<([^`>]+)>`", PAGE.read_text()))
    labels |= set(re.findall(r":ref:`([^`<]+)`", PAGE.read_text()))
    assert len(labels) > 3
    for label in labels:
        anchor = re.sub(r"[^a-z]+", "-", label.lower())
        assert f'href="#{anchor}"><span class="std std-ref">' in page, label
        assert f'id="{anchor}"' in page, label


def _parts(text: str) -> dict[str, list[str]]:
    """Return the titles, directives and labels of a page."""
    return {
        "titles": re.findall(r"^(.+)\n(?:=|~|-|\^){3,}$", text, re.MULTILINE),
        "directives": re.findall(r"^ *\.\. ([\w-]+:: ?[\w.]*)$", text, re.MULTILINE),
        "labels": sorted(set(re.findall(r":ref:`(?:[^`<]*<)?([^`<>]+)>?`", text))),
    }


def test_our_own_page_has_each_section_directive_and_label() -> None:
    theirs, ours = _parts(PAGE.read_text()), _parts(OURS.read_text())
    assert len(theirs["titles"]) == 12
    for kind, names in theirs.items():
        rest = iter(ours[kind])
        missing = [name for name in names if name not in rest]  # in this order
        assert missing == [], kind


def test_our_own_page_is_in_our_own_words() -> None:
    ours = " ".join(OURS.read_text().split())
    for sentence in re.split(r"(?<=[.:])\s", " ".join(PAGE.read_text().split())):
        if len(sentence) > 60 and "http" not in sentence and "::" not in sentence:
            assert sentence not in ours
