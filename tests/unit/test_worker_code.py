"""A worker finds code where it was told to, and never an older state of it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import pkgutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runhouse.wire.messages import Code
from runhouse.worker.code import add_import_roots, load_code
from tests.rigs.imports import taken_back

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def imports_as_before(tmp_path: Path) -> Iterator[None]:
    """Take back what a test has imported."""
    with taken_back(tmp_path):
        yield


def test_a_module_is_imported_from_its_root(tmp_path: Path) -> None:
    package = tmp_path / "with space" / "pkg_of_test"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "mod.py").write_text("class A:\n    def f(self): return 1\n")
    add_import_roots([str(package.parent)])
    assert sys.path[0] == str(package.parent)
    add_import_roots([str(package.parent)])
    assert sys.path.count(str(package.parent)) == 1
    loaded = load_code(Code("pkg_of_test.mod", "A.f"))
    assert loaded.__qualname__ == "A.f"


def test_roots_keep_their_order(tmp_path: Path) -> None:
    roots = [str(tmp_path / name) for name in "abc"]
    add_import_roots(roots)
    assert sys.path[:3] == roots


def test_a_script_is_imported_once_and_is_not_main(tmp_path: Path) -> None:
    script = tmp_path / "my-script.py"
    script.write_text("NAME = __name__\nCOUNT = []\ndef f(): return NAME\n")
    code = Code("my_script", "f", file=str(script))
    first = load_code(code)
    assert first() == "my_script"
    script.write_text("def f(): return 'changed'\n")
    assert load_code(code) is first


def test_a_script_that_fails_can_be_tried_again(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text("raise RuntimeError('at import')\n")
    code = Code("failing_of_test", "f", file=str(script))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="at import"):
            load_code(code)
    script.write_text("def f(): return 'fine'\n")
    assert load_code(code)() == "fine"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Code("no_such_module_of_test", "f"), ModuleNotFoundError),
        (Code("json", "nothing"), AttributeError),
        (Code("script_of_test", "f", file="/nowhere/script.py"), FileNotFoundError),
        (Code("script_of_test", "f", file="/nowhere/script.txt"), ImportError),
    ],
)
def test_code_that_is_not_there_raises_what_python_raises(
    code: Code, error: type[Exception]
) -> None:
    with pytest.raises(error):
        load_code(code)


def _in_a_worker(root: Path, of_a_script: str = "") -> str:
    """Import a module from a root, or a script of that path, in a process of its own."""
    code = Code("edited", "what", file=of_a_script)
    program = (
        "from runhouse.wire.messages import Code; "
        "from runhouse.worker.code import add_import_roots, load_code; "
        f"add_import_roots([{str(root)!r}]); print(load_code({code!r})(), end='')"
    )
    return subprocess.check_output([sys.executable, "-E", "-c", program], text=True, timeout=20)


@pytest.mark.parametrize("in_package", [False, True])
@pytest.mark.parametrize("as_script", [False, True])
def test_an_edit_that_keeps_size_and_second_is_seen(
    tmp_path: Path, in_package: bool, as_script: bool
) -> None:
    place = tmp_path / "edited" / "__init__.py" if in_package else tmp_path / "edited.py"
    place.parent.mkdir(exist_ok=True)
    script = str(place) if as_script else ""
    for word in ("first", "later"):
        place.write_text(f"def what(): return {word!r}\n")
        os.utime(place, (1_700_000_000, 1_700_000_000))
        assert _in_a_worker(tmp_path, script) == word


def test_bytecode_that_is_newer_than_its_source_is_used(tmp_path: Path) -> None:
    place = tmp_path / "edited.py"
    place.write_text("def what(): return 'first'\n")
    assert _in_a_worker(tmp_path) == "first"
    compiled = importlib.util.cache_from_source(str(place))
    before = os.stat(compiled)
    assert _in_a_worker(tmp_path) == "first"
    assert (os.stat(compiled).st_ino, os.stat(compiled).st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


def test_a_package_reads_its_own_older_files(tmp_path: Path) -> None:
    package = tmp_path / "with_data"
    package.mkdir()
    (package / "data.txt").write_text("of long ago")
    os.utime(package / "data.txt", (1_000_000_000, 1_000_000_000))
    (package / "__init__.py").touch()
    add_import_roots([str(tmp_path)])
    assert pkgutil.get_data("with_data", "data.txt") == b"of long ago"


def test_installed_packages_are_imported_as_always(tmp_path: Path) -> None:
    packages = tmp_path / "venv" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "installed_of_test.py").write_text("x = 1\n")
    add_import_roots([str(tmp_path), str(packages)])
    spec = importlib.machinery.PathFinder.find_spec("installed_of_test", [str(packages)])
    assert spec is not None
    assert type(spec.loader) is importlib.machinery.SourceFileLoader
