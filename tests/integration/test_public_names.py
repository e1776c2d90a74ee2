"""Functions and classes that somebody has sent are called by their names, by who knows no more."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.client.endpoint import Target
from runhouse.clusters.calls import NO_ARGUMENTS, CallOptions
from runhouse.errors import ObjectNotFoundError
from tests.integration import sample
from tests.integration.conftest import local_cluster
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def local(session_home: object) -> Iterator[rh.Cluster]:
    """Give this machine, with some functions and a class."""
    del session_home
    with local_cluster() as made:
        for code in (sample.add, sample.add_later, sample.count_to, sample.count_later):
            rh.function(code).to(made)
        rh.module(sample.Counter).to(made)
        yield made


@pytest.mark.parametrize("method", ["", "call"])
def test_a_function_is_called_by_its_name(local: rh.Cluster, method: str) -> None:
    assert local.call("add", method, 2, b=3) == 5
    assert local.call("add_later", method, 2, 3) == 5
    assert list(local.call("count_to", method, 3)) == [0, 1, 2]
    assert list(local.call("count_later", method, 3)) == [0, 1, 2]
    assert asyncio.run(local.call("add", method, 2, run_async=True)) == 3
    assert local.call("add", method, 2, remote=True).fetch() == 3
    assert local.call("add", method, 2, run_name="by-name") == 3
    assert local.get_run("by-name").result() == 3


def test_a_class_has_methods_without_an_object(local: rh.Cluster) -> None:
    assert local.call("Counter", "named") == "Counter"
    assert local.call("Counter", "double", 4) == 8
    assert local.call("Counter", "kind") == "counter"


def test_an_object_comes_before_a_function_of_its_name(local: rh.Cluster) -> None:
    local.put("add", sample.Counter(40))
    assert local.call("add", "add", 2) == 42
    with pytest.raises(TypeError, match="cannot be called. It is no function but holds Counter"):
        local.call("add", "")
    local.delete("add")
    assert local.call("add", "", 2) == 3


def test_a_name_is_no_object(local: rh.Cluster) -> None:
    assert "add" not in set(local.keys())
    assert local.get("add") is None
    assert local.get("add", remote=True) is None
    with pytest.raises(ObjectNotFoundError):
        local.call("subtract", "", 1)


def test_the_newest_code_of_a_name_counts(local: rh.Cluster) -> None:
    rh.function(sample.pid, "who").to(local)
    first = local.call("who", "")
    other = rh.function(sample.pid, "who").to(local, env="other")
    assert other() != first
    wait_until(lambda: local.call("who", "") == other())
    assert local.call("who", "", remote=True).fetch() == other()
    assert rh.function(sample.pid).to(local)() == first, "the old one goes on for who has sent it"


def test_an_edit_is_in_effect_for_who_calls_by_name(
    local: rh.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edited_by_name.py"
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in (1, 2):
        file.write_text(f"def version():\n    return {number}  # {'x' * number}\n")
        sys.modules.pop("edited_by_name", None)
        rh.function("edited_by_name:version", "version").to(local)
        wait_until(lambda number=number: local.call("version", "") == number)  # type: ignore[misc]


def test_answers_can_be_wanted_as_json_or_as_text(local: rh.Cluster) -> None:
    def ask(key: str, answer: str, *args: object) -> object:
        return local.calls.call(
            Target(key=key), "method", key, (args, {}), CallOptions(), method="", answer=answer
        )

    local.put("point", sample.Point(1, 2))
    assert ask("add", "json", 1, 2) == 3
    assert ask("add", "repr", 1, 2) == "3"
    assert ask("add", "none", 1, 2) is None
    items = ask("count_to", "repr", 2)
    assert list(items) == ["0", "1"]  # type: ignore[call-overload]
    shown = local.calls.call(
        Target(key="point"), "get", "point", NO_ARGUMENTS, CallOptions(), answer="repr"
    )
    assert shown == "Point(x=1, y=2)"
    local.delete("point")
