"""What is saved is seen without connecting, and is not replaced by mistake."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.clusters.saved import overview, save_new
from runhouse.errors import InvalidNameError, RecordError

if TYPE_CHECKING:
    from pathlib import Path

without_skypilot = pytest.mark.skipif(
    find_spec("sky") is not None, reason="SkyPilot is installed, and would look for clouds"
)


def test_all_that_is_saved_is_seen_even_what_cannot_be_used(rh_home: Path) -> None:
    assert overview(ask_skypilot=False) == []
    gpu = rh.ondemand_cluster("gpu", "CPU:2").save()
    box = rh.cluster("box", host="example.org").save()
    (rh_home / "clusters" / "bad.json").write_text("{")
    bad, *others = overview(ask_skypilot=False)
    assert (bad.name, bad.cluster, type(bad.error)) == ("bad", None, RecordError)
    assert [(each.name, each.cluster, each.machines) for each in others] == [
        ("box", box, None),
        ("gpu", gpu, None),
    ]


@without_skypilot
def test_what_is_not_installed_cannot_be_asked_about_machines(rh_home: Path) -> None:
    rh.cluster("box", host="example.org").save()
    assert [each.name for each in overview(ask_skypilot=True)] == ["box"]
    rh.ondemand_cluster("gpu", "CPU:2").save()
    with pytest.raises(ImportError, match=r"pip install 'runhouse\[sky\]'"):
        overview(ask_skypilot=True)


@without_skypilot
def test_a_definition_replaces_an_earlier_one(rh_home: Path) -> None:
    first = rh.ondemand_cluster("gpu", "CPU:2")
    assert save_new(first) is None
    assert save_new(rh.ondemand_cluster("gpu", "CPU:2")) is None, "the same once more"
    second = rh.ondemand_cluster("gpu", "CPU:4")
    assert save_new(second) == first
    assert rh.cluster("gpu") == second


def test_a_definition_replaces_nothing_of_another_kind(rh_home: Path) -> None:
    box = rh.cluster("box", host="example.org").save()
    with pytest.raises(InvalidNameError, match=r"of kind byo\. .* `rh forget box`"):
        save_new(rh.ondemand_cluster("box", "CPU:2"))
    assert rh.cluster("box") == box


def test_a_record_that_cannot_be_read_is_left_as_it_is(rh_home: Path) -> None:
    file = rh_home / "clusters" / "gpu.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(RecordError):
        save_new(rh.ondemand_cluster("gpu", "CPU:2"))
    assert file.read_text() == "{"
