"""What a server knows about envs: bindings in files, the variables of workers, GPUs."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runhouse.errors import WorkerStartError
from runhouse.server.envs import Binding, Bindings
from runhouse.server.gpus import choose

if TYPE_CHECKING:
    from pathlib import Path

VALUE = 'it\'s "quoted" $HOME\nand two lines'


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Make what looks like an env."""
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o700)
    (tmp_path / "env" / ".runhouse-env.json").write_text("{}")
    return tmp_path / "env"


def test_bindings_are_kept(tmp_path: Path, prefix: Path) -> None:
    binding = Binding("train", "d1", str(prefix), "3.12.1", {"A": VALUE}, 2, 1, ["/code"])
    Bindings(tmp_path / "envs").set(binding)
    again = Bindings(tmp_path / "envs")
    assert again.find("train") == binding
    assert [each.name for each in again.list()] == ["train"]
    for path in (tmp_path / "envs").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert again.remove("train")
    assert not again.remove("train")
    assert Bindings(tmp_path / "envs").find("train") is None
    assert not list((tmp_path / "envs").iterdir())


@pytest.mark.parametrize("content", ["", "[]", '{"name": "x"}', '{"name": "../x", "digest": "1"}'])
def test_files_that_cannot_be_read_are_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    assert Bindings(tmp_path).list() == []


def test_whether_an_env_is_there(tmp_path: Path, prefix: Path) -> None:
    bindings = Bindings(tmp_path / "envs")
    assert bindings.has("train", "")
    assert not bindings.has("train", "d1")
    bindings.set(Binding("train", "d1", str(prefix)))
    assert bindings.has("train", "d1")
    assert bindings.has("train", "")
    assert not bindings.has("train", "d2")
    (prefix / "bin" / "python").unlink()
    assert not bindings.has("train", "d1")
    assert not bindings.has("train", "")


def test_the_variables_of_workers(prefix: Path) -> None:
    own = {"PATH": "/bin", "PYTHONPATH": "/theirs", "PYTHONHOME": "/x", "HOME": "/h"}
    found = Binding("a", "d", str(prefix), variables={"A": "1"}).environment(own)
    path = f"{prefix}/bin:/bin"
    assert found == {"PATH": path, "VIRTUAL_ENV": str(prefix), "HOME": "/h", "A": "1"}
    assert Binding("a", "d", variables={"A": "1"}).environment(own) == {**own, "A": "1"}


def test_the_script_says_the_same(tmp_path: Path, prefix: Path) -> None:
    file = tmp_path / "script.sh"
    file.write_text(Binding("a", "d", str(prefix), variables={"A": VALUE}).script())
    line = '. "$0"; printf "%s|%s|%s|%s" "$A" "$VIRTUAL_ENV" "$PYTHONPATH" "$PATH"'
    environ = {"PATH": os.defpath, "PYTHONPATH": "/theirs"}
    done = subprocess.run(
        ["sh", "-c", line, str(file)], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{VALUE}|{prefix}||{prefix}/bin:{os.defpath}"


def test_values_are_in_no_answer(tmp_path: Path, prefix: Path) -> None:
    binding = Binding("a", "d", str(prefix), variables={"A": "hunter2"})
    told = Bindings(tmp_path).to_json(binding)
    assert told["variables"] == ["A"]
    assert "hunter2" not in f"{told} {binding}"


def test_the_mark_says_when_an_env_was_used(prefix: Path) -> None:
    mark = prefix / ".runhouse-env.json"
    os.utime(mark, (0, 0))
    binding = Binding("a", "d", str(prefix))
    descriptor = binding.open_mark()
    assert descriptor is not None
    os.close(descriptor)
    assert mark.stat().st_mtime > 0
    assert replace(binding, prefix="").open_mark() is None


def test_gpus_are_those_that_the_fewest_see() -> None:
    assert choose(1, 2, [], "e") == [0]
    assert choose(1, 2, [(0,)], "e") == [1]
    assert choose(2, 4, [(0, 1), (1,), (2,)], "e") == [0, 3]
    assert choose(2, 2, [(0,), (1,)], "e") == [0, 1]
    with pytest.raises(WorkerStartError, match="to have 3 GPUs, and the host has 2"):
        choose(3, 2, [], "e")
