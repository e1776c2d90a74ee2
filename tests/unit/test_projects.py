"""Code is sent with its project: not with less, and never with a whole home directory."""

from __future__ import annotations

import sys
import sysconfig
import types
from pathlib import Path

import pytest

from runhouse.clusters import projects


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home directory, with temporary files elsewhere."""
    made = tmp_path / "home"
    (tmp_path / "temporary").mkdir()
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    return made


def touch(*paths: Path) -> None:
    """Make empty files."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("marker", [".git", "pyproject.toml"])
def test_a_project_is_found_from_any_depth(home: Path, marker: str) -> None:
    project = home / "work" / "project"
    touch(project / marker, project / "a" / "b" / "c.py")
    for inside in (project, project / "a", project / "a" / "b" / "c.py"):
        assert projects.project_root(inside) == project
    assert projects.project_root(home / "work") is None


def test_the_nearest_project_counts(home: Path) -> None:
    outer, inner = home / "outer", home / "outer" / "inner"
    touch(outer / ".git", inner / "pyproject.toml", inner / "x.py", outer / "y.py")
    assert projects.project_root(inner / "x.py") == inner
    assert projects.project_root(outer / "y.py") == outer


def test_what_holds_many_projects_is_none(home: Path) -> None:
    touch(home / ".git", home / "script.py", home.parent / "pyproject.toml")
    assert projects.project_root(home / "script.py") is None
    assert projects.project_root(home) is None
    assert projects.project_root(home / "folder" / "script.py") is None
    for wide in (home, home.parent, Path("/"), home.parent / "temporary"):
        assert projects.loose_root(wide) is None
    assert projects.loose_root(home / "folder") == home / "folder"


def test_installed_code_is_no_code_of_a_project(tmp_path: Path) -> None:
    for key in ("stdlib", "purelib"):
        assert projects.is_installed(Path(sysconfig.get_path(key)).resolve() / "package" / "x.py")
    assert projects.is_installed(Path(pytest.__file__).resolve())
    assert not projects.is_installed(tmp_path / "x.py")
    assert not projects.is_installed(Path(__file__).resolve())


@pytest.mark.parametrize(
    ("module", "file", "root"),
    [
        ("x", "/r/x.py", "/r"),
        ("a.b.x", "/r/a/b/x.py", "/r"),
        ("a", "/r/a/__init__.py", "/r"),
        ("a.b", "/r/a/b/__init__.py", "/r"),
    ],
)
def test_a_module_was_imported_from_above_its_packages(module: str, file: str, root: str) -> None:
    assert projects.import_root(module, Path(file)) == Path(root)


def test_imports_are_looked_for_inside_of_the_project_only(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = home / "project"
    entries = [project / "src", project, home / "elsewhere", project / "src", project / "lib"]
    for entry in entries:
        entry.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(sys, "path", ["", *map(str, entries)])
    monkeypatch.chdir(project / "lib")
    assert projects.import_roots(project, project / "tests") == ("tests", "lib", "src", ".")
    monkeypatch.chdir(home)
    assert projects.import_roots(project, project) == (".", "src", "lib")
    assert projects.import_roots(home / "empty", home / "other") == ()


def add_module(monkeypatch: pytest.MonkeyPatch, name: str, file: Path | None) -> None:
    """Pretend that a module was imported from a file."""
    module = types.ModuleType(name)
    module.__file__ = str(file) if file is not None else None
    monkeypatch.setitem(sys.modules, name, module)


def test_an_object_brings_the_project_of_its_class(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = home / "project"
    touch(project / ".git", project / "src" / "pkg" / "shapes.py")
    add_module(monkeypatch, "pkg.shapes", project / "src" / "pkg" / "shapes.py")
    monkeypatch.setattr(sys, "path", [])
    for modules in (["pkg.shapes"], ["pkg.shapes", "json", "builtins", "no.such.module"]):
        assert projects.project_of_modules(modules) == (project, ("src",))


def test_an_object_of_installed_or_unknown_classes_brings_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_module(monkeypatch, "namespace_of_test", None)
    modules = ["json", "builtins", "pytest", "no.such.module", "namespace_of_test"]
    assert projects.project_of_modules(modules) == (None, ())
    assert projects.project_of_modules([]) == (None, ())


def test_code_outside_of_projects_brings_its_directory_unless_that_is_too_wide(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    touch(home / "loose" / "shapes.py", home / "wide.py", home / "loose" / "script.py")
    add_module(monkeypatch, "shapes_of_test", home / "loose" / "shapes.py")
    add_module(monkeypatch, "wide_of_test", home / "wide.py")
    assert projects.project_of_modules(["shapes_of_test"]) == (home / "loose", (".",))
    assert projects.project_of_modules(["wide_of_test"]) == (None, ())
    assert projects.project_of_modules(["wide_of_test", "shapes_of_test"])[0] == home / "loose"
    add_module(monkeypatch, "__main__", home / "loose" / "script.py")
    assert projects.project_of_modules(["__main__"]) == (home / "loose", (".",))
