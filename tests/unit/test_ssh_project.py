"""What a listing takes and leaves, by git and without it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runhouse.ssh.project import FileEntry, Listing, list_project
from runhouse.ssh.rsync import anchored, quoted_shell


def _make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


@pytest.fixture(params=["git", "no git"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "git":
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def _names(listing: Listing) -> list[str]:
    return [file.path for file in listing.files]


def test_gitignore_files_are_honoured_at_every_level(root: Path) -> None:
    _make(root, "a.log", "keep.log", "sub/b.log", "sub/c.tmp", "sub/deep/d.tmp", "sub/e.txt")
    _make(root, "build/x", "sub/build/y", "only/build/z")
    (root / ".gitignore").write_text("*.log\n!keep.log\n/build/\n")
    (root / "sub" / ".gitignore").write_text("*.tmp\n!deep/d.tmp\n!b.log\n")
    listing = list_project(root)
    assert _names(listing) == [
        *(".gitignore", "keep.log", "only/build/z", "sub/.gitignore", "sub/b.log"),
        *("sub/build/y", "sub/deep/d.tmp", "sub/e.txt"),
    ]
    assert listing.ignored == ("a.log", "build/", "sub/c.tmp")


def test_environments_and_caches_are_left_out(root: Path) -> None:
    _make(root, "env/pyvenv.cfg", "env/lib/x.py", "conda/conda-meta/history", ".git/config2")
    _make(root, "a/__pycache__/x.pyc", ".mypy_cache/x", "node_modules/x.js", "a/x.py")
    listing = list_project(root)
    assert _names(listing) == ["a/x.py", "node_modules/x.js"]
    assert listing.ignored == ("conda/", "env/")


def test_links_are_listed_and_not_followed(root: Path) -> None:
    _make(root, "folder/x")
    (root / "link").symlink_to("folder")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    assert _names(list_project(root)) == ["dangling", "folder/x", "link"]


def test_names_that_are_no_utf8_are_kept(root: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    _make(root, name, "a\nb")
    assert set(_names(list_project(root))) == {name, "a\nb"}


def test_tracked_files_are_listed_though_a_pattern_names_them(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    _make(tmp_path, "a.log", "b.log")
    subprocess.run(["git", "add", "a.log"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("*.log\n")
    assert _names(list_project(tmp_path)) == [".gitignore", "a.log"]


def test_a_project_inside_an_ignored_folder_is_listed(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("/sandbox/\n")
    _make(tmp_path, "sandbox/mine/x.py")
    assert _names(list_project(tmp_path / "sandbox" / "mine")) == ["x.py"]


def test_the_environment_of_a_git_hook_does_not_matter(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    _make(root, "x.log", "y")
    (root / ".gitignore").write_text("*.log\n")
    assert _names(list_project(root)) == [".gitignore", "y"]


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"cannot be listed\. .+\. .+\."):
        list_project(tmp_path / "none")


def test_the_largest_folders_are_named_once() -> None:
    files = (
        FileEntry("data/raw/a", 90, 0),
        FileEntry("data/b", 1, 0),
        FileEntry("src/x", 5, 0),
        FileEntry("top", 500, 0),
    )
    listing = Listing(Path("/p"), files, (), 596)
    assert listing.largest_folders() == (("data/raw", 90), ("src", 5))
    assert listing.largest_folders(1) == (("data/raw", 90),)


@given(st.text(st.sampled_from("ab*?[]\\/ #'"), min_size=1))
def test_an_anchored_pattern_stands_for_its_path_alone(path: str) -> None:
    pattern = anchored(path)
    assert pattern.startswith("/")
    if re.search(r"[*?\[]", pattern):  # then rsync takes a backslash as an escape
        assert not re.search(r"(?<!\\)(?:\\\\)*[*?\[]", pattern)
        assert re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL) == "/" + path
    else:
        assert pattern == "/" + path


@given(st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1))
def test_a_command_line_for_rsync_can_be_read_back(words: list[str]) -> None:
    text = quoted_shell(words)
    found = re.findall(r"'((?:[^']|'')*)'(?: |$)", text, flags=re.DOTALL)
    assert [word.replace("''", "'") for word in found] == words
