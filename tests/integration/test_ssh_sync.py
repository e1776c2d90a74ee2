"""Copies to and from a host, with rsync and without it: the same results both ways."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runhouse.errors import SyncError, SyncSizeWarning
from runhouse.ssh.session import Session
from runhouse.ssh.sync import download, mirror_project, upload
from runhouse.ssh.target import Target
from tests.rigs.sshd import Sshd, processes, running_sshd
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_PYTHON = sys.executable
_ODD_NAMES = [
    "a b",
    "c\nd",
    "weird*[x]?\\y",
    "-dash",
    "'q\"",
    "#x",
    "ü",
    "sub dir/x y",
    os.fsdecode(b"\xff\xfe"),
]


@pytest.fixture(scope="module", params=["rsync", "no rsync"])
def sshd(request: pytest.FixtureRequest) -> Iterator[Sshd]:
    """Run a host with rsync, and one whose PATH has none."""
    if request.param == "rsync":
        with running_sshd() as running:
            yield running
        return
    without = Path(f"/tmp/rh-bin-without-{os.getpid()}")
    with running_sshd("PermitUserEnvironment yes", f"SetEnv PATH={without}") as running:
        without.mkdir(exist_ok=True)
        for name in ("sh", "bash", "cat", "head", "mkdir", "chmod", "mv", "dirname", "sleep"):
            link = without / name
            if not link.is_symlink():
                link.symlink_to(shutil.which(name) or f"/bin/{name}")
        yield running
        shutil.rmtree(without)


@pytest.fixture
def session(sshd: Sshd) -> Iterator[Session]:
    with sshd.session() as made:
        yield made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "my project"
    for name in [*_ODD_NAMES, "data/big.bin", "run.log", "venv/pyvenv.cfg", "__pycache__/x.pyc"]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
    (root / ".gitignore").write_text("*.log\n/data/\n")
    (root / "link").symlink_to("a b")
    (root / "dangling").symlink_to("nowhere")
    (root / "tool").write_text("#!/bin/sh\n")
    (root / "tool").chmod(0o755)
    return root


def _tree(root: Path) -> dict[str, tuple[str, object]]:
    found: dict[str, tuple[str, object]] = {}
    for path in root.rglob("*"):
        facts = path.lstat()
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("folder", None)
        else:
            found[name] = (
                path.read_bytes().hex(),
                (stat.S_IMODE(facts.st_mode), facts.st_mtime_ns),
            )
    return found


def test_a_project_is_mirrored_without_what_is_ignored(
    session: Session, project: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "the copy"
    mirror_project(session, project, str(copy), python=_PYTHON)
    expected = _tree(project)
    for name in list(expected):
        if name.partition("/")[0] in ("data", "run.log", "venv", "__pycache__"):
            del expected[name]
    assert _tree(copy) == expected


def test_deletions_are_mirrored_and_ignored_files_stay(
    session: Session, project: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    mirror_project(session, project, str(copy), python=_PYTHON)
    for name in ("data/result", "venv/bin", "__pycache__/y.pyc", "gone", "old/x"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()
    (project / "a b").unlink()
    (project / "sub dir" / "x y").write_text("edited")
    mirror_project(session, project, str(copy), python=_PYTHON)
    assert not [name for name in ("a b", "gone", "old") if (copy / name).exists()]
    assert (copy / "sub dir" / "x y").read_text() == "edited"
    for name in ("data/result", "venv/bin", "__pycache__/y.pyc"):
        assert (copy / name).exists()


def test_files_folders_and_links_take_each_other_s_place(session: Session, tmp_path: Path) -> None:
    root, copy = tmp_path / "p", tmp_path / "c"
    (root / "a").mkdir(parents=True)
    (root / "a" / "x").touch()
    (root / "b").write_text("b")
    (root / "c").symlink_to("b")
    mirror_project(session, root, str(copy), python=_PYTHON)
    shutil.rmtree(root / "a")
    (root / "a").write_text("file")
    (root / "b").unlink()
    (root / "b").mkdir()
    (root / "c").unlink()
    (root / "c").write_text("file")
    mirror_project(session, root, str(copy), python=_PYTHON)
    assert _tree(copy) == _tree(root)


def test_a_large_project_warns_with_its_largest_folders(
    sshd: Sshd, project: Path, tmp_path: Path
) -> None:
    (project / "raw").mkdir()
    (project / "raw" / "x.bin").write_bytes(bytes(300_000))
    session = Session(Target.parse("box"), sshd.settings(sync_warn_mb=0.2))
    with pytest.warns(SyncSizeWarning, match=r"raw \(0 MB\)"):
        mirror_project(session, project, str(tmp_path / "copy"), python=_PYTHON)
    session.close()


def test_a_directory_goes_there_and_back(session: Session, project: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    report = upload(session, project, str(there), python=_PYTHON)
    assert report.files == sum(
        kind not in ("link", "folder") for kind, _ in _tree(project).values()
    )
    assert _tree(there / "my project") == _tree(project)
    assert upload(session, project, str(there), python=_PYTHON).files == 0
    download(session, f"{there}/my project", back, python=_PYTHON)
    download(session, f"{there}/my project", back / "c", contents=True, python=_PYTHON)
    assert _tree(back / "c") == _tree(project)
    shutil.rmtree(back / "c")
    assert _tree(back / "my project") == _tree(project)


def test_delete_removes_what_the_source_lacks(
    session: Session, project: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    upload(session, project, str(there), contents=True, python=_PYTHON)
    (there / "more").touch()
    assert upload(session, project, str(there), contents=True, python=_PYTHON).deleted == 0
    report = upload(session, project, str(there), contents=True, delete=True, python=_PYTHON)
    assert report.deleted == 1
    assert _tree(there) == _tree(project)


@pytest.mark.parametrize("name", ["plain", "weird*[x]?\\y", "a b"])
def test_one_file_goes_there_and_back(session: Session, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.write_text("content")
    there = tmp_path / "new folder" / "deep"
    upload(session, source, f"{there}/", python=_PYTHON)
    upload(session, source, f"{there}/renamed", python=_PYTHON)
    assert (there / name).read_text() == (there / "renamed").read_text() == "content"
    download(session, f"{there}/{name}", tmp_path / "back", python=_PYTHON)
    assert (tmp_path / "back").read_text() == "content"


def test_the_home_is_where_relative_paths_start(session: Session, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    name = f"rh-test-{os.getpid()}"
    for dest in (f"~/{name}/a", f"{name}/b"):
        upload(session, tmp_path / "x", dest, python=_PYTHON)
    copied = Path.home() / name
    assert sorted(path.name for path in copied.iterdir()) == ["a", "b"]
    shutil.rmtree(copied)


def test_a_source_that_is_not_there_is_an_error(session: Session, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cannot be copied\. .+\. .+\."):
        upload(session, tmp_path / "none", "x")
    with pytest.raises(SyncError, match="(?s)could not be copied .*none"):
        download(session, str(tmp_path / "none"), tmp_path / "here", python=_PYTHON)


@pytest.mark.parametrize(
    ("dest", "kind"), [("", ValueError), ("~bob/x", ValueError), (3, TypeError)]
)
def test_bad_paths_are_refused_before_connecting(
    session: Session, tmp_path: Path, dest: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="cannot be used"):
        upload(session, tmp_path, dest)
    with pytest.raises(TypeError, match="filters cannot be used"):
        upload(session, tmp_path, "x", filters="- *.pyc")
    assert not session.is_connected()


_CLIENT = """
import sys
from runhouse.ssh.session import Session
from runhouse.ssh.sync import upload
from runhouse.ssh.target import Target
upload(Session(Target.parse("box")), sys.argv[1], sys.argv[2], python=sys.executable)
"""


def test_a_killed_client_leaves_no_copy_running(sshd: Sshd, tmp_path: Path) -> None:
    source, dest = tmp_path / "source", tmp_path / "dest"
    source.write_bytes(bytes(1 << 20))
    with sshd.session() as session:
        session.connect()
        command = [sys.executable, "-c", _CLIENT, str(source), str(dest)]
        (master,) = processes(f"{sshd.folder}/ssh/")
        os.kill(master, signal.SIGSTOP)  # so that the copy cannot end
        with subprocess.Popen(command, env=sshd.environment()) as client:
            client.kill()
        os.kill(master, signal.SIGCONT)
    wait_until(lambda: not processes(f"{sshd.folder}/ssh/"))
    assert not processes(str(source))
