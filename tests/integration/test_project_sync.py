"""A project on a host: its branches, what it imports from others, what is shown and refused."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse import settings
from tests.rigs import interpreters
from tests.rigs.cli import Cli, environment
from tests.rigs.fixtures import default_spec
from tests.rigs.imports import taken_back

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rigs.client import Client
    from tests.rigs.fixtures import MakeMachine
    from tests.rigs.machine import Machine

pytestmark = [pytest.mark.timeout(90), pytest.mark.root]


@pytest.fixture
def box(make_machine: MakeMachine, client_settings: Client) -> Iterator[Machine]:
    """Give a running machine that is called box."""
    spec = default_spec(client_settings)
    version = interpreters.own_version()
    yield make_machine(dataclasses.replace(spec, name="box", pythons=(version,)))
    rh.cluster("box", host="box").disconnect()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a directory whose modules are forgotten at the end."""
    monkeypatch.syspath_prepend(str(tmp_path / "app"))
    with taken_back(tmp_path):
        yield tmp_path


def write(root: Path, **files: str) -> Path:
    """Write modules of a project."""
    for name, text in files.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "pyproject.toml").touch()
    return root


def copies(machine: Machine) -> list[Path]:
    """Return the copies of projects on a machine."""
    return sorted((machine.home / ".rh" / "code").iterdir())


