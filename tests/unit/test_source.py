"""Code goes by reference where it has a file that is safe to import, and by value elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runhouse.clusters import projects
from runhouse.proxies import source
from tests.integration import sample

ROOT = Path(__file__).parents[2]


def test_code_of_a_project_goes_by_reference() -> None:
    found = source.find_source(sample.add)
    assert (found.root, found.module, found.name) == (ROOT, "tests.integration.sample", "add")
    assert found.pickled == b""
    assert found.import_roots[0] == "."
    there = found.on_host("/home/ada lovelace/.rh/code/x")
    assert there.import_roots[0] == "/home/ada lovelace/.rh/code/x"


def test_installed_code_goes_by_reference_without_a_project() -> None:
    found = source.find_source(np.linalg.norm)
    assert found.root is None
    assert found.pickled == b""
    assert source.find_source(json.dumps).root is None


def test_code_without_a_name_goes_by_value() -> None:
    found = source.find_source(lambda: 1)
    assert found.pickled
    assert found.root == ROOT
    again = source.find_source(lambda: 2)
    assert found.key != again.key


def test_a_name_is_taken_apart() -> None:
    assert source.source_of_name("math:sqrt").module == "math"
    unknown = source.source_of_name("elsewhere.pkg:f")
    assert (unknown.module, unknown.name) == ("elsewhere.pkg", "f")
    for bad in ("math", "math:", ":sqrt", "a b:c", "m:1x"):
        with pytest.raises(ValueError, match="module:name"):
            source.source_of_name(bad)


def test_a_project_is_the_nearest_directory_with_a_mark(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert projects.project_root(inner) is None
    (tmp_path / "a" / "pyproject.toml").touch()
    assert projects.project_root(inner / "file.py") == tmp_path / "a"
    (inner / ".git").mkdir()
    assert projects.project_root(inner / "file.py") == inner


def test_the_home_directory_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".git").mkdir()
    assert projects.project_root(tmp_path / "script.py") is None


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("import os\nX = 1\ndef f(): ...\nclass C: ...\n'doc'\n", True),
        ("def f(): ...\nif __name__ == '__main__':\n    f()\n", True),
        ("try:\n    import a\nexcept ImportError:\n    a = None\n", True),
        ("def f(): ...\nf()\n", False),
        ("import runhouse as rh\nbox = rh.cluster('box')\n", False),
        ("for x in range(3):\n    print(x)\n", False),
        ("with open('x') as f:\n    pass\n", False),
        ("def broken(:\n", False),
    ],
)
def test_a_script_is_imported_only_when_that_runs_nothing(
    tmp_path: Path, text: str, safe: bool
) -> None:
    script = tmp_path / "script.py"
    script.write_text(text)
    assert source._safe_to_import(script) is safe


SCRIPT = """
import json
from runhouse.proxies.source import find_source

def f(): ...

def main():
    found = find_source(f)
    print(json.dumps([found.module, found.file, str(found.root), bool(found.pickled)]))

"""


@pytest.mark.parametrize(
    ("name", "ending", "module"),
    [
        ("train.py", "if __name__ == '__main__':\n    main()\n", "train"),
        ("my-job.py", "if __name__ == '__main__':\n    main()\n", "my_job"),
        ("json.py.py", "if __name__ == '__main__':\n    main()\n", "json_py"),
        pytest.param(
            "types.py",
            "if __name__ == '__main__':\n    main()\n",
            "main_types",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11), reason="Python 3.10 itself would import this script"
            ),
        ),
        ("unguarded.py", "main()\n", ""),
    ],
)
def test_a_script_is_known_by_its_file(tmp_path: Path, name: str, ending: str, module: str) -> None:
    (tmp_path / "pyproject.toml").touch()
    folder = tmp_path / "in a folder"
    folder.mkdir()
    script = folder / name
    script.write_text(SCRIPT + ending)
    command = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    answer = json.loads(done.stdout)
    assert answer[0] == module
    assert answer[2] == str(tmp_path)
    assert answer[3] is (module == "")
    if module:
        assert answer[1] == f"in a folder/{name}"
