"""Pages that are made from the code are the present ones, and say all of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.server.openapi import fixed_pages
from scripts import cli_page, http_routes_page

if TYPE_CHECKING:
    from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"
API = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("api/python/*.rst"))


@pytest.mark.parametrize(("name", "made"), [("cli", cli_page), ("http-routes", http_routes_page)])
def test_the_page_is_the_present_one(name: str, made: ModuleType) -> None:
    written = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert made.page() == written, "write it anew: scripts/docs.sh --write"


def test_every_command_has_an_example() -> None:
    for part in cli_page.page().split("\n## ")[1:]:
        name, usage = part.partition("\n")[0], "```text\nrh"
        assert usage not in part or f"$ {name}" in part, name


def test_every_route_is_told() -> None:
    page = http_routes_page.page()
    for path, methods in fixed_pages().items():
        for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
            assert f"## `{method.upper()} {path}`" in page


@pytest.mark.parametrize("name", [name for name in rh.__all__ if name not in vars(rh.errors)])
def test_every_public_name_is_in_the_reference(name: str) -> None:
    assert f"runhouse.{name}" in API, "add it to a page of docs/api/python"
