"""Tokens: what each allows, what is kept of them, and what happens to a broken file."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from runhouse.server.auth import Access, Tokens, read_or_make_token

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """Give the tokens of a server whose own one is "own"."""
    return Tokens("own", tmp_path / "tokens.json")


def test_each_token_allows_what_it_was_made_for(tokens: Tokens) -> None:
    full, looking = tokens.create("full", read_only=False), tokens.create("look", read_only=True)
    assert tokens.access("Bearer own") is Access.FULL
    assert tokens.access(f"bearer  {full} ") is Access.FULL
    assert tokens.access(f"Bearer {looking}") is Access.READ
    assert full != looking
    assert [(info.name, info.read_only) for info in tokens.list()] == [
        ("full", False),
        ("look", True),
    ]


def test_a_token_says_whose_it_is(tokens: Tokens) -> None:
    looking = tokens.create("look", read_only=True)
    assert tokens.holder("Bearer own") == ("owner", Access.FULL)
    assert tokens.holder(f"Bearer {looking}") == ("look", Access.READ)
    assert tokens.holder(f"Basic {looking}") == ("", Access.NONE)
    assert tokens.holder("Bearer ownn")[1] is Access.NONE


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "own", "Basic own", "Bearer ownn"])
def test_other_headers_allow_nothing(tokens: Tokens, header: str) -> None:
    assert tokens.access(header) is Access.NONE


@given(st.text(max_size=50))
def test_no_text_is_taken_for_a_token(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    tokens = Tokens("own", tmp_path_factory.getbasetemp() / "none.json")
    if text.strip() != "own":
        assert tokens.access(f"Bearer {text}") is Access.NONE


def test_only_digests_are_kept_and_they_survive(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.create("a", read_only=True)
    path = tmp_path / "tokens.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in path.read_text()
    again = Tokens("other", path)
    assert again.access(f"Bearer {token}") is Access.READ
    assert again.access("Bearer own") is Access.NONE
    assert again.list() == tokens.list()


def test_a_digest_is_no_token(tokens: Tokens, tmp_path: Path) -> None:
    tokens.create("a", read_only=False)
    (digest,) = json.loads((tmp_path / "tokens.json").read_text())
    assert tokens.access(f"Bearer {digest}") is Access.NONE


def test_a_token_of_the_same_name_takes_the_place_of_the_first(tokens: Tokens) -> None:
    first = tokens.create("a", read_only=False)
    second = tokens.create("a", read_only=True)
    assert tokens.access(f"Bearer {first}") is Access.NONE
    assert tokens.access(f"Bearer {second}") is Access.READ
    assert len(tokens.list()) == 1


def test_a_revoked_token_allows_nothing(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.create("a", read_only=False)
    assert tokens.revoke("a")
    assert not tokens.revoke("a")
    assert tokens.access(f"Bearer {token}") is Access.NONE
    assert Tokens("own", tmp_path / "tokens.json").list() == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', '{"x": {"name": "a"}}', "\x00"])
def test_a_broken_file_lets_nobody_in(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    tokens = Tokens("own", path)
    assert tokens.list() == []
    assert tokens.access("Bearer own") is Access.FULL
    tokens.create("a", read_only=True)
    assert [info.name for info in Tokens("own", path).list()] == ["a"]


def test_the_own_token_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = read_or_make_token(path)
    assert len(token) > 40
    assert read_or_make_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("")
    assert read_or_make_token(path) not in ("", token)
