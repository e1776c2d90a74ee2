"""A module that is imported when something of it is used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a module that nobody has imported."""
    (tmp_path / "late_of_lazy.py").write_text("VALUE = 3\n\n\nclass MadeError(Exception): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "late_of_lazy", raising=False)
    return "late_of_lazy"


def test_a_module_is_imported_when_something_of_it_is_used(module: str) -> None:
    late = LazyModule(module)
    assert module not in sys.modules
    assert late.VALUE == 3
    assert module in sys.modules
    with pytest.raises(late.MadeError):
        raise late.MadeError


def test_what_a_module_does_not_have_is_told_as_of_the_module(module: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'other'"):
        _ = LazyModule(module).other


def test_a_module_that_is_not_there_is_told_when_it_is_used() -> None:
    late = LazyModule("no_such_module_of_lazy")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_lazy"):
        _ = late.anything
