"""The recorded session is a whole picture, and shows what the script that made it types."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from scripts import recording

PICTURE = (recording.ROOT / "docs" / "_static" / "recording.svg").read_text(encoding="utf-8")
_SVG = "{http://www.w3.org/2000/svg}"


def _texts() -> list[str]:
    lines = ElementTree.fromstring(PICTURE).iterfind(f"{_SVG}defs/{_SVG}g")  # noqa: S314 - our own
    return ["".join(line.itertext()) for line in lines]


@pytest.mark.parametrize("line", recording.TYPED)
def test_what_is_typed_is_shown(line: str) -> None:
    assert any(text.endswith(f"$ {line}") for text in _texts())


def test_the_program_is_shown_and_has_run() -> None:
    shown = set(_texts())
    assert {line for line in recording.PROGRAM.splitlines() if line} <= shown
    assert "result: 0.125 - back on laptop" in shown
    assert "epoch 3: loss 0.0625, on gpu-box" in shown


def test_it_is_short_and_asks_nobody_else() -> None:
    assert 20 < float(re.findall(r"animation:film ([\d.]+)s", PICTURE)[0]) < 40
    assert set(re.findall(r"https?://[^\"]+", PICTURE)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in PICTURE
    assert len(PICTURE) < 150_000


def test_frames_that_show_the_same_are_one() -> None:
    one, two = ((("a", "default"),),), ((("b", "default"),),)
    assert recording.merged([(1.0, one), (2.0, one), (1.0, two)]) == [(3.0, one), (1.0, two)]


def test_what_nobody_would_see_is_left_out() -> None:
    one, two = ((("a", "default"),),), ((("b", "default"),),)
    assert recording.merged([(0.01, one), (1.0, two)]) == [(1.01, two)]


def test_text_is_escaped() -> None:
    drawn = recording.drawn([(1.0, ((("<b>&", "red"),),))])
    assert "&lt;b&gt;&amp;" in drawn
    ElementTree.fromstring(drawn)  # noqa: S314 - our own
