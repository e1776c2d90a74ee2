"""An edit takes a worker that was started before: fresh, of the same env, and gone in time."""

from __future__ import annotations

import importlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from tests.rigs.imports import taken_back
from tests.rigs.namespaces import children
from tests.waiting import is_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Edit = tuple[str, int]
"""What the code of the moment says, and the process that says it."""


@pytest.fixture
def edit(
    session_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Edit]]:
    """Give what changes a project and runs it."""
    assert session_home.is_dir()
    (tmp_path / "pyproject.toml").touch()
    file = tmp_path / "edited_often.py"
    monkeypatch.syspath_prepend(str(tmp_path))

    def change(text: str) -> Edit:
        file.write_text(f"import os\ndef answer():\n    return {text!r}, os.getpid()\n")
        code = importlib.import_module("edited_often").answer
        found: Edit = rh.function(code).to(rh.here)()
        return found

    with taken_back(tmp_path):
        yield change
    rh.here.stop()


def spares() -> list[int]:
    """Return the processes of the server that are none of its workers."""
    status = rh.here.status()
    return sorted(set(children(status.pid)) - {worker.pid for worker in status.workers})


def test_each_edit_but_the_first_takes_the_process_that_waits(
    edit: Callable[[str], Edit],
) -> None:
    assert edit("first")[0] == "first"
    assert edit("second")[0] == "second"
    for text in ("third", "a longer fourth"):
        wait_until(lambda: len(spares()) == 1)
        (spare,) = spares()
        assert edit(text) == (text, spare)
    wait_until(lambda: len(spares()) == 1)
    (spare,) = spares()
    rh.here.stop()
    wait_until(lambda: not is_running(spare))


def test_it_goes_with_the_worker_whose_place_it_would_take(edit: Callable[[str], Edit]) -> None:
    edit("first")
    _, worker = edit("second")
    wait_until(lambda: len(spares()) == 1)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not spares())
    assert edit("third")[0] == "third"


def test_one_that_has_ended_is_passed_over(edit: Callable[[str], Edit]) -> None:
    edit("first")
    edit("second")
    wait_until(lambda: len(spares()) == 1)
    (spare,) = spares()
    os.kill(spare, signal.SIGKILL)
    wait_until(lambda: not is_running(spare))
    text, pid = edit("third")
    assert text == "third"
    assert pid != spare
