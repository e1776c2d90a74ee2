"""The table of kinds: our own, and those of other packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runhouse.errors import RecordError
from runhouse.registry.kinds import KINDS, resolve

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_ours_is_a_class(kind: str) -> None:
    found = resolve(kind)
    assert isinstance(found, type)
    assert KINDS[kind] == f"{found.__module__}:{found.__name__}"


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package that announces two kinds, one of them broken."""
    (tmp_path / "stranger.py").write_text("class MoonCluster: ...\n")
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[runhouse.kinds]\nmoon = stranger:MoonCluster\nbroken = stranger:Gone\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("stranger")
def test_another_package_can_bring_a_kind() -> None:
    found = resolve("moon")
    assert isinstance(found, type)
    assert found.__name__ == "MoonCluster"


@pytest.mark.usefixtures("stranger")
def test_a_broken_kind_names_its_package() -> None:
    with pytest.raises(RecordError, match=r"stranger:Gone of stranger failed"):
        resolve("broken")


@pytest.mark.usefixtures("stranger")
def test_an_unknown_kind_lists_all() -> None:
    with pytest.raises(
        RecordError, match=r"The kinds are local, byo, on-demand, sagemaker, broken, moon"
    ):
        resolve("mars")
