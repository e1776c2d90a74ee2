"""Links of built pages are followed by a script of this project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import check_links

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text('<h1 id="top">.</h1><a href="sub/a.html#here">.</a>')
    (tmp_path / "sub" / "a.html").write_text('<a name="here"></a><a href="../index.html#top">.</a>')
    return tmp_path


def test_links_that_lead_somewhere_are_fine(pages: Path) -> None:
    assert check_links.broken(pages) == []


def test_links_of_other_sites_are_not_followed(pages: Path) -> None:
    (pages / "b.html").write_text(
        '<a href="https://example.org/x#y">.</a><a href="mailto:a@b">.</a>'
    )
    assert check_links.broken(pages) == []


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("nowhere.html", "there is no such file"),
        ("sub/a.html#gone", "there is no such place in it"),
        ("#gone", "there is no such place in it"),
    ],
)
def test_a_link_that_leads_nowhere_is_told(pages: Path, link: str, why: str) -> None:
    (pages / "b.html").write_text(f'<a href="{link}">.</a>')
    assert check_links.broken(pages) == [f"b.html: {link}: {why}"]


def test_pictures_are_links_too(pages: Path) -> None:
    (pages / "b.html").write_text('<img src="_static/none.svg">')
    assert check_links.broken(pages) == ["b.html: _static/none.svg: there is no such file"]