def test_a_library_that_is_edited_beside_the_project_goes_along(
    box: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lib = write(folder / "lib" / "src", beside_of_tests="def f(): return 'before'\n").parent
    (lib / "src" / "pyproject.toml").rename(lib / "pyproject.toml")
    monkeypatch.syspath_prepend(str(lib / "src"))
    write(
        folder / "app", uses_beside="import beside_of_tests as beside\ndef g(): return beside.f()\n"
    )
    uses = importlib.import_module("uses_beside")
    cluster = rh.cluster("box", host="box")
    assert rh.function(uses.g).to(cluster)() == "before"
    (lib / "src" / "beside_of_tests.py").write_text("def f(): return 'after it'\n")
    assert rh.function(uses.g).to(cluster)() == "after it"
    assert {path.name[:3] for path in copies(box)} == {"app", "lib"}
    cell: dict[str, Any] = {"m": uses.beside}
    exec("def f(): return m.f()", cell)  # noqa: S102 - as a notebook does
    assert rh.function(cell["f"]).to(cluster)() == "after it"


def test_each_branch_has_a_copy_of_its_own(box: Machine, folder: Path) -> None:
    root = write(folder / "app", branched="def f(): return open('text.txt').read()\n")
    (root / "text.txt").write_text("first")
    (root / "same.bin").write_bytes(os.urandom(100_000))
    _git(root, "init", "-q", "-b", "one")
    _git(root, "add", ".")
    _git(root, "commit", "-qm", "begin")
    code = importlib.import_module("branched").f
    cluster = rh.cluster("box", host="box")
    first = rh.function(code).to(cluster)
    assert first() == "first"
    _git(root, "switch", "-q", "-c", "two")
    (root / "text.txt").write_text("second")
    assert rh.function(code).to(cluster)() == "second"
    assert first() == "first", "what runs on a branch keeps its files"
    one, two = copies(box)
    assert (one / "same.bin").read_bytes() == (two / "same.bin").read_bytes()
    assert (one / "same.bin").stat().st_ino != (two / "same.bin").stat().st_ino


def test_names_that_differ_in_case_only_are_kept_apart(box: Machine, folder: Path) -> None:
    root = write(folder / "app", cases="def f(): return 1\n")
    (root / "Data.txt").write_text("one")
    (root / "data.txt").write_text("two")
    (root / "Old.txt").touch()
    code = importlib.import_module("cases").f
    cluster = rh.cluster("box", host="box")
    rh.function(code).to(cluster)
    (root / "Old.txt").rename(root / "old.txt")
    rh.function(code).to(cluster)
    (copy,) = copies(box)
    names = sorted(path.name for path in copy.glob("*.txt"))
    assert names == ["Data.txt", "data.txt", "old.txt"]
    assert ((copy / "Data.txt").read_text(), (copy / "data.txt").read_text()) == ("one", "two")


def test_an_edit_within_the_second_of_the_last_copy_is_not_missed(
    box: Machine, folder: Path
) -> None:
    root = write(folder / "app", quick="def f(): return 1\n")
    code = importlib.import_module("quick").f
    cluster = rh.cluster("box", host="box")
    rh.function(code).to(cluster)
    (copy,) = copies(box)
    facts = (root / "quick.py").stat()
    (root / "quick.py").write_text("def f(): return 2\n")
    os.utime(root / "quick.py", ns=(facts.st_atime_ns, facts.st_mtime_ns // 10**9 * 10**9 + 1))
    rh.function(code).to(cluster)
    assert (copy / "quick.py").read_text() == "def f(): return 2\n"


def test_objects_of_older_code_are_told_once(
    box: Machine, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "class C:\n    def version(self): return {}\ndef f(): return {}\n"
    root = write(folder / "app", aging=text.format(1, 1))
    module = importlib.import_module("aging")
    cluster = rh.cluster("box", host="box")
    old = rh.module(module.C).to(cluster)(name="old-one")
    (root / "aging.py").write_text(text.format(22, 22))
    code = rh.function(module.f).to(cluster)
    assert (code(), code(), old.version()) == (22, 22, 1)
    told = [each.getMessage() for each in caplog.records if each.name == "runhouse.client.client"]
    assert len(told) == 1
    assert "these objects keep the code that they were made of: old-one." in told[0]
    new = rh.module(module.C).to(cluster)(name="old-one")
    assert new.version() == 22
    (root / "aging.py").write_text(text.format(333, 333))
    assert rh.function(module.f).to(cluster)() == 333
    told = [each.getMessage() for each in caplog.records if each.name == "runhouse.client.client"]
    assert len(told) == 2, "it is told again after the next edit"


def test_the_newest_definition_of_a_notebook_wins(box: Machine) -> None:
    del box
    cell: dict[str, Any] = {"__name__": "__main__"}
    cluster = rh.cluster("box", host="box")
    for version in (1, 2):
        exec(f"step = {version}\ndef f(): return step", cell)  # noqa: S102 - as a notebook does
        exec("class C:\n    def now(self): return step", cell)  # noqa: S102
        function = rh.function(cell["f"]).to(cluster)
        assert function() == version
        assert rh.module(cell["C"]).to(cluster)(name="thing").now() == version
    assert cluster.call("f", "") == 2, "under its name it is the newest one"


def test_too_large_a_project_is_refused_and_what_is_there_stays(
    box: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(folder / "app", heavy="def f(): return 1\n")
    code = importlib.import_module("heavy").f
    before = rh.function(code).to(rh.cluster("box", host="box"))
    (root / "raw").mkdir()
    (root / "raw" / "x.bin").write_bytes(bytes(600_000))
    monkeypatch.setenv("RH_SYNC_MAX_MB", "0.5")
    settings.load.cache_clear()
    with pytest.raises(rh.ProjectTooLargeError, match=r"raw \(1 MB\).*nothing was sent"):
        rh.function(code).to(rh.cluster("box", host="box"))
    assert before() == 1
    assert not (copies(box)[0] / "raw").exists()


def test_the_command_line_shows_and_copies(
    box: Machine, client_settings: Client, folder: Path
) -> None:
    root = write(folder / "app", shown="def f(): return 1\n")
    (root / ".gitignore").write_text("/data/\n")
    (root / ".rhignore").write_text("*.bin\n")
    (root / "data").mkdir()
    (root / "data" / "x").write_bytes(bytes(2_000_000))
    (root / "weights.bin").write_bytes(bytes(3_000_000))
    home = folder / "rh"
    home.mkdir(mode=0o700)
    cli = Cli(home, environ=environment(home) | client_settings.variables())
    found = cli.json("sync", "--dry-run", "--path", str(root))
    assert (found["project"], found["files"]) == (str(root), 4)
    assert found["left_out"] == [
        {"path": "weights.bin", "size_bytes": 3_000_000},
        {"path": "data/", "size_bytes": 2_000_000},
    ]
    address = f"{box.spec.user}@box"
    planned = cli.json("sync", address, "--dry-run", "--path", str(root / "data"))
    assert planned["report"]["files"] == 4
    assert not (box.home / ".rh" / "code").exists() or not copies(box)
    assert (
        "4 files copied (31 bytes), 0 deleted" in cli("sync", address, "--path", str(root)).stdout
    )
    (copy,) = copies(box)
    assert sorted(path.name for path in copy.iterdir()) == sorted(
        [".gitignore", ".rhignore", "pyproject.toml", "shown.py"]
    )
    (root / "shown.py").write_text("def f(): return 22\n")
    (root / "pyproject.toml").unlink()
    (root / ".git").mkdir()
    again = cli.json("sync", address, "--path", str(root))
    assert (again["report"]["files"], again["report"]["deleted"]) == (1, 1)
    assert "its code runs where it is" in cli("sync", "local", "--path", str(root)).stdout
    cli("stop", "local")


def test_bad_input_to_sync_is_refused(folder: Path) -> None:
    home = folder / "rh"
    home.mkdir(mode=0o700)
    cli = Cli(home, environ=environment(home) | {"HOME": str(folder)})
    nowhere = cli("sync")
    assert (nowhere.returncode, "Say to which CLUSTER" in nowhere.stderr) == (2, True)
    assert cli("sync", "--dry-run", "--path", str(folder / "none")).returncode == 2
    wide = cli("sync", "--dry-run", "--path", str(folder), "--json")
    assert wide.returncode == 2
    assert json.loads(wide.stdout)["error"] == "ValueError"
    assert "is no project" in wide.stderr


def _git(root: Path, *words: str) -> None:
    author = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    subprocess.run(["git", *author, *words], cwd=root, check=True)
