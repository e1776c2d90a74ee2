"""What a listing takes and leaves, by git and without it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from runhouse import settings
from runhouse.errors import ProjectTooLargeError, SyncSizeWarning
from runhouse.ssh.project import FileEntry, Listing, list_project
from runhouse.ssh.project_size import check_size, left_out
from runhouse.ssh.repository import current_branch
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


def test_files_of_our_own_come_before_git_s(root: Path) -> None:
    _make(root, "big.bin", "notes.txt", "data/a.csv", "data/deep/b.csv", "sub/big.bin", "sub/x.log")
    (root / ".gitignore").write_text("*.log\n*.csv\n")
    (root / ".rhignore").write_text("*.bin\n!/data/a.csv\n")
    (root / "sub" / ".rhignore").write_text("!big.bin\n!x.log\n")
    if (root / ".git").exists():
        subprocess.run(["git", "add", "big.bin"], cwd=root, check=True)  # though git has it
    listing = list_project(root)
    assert _names(listing) == [
        *(".gitignore", ".rhignore", "data/a.csv", "notes.txt"),
        *("sub/.rhignore", "sub/big.bin", "sub/x.log"),
    ]
    assert not {"big.bin", "data/deep/b.csv"} & set(_names(listing))


def test_a_submodule_s_own_git_speaks_of_its_files(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    for repository in (outer, inner):
        _make(repository, "x.py")
        (repository / ".gitignore").write_text("*.log\n" if repository == inner else "")
        _git(repository, "init", "-q")
        _git(repository, "add", ".")
        _git(repository, "commit", "-qm", "begin")
    _git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "lib/in")
    _make(outer, "y.log", "lib/in/z.log", "lib/in/w.bin")
    (outer / ".rhignore").write_text("*.bin\n")
    listing = list_project(outer)
    assert _names(listing) == [
        *(".gitignore", ".gitmodules", ".rhignore", "lib/in/.gitignore", "lib/in/x.py"),
        *("x.py", "y.log"),
    ]
    assert listing.ignored == ("lib/in/.git", "lib/in/w.bin", "lib/in/z.log")


def test_the_branch_of_a_work_tree_is_known(tmp_path: Path) -> None:
    assert current_branch(tmp_path) == ""
    _make(tmp_path, "x.py")
    _git(tmp_path, "init", "-q", "-b", "first")
    assert current_branch(tmp_path) == "refs/heads/first"
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "begin")
    _git(tmp_path, "switch", "-q", "-c", "team/näxt")
    assert current_branch(tmp_path) == "refs/heads/team/näxt"
    _git(tmp_path, "switch", "-q", "--detach")
    assert current_branch(tmp_path) == ""


def test_what_stays_here_is_told_with_sizes(root: Path) -> None:
    _make(root, "a.log", "build/x", "build/deep/y", ".venv/pyvenv.cfg", "__pycache__/z.pyc")
    (root / "build" / "link").symlink_to("x")
    (root / ".gitignore").write_text("*.log\n/build/\n")
    found = {each.path: each.size_bytes for each in left_out(list_project(root))}
    assert (found["a.log"], found["build/"], found[".venv/"], found["__pycache__/"]) == (1, 3, 1, 1)


def test_a_large_project_is_sent_with_a_warning(tmp_path: Path) -> None:
    _make_large(tmp_path)
    listing = list_project(tmp_path)
    check_size(listing, settings.Settings(sync_warn_mb=1))
    with pytest.warns(SyncSizeWarning, match=r"raw \(1 MB\).*or raise RH_SYNC_WARN_MB"):
        check_size(listing, settings.Settings(sync_warn_mb=0.5))


def test_a_project_that_is_too_large_is_refused(tmp_path: Path) -> None:
    _make_large(tmp_path)
    _make(tmp_path, "kept/x")
    (tmp_path / ".gitignore").write_text("/kept/\n")
    with pytest.raises(
        ProjectTooLargeError,
        match=r"raw \(1 MB\).*the 0.5 MB that are allowed, and nothing was sent. "
        r"Left out already: kept/ \(0 MB\).*RH_SYNC_MAX_MB",
    ) as caught:
        check_size(list_project(tmp_path), settings.Settings(sync_max_mb=0.5))
    assert caught.value.size_bytes > 900_000


def _make_large(root: Path) -> None:
    (root / "raw").mkdir()
    (root / "raw" / "x.bin").write_bytes(bytes(900_000))


def _git(root: Path, *words: str) -> None:
    author = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    subprocess.run(["git", *author, *words], cwd=root, check=True)


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
