"""Variables of secrets in a worker: there as long as they are kept on the host."""

from __future__ import annotations

import json
import logging
import os
import resource
from typing import TYPE_CHECKING

import pytest

from runhouse.worker.variables import SecretVariables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("T_ONE", "T_TWO", "T_OWN")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what the tests set; they may write cores again afterwards."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)
    for name in NAMES:
        os.environ.pop(name, None)


def keep(folder: Path, scope: str, **values: str) -> None:
    beside = folder / "beside"
    beside.write_text(json.dumps({"some": values}))
    beside.replace(folder / f"{scope}.json")


def test_nothing_is_kept(tmp_path: Path) -> None:
    SecretVariables(tmp_path / "missing", "default").refresh()


def test_variables_come_change_and_go(tmp_path: Path) -> None:
    variables = SecretVariables(tmp_path, "default")
    keep(tmp_path, "all", T_ONE="1", T_TWO="2")
    variables.refresh()
    assert (os.environ["T_ONE"], os.environ["T_TWO"]) == ("1", "2")
    keep(tmp_path, "all", T_ONE="new")
    variables.refresh()
    assert os.environ["T_ONE"] == "new"
    assert "T_TWO" not in os.environ
    (tmp_path / "all.json").unlink()
    variables.refresh()
    assert "T_ONE" not in os.environ


def test_those_of_the_env_win_and_other_envs_have_theirs(tmp_path: Path) -> None:
    keep(tmp_path, "all", T_ONE="all", T_TWO="all")
    keep(tmp_path, "env-train", T_ONE="train")
    keep(tmp_path, "env-other", T_TWO="other")
    SecretVariables(tmp_path, "train").refresh()
    assert (os.environ["T_ONE"], os.environ["T_TWO"]) == ("train", "all")


def test_what_was_there_before_comes_back(tmp_path: Path) -> None:
    os.environ["T_OWN"] = "own"
    variables = SecretVariables(tmp_path, "default")
    keep(tmp_path, "all", T_OWN="secret")
    variables.refresh()
    assert os.environ["T_OWN"] == "secret"
    (tmp_path / "all.json").unlink()
    variables.refresh()
    assert os.environ["T_OWN"] == "own"


def test_a_process_with_secrets_writes_no_core(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    variables = SecretVariables(tmp_path, "default")
    variables.refresh()
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == hard
    keep(tmp_path, "all", T_ONE="1")
    variables.refresh()
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0


def test_a_broken_file_is_told_without_what_is_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "all.json").write_text("{sesame")
    with caplog.at_level(logging.WARNING):
        SecretVariables(tmp_path, "default").refresh()
    assert "cannot be read" in caplog.text
    assert "sesame" not in caplog.text
