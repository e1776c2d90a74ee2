"""Which other projects a project's code imports from."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest

from runhouse.clusters.companions import Companion, companions
from tests.rigs.imports import taken_back

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a directory with projects, below a home of its own; what is imported is forgotten."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with taken_back(tmp_path):
        yield tmp_path / "work"


def _project(monkeypatch: pytest.MonkeyPatch, root: Path, top: str = "", **files: str) -> Path:
    folder = root / top
    for name, text in files.items():
        path = folder / (name.replace("__of__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "pyproject.toml").touch()
    monkeypatch.syspath_prepend(str(folder))
    return root


def test_a_library_beside_a_project_is_found_and_what_it_needs_again(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = _project(monkeypatch, places / "deep", deep_of_tests="import json\n")
    lib = _project(
        monkeypatch,
        places / "lib",
        "src",
        lib_of_tests__of____init__="from .inner import x\n",
        lib_of_tests__of__inner="import os, deep_of_tests as d\nx = 1\n",
    )
    app = _project(monkeypatch, places / "app", app_of_tests="from lib_of_tests.inner import x\n")
    importlib.import_module("app_of_tests")
    assert companions(app) == (Companion(lib, ("src",)), Companion(deep, (".",)))
    assert companions(lib) == (Companion(deep, (".",)),)
    assert companions(deep) == ()


def test_imports_within_functions_count_without_being_made(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lib = _project(monkeypatch, places / "lib", late_of_tests="raise RuntimeError\n")
    app = _project(
        monkeypatch,
        places / "app",
        first_of_tests="def f():\n    import second_of_tests\n",
        second_of_tests="def g():\n    from late_of_tests import x\n",
    )
    importlib.import_module("first_of_tests")
    assert companions(app) == (Companion(lib, (".",)),)
    assert "late_of_tests" not in sys.modules


def test_code_without_a_project_names_its_modules(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _project(monkeypatch, places / "other", base_of_tests="")
    lib = _project(monkeypatch, places / "lib", named_of_tests="import base_of_tests\n")
    importlib.import_module("named_of_tests")
    both = (Companion(lib, (".",)), Companion(other, (".",)))
    assert companions(None, {"named_of_tests", "__main__", "json", "builtins"}) == both
    assert companions(lib, {"named_of_tests"}) == both[1:]
    assert companions(None) == ()


def test_what_is_installed_unknown_or_too_wide_is_none(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = places / "venv" / "lib" / "site-packages"
    _project(monkeypatch, site, installed_of_tests="")
    home = places.parent / "home"
    _project(monkeypatch, home, homeless_of_tests="")
    app = _project(
        monkeypatch,
        places / "app",
        broad_of_tests="import installed_of_tests, homeless_of_tests\n"
        "def f():\n    import nowhere_of_tests\n"
        "import pytest, runhouse\nimport broad_of_tests\n",
    )
    importlib.import_module("broad_of_tests")
    assert companions(app) == ()
