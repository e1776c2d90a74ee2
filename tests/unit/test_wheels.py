"""Wheels for another machine: found, downloaded and checked here, built where there is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from runhouse.bootstrap.package_index import find_index
from runhouse.bootstrap.wheels import NoWheelError, Target, Wheels, find_wheels
from tests.rigs.package_index import Index, only_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
HERE = Target("3.12.1", "x86_64", "glibc-2.36")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index(tmp_path / "index")
    with only_index(made.url):
        yield made
    made.close()


def find(tmp_path: Path, *lines: str, pylock: str = "", target: Target = HERE) -> Wheels:
    shown: list[str] = []
    return find_wheels(
        lines, pylock, target, index=find_index(), cache=tmp_path / "cache", show=shown.append
    )


@pytest.mark.parametrize(
    ("libc", "platform"),
    [
        ("glibc-2.36", "x86_64-manylinux_2_36"),
        ("glibc-2.30", "x86_64-manylinux_2_28"),
        ("glibc-2.99", "x86_64-manylinux_2_40"),
        ("glibc-2.12", "x86_64-manylinux_2_17"),
        ("glibc", "x86_64-manylinux_2_17"),
        ("", "x86_64-unknown-linux-musl"),
    ],
)
def test_platforms(libc: str, platform: str) -> None:
    assert Target("3.12", "x86_64", libc).platform == platform


def test_wheels_are_downloaded_once(index: Index, tmp_path: Path) -> None:
    index.add("tiny", "1.0")
    index.add("needy", "1.0", requires=["tiny"])
    found = find(tmp_path, "needy")
    assert found.lines == ("needy==1.0", "tiny==1.0")
    assert [file.name.split("-")[0] for file in found.files] == ["needy", "tiny"]
    wheels = [path for path in index.asked if path.endswith(".whl")]
    index.asked.clear()
    assert find(tmp_path, "needy") == found
    assert wheels
    assert not [path for path in index.asked if path.endswith(".whl")]


def test_the_wheel_fits_the_host_and_not_this_machine(index: Index, tmp_path: Path) -> None:
    tags = ["cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_17_aarch64"]
    for tag in (*tags, "cp313-cp313-manylinux_2_28_x86_64"):
        index.add("native", "1.0", tag=tag)
    (file,) = find(tmp_path, "native").files
    assert tags[0] in file.name
    (file,) = find(tmp_path, "native", target=Target("3.12", "aarch64", "glibc-2.36")).files
    assert tags[1] in file.name
    with pytest.raises(NoWheelError, match="native"):
        find(tmp_path, "native", target=Target("3.12", "x86_64", "glibc-2.17"))


def test_a_lock_file_is_followed_exactly(index: Index, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        index.add("tiny", version)
    lock = 'lock-version = "1.0"\n[[packages]]\nname = "tiny"\nversion = "1.0"\n'
    assert find(tmp_path, pylock=lock).lines == ("tiny==1.0",)


def test_what_cannot_be_found_is_told(index: Index, tmp_path: Path) -> None:
    del index
    with pytest.raises(NoWheelError, match="nowhere"):
        find(tmp_path, "nowhere")


def test_a_wheel_that_was_changed_on_the_way_is_refused(index: Index, tmp_path: Path) -> None:
    path = index.add("tiny", "1.0")
    page = path.parent / "index.html"
    text = page.read_text()
    digest = text.partition("sha256=")[2][:64]
    page.write_text(text.replace(digest, "0" * 64))
    with pytest.raises(NoWheelError):
        find(tmp_path, "tiny")
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_a_private_index(index: Index, tmp_path: Path) -> None:
    index.add("tiny", "1.0")
    index.private = True
    with only_index(index.url):
        assert find(tmp_path, "tiny").lines == ("tiny==1.0",)


def test_uv_is_needed(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del index
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoWheelError, match="uv is not installed"):
        find(tmp_path, "tiny")
