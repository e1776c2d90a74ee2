"""Runs are found by the words that are told about them, and by when they went on."""

from __future__ import annotations

import pytest

from runhouse.server.runs import matching
from runhouse.wire.messages import RunInfo

TRAIN = RunInfo(
    "a1", "nightly", "m:train", "failed", "gpu", "w", True, 10.0, 20.0, "KeyError: Ä", "", "ada@box"
)
ADD = RunInfo("b2", "", "m:add", "running", "default", "w", False, 5.0)
SUM = RunInfo("c3", "sum", "m:add", "done", "default", "w", True, 30.0, 31.0)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", [TRAIN, ADD, SUM]),
        ("  ", [TRAIN, ADD, SUM]),
        ("nightly", [TRAIN]),
        ("ADD", [ADD, SUM]),
        ("add done", [SUM]),
        ("keyerror: ä", [TRAIN]),
        ("ada@box gpu", [TRAIN]),
        ("b2", [ADD]),
        ("add gpu", []),
        (".*", []),
    ],
)
def test_all_words_must_be_there(search: str, found: list[RunInfo]) -> None:
    assert matching([TRAIN, ADD, SUM], search, 0.0) == found


@pytest.mark.parametrize(
    ("after", "found"),
    [(20.0, [TRAIN, ADD, SUM]), (20.1, [ADD, SUM]), (30.5, [ADD, SUM]), (40.0, [ADD])],
)
def test_what_goes_on_or_has_changed_since(after: float, found: list[RunInfo]) -> None:
    assert matching([TRAIN, ADD, SUM], "", after) == found
