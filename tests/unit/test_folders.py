"""Folders of this machine and in a store, without any host."""

from __future__ import annotations

import json
import os
import stat
import uuid
from typing import TYPE_CHECKING, Any, cast

import fsspec
import pytest
from typer.testing import CliRunner

import runhouse as rh
from runhouse.bootstrap.local_copy import copy_here
from runhouse.cli.files import _named, _place
from runhouse.cli.main import app
from runhouse.files import Copying
from runhouse.specs.host_place import LocalPlace, _folder_for
from runhouse.specs.object_place import ObjectPlace
from runhouse.specs.places import below, split_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> rh.Folder:
    """Give a folder of this machine with a file, a link and a folder in it."""
    place = tmp_path / "my data"
    (place / "sub").mkdir(parents=True)
    (place / "a.txt").write_text("hello")
    (place / "sub" / "b c").write_bytes(b"\0\xff")
    (place / "link").symlink_to("a.txt")
    return rh.folder(place)


@pytest.fixture
def bucket() -> Iterator[str]:
    """Give a folder of its own in a store that is in memory."""
    name = f"/{uuid.uuid4().hex}"
    yield name
    store = fsspec.filesystem("memory")
    if store.exists(name):
        store.rm(name, recursive=True)


# -- on this machine ----------------------------------------------------------------------------


def test_a_folder_here_is_looked_at_and_changed(data: rh.Folder) -> None:
    assert data.system == "here"
    assert data.ls() == ["a.txt", "link", "sub/"]
    assert data.ls("sub") == ["b c"]
    assert data.exists()
    assert data.exists("sub/b c")
    assert not data.exists("none")
    assert not data.exists("a.txt/below")
    assert data.get("sub/b c") == b"\0\xff"
    data.put({"new/x": b"1", "a.txt": "é"})
    assert data.get("new/x") == b"1"
    with data.open("a.txt", "r") as file:
        assert file.read() == "é"
    with data.open("made/w", "w") as file:
        file.write("ö")
    assert data.get("made/w") == "ö".encode()
    data.rm("new")
    assert not data.exists("new")
    data.rm("new")
    with pytest.raises(OSError, match="not empty"):
        data.rm("sub", recursive=False)
    data.rm()
    assert not data.exists()
    assert data.mkdir().ls() == []
    assert repr(data) == f"<runhouse.Folder here:{data.path}>"


def test_a_copy_here_sends_only_what_differs(data: rh.Folder, tmp_path: Path) -> None:
    copied = data.to("here", path=tmp_path / "copy")
    assert copied.copied is not None
    assert (copied.copied.files, copied.copied.size_bytes) == (2, 7)
    assert copied.ls() == data.ls()
    assert os.readlink(tmp_path / "copy" / "link") == "a.txt"
    again = data.to(copied)
    assert again.copied is not None
    assert (again.copied.files, again.copied.deleted) == (0, 0)
    copied.put({"more": "x", "sub/more": "x"})
    mirrored = data.to(copied, delete=True)
    assert mirrored.copied is not None
    assert mirrored.copied.deleted == 2
    assert mirrored.ls("sub") == ["b c"]


def test_content_of_one_size_and_time_is_compared_on_demand(
    data: rh.Folder, tmp_path: Path
) -> None:
    copied = data.to("here", path=tmp_path / "copy")
    facts = (tmp_path / "copy" / "a.txt").stat()
    copied.put({"a.txt": "HELLO"})
    os.utime(tmp_path / "copy" / "a.txt", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    (tmp_path / "copy" / "a.txt").chmod(stat.S_IMODE(facts.st_mode))
    assert data.to(copied).get("a.txt") == b"HELLO"
    assert data.to(copied, checksum=True).get("a.txt") == b"hello"


def test_what_is_of_another_kind_is_replaced(data: rh.Folder, tmp_path: Path) -> None:
    (tmp_path / "copy" / "a.txt").mkdir(parents=True)
    (tmp_path / "copy" / "a.txt" / "in").touch()
    (tmp_path / "copy" / "sub").write_text("a file")
    (tmp_path / "copy" / "link").write_text("no link")
    assert data.to("here", path=tmp_path / "copy").ls() == data.ls()
    assert data.to("here", path=tmp_path / "copy").ls("sub") == ["b c"]


def test_a_file_and_what_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    told: list[tuple[int, int]] = []
    assert copy_here(tmp_path / "x", tmp_path / "d" / "y", Copying()).files == 1
    assert copy_here(tmp_path / "x", tmp_path / "d" / "y", Copying()).files == 0
    (tmp_path / "d" / "z.log").write_text("12")
    how = Copying(excludes=["*.log"], on_bytes=lambda *far: told.append(far))
    assert copy_here(tmp_path / "d", tmp_path / "e", how).files == 1
    assert told == [(1, 1)]
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["y"]


def test_from_this_machine_as_a_host_to_another(data: rh.Folder, tmp_path: Path) -> None:
    host = LocalPlace().host
    for source, found in ((data.path, "my data/a.txt"), (f"{data.path}/", "a.txt")):
        place = tmp_path / found[:2]
        host.copy_to(host, source, str(place), Copying())
        assert (place / found).read_text() == "hello"
    with pytest.raises(rh.SyncError, match="on this machine already"):
        host.mount(data.path, tmp_path / "m")
    with pytest.raises(rh.SyncError, match="Check both paths"):
        host.copy("/none/at/all", str(tmp_path / "x"), up=True, contents=False)


# -- in a store ---------------------------------------------------------------------------------


def test_a_folder_in_a_store(data: rh.Folder, bucket: str, tmp_path: Path) -> None:
    stored = data.to("memory", path=f"{bucket}/d")
    assert stored.copied is not None
    assert stored.copied.files == 3, "a link is the file that it leads to"
    assert stored.ls() == data.ls()
    assert stored.get("sub/b c") == b"\0\xff"
    assert stored.exists("sub")
    assert not stored.exists("none")
    with stored.open("w", "w") as file:
        file.write("ö")
    with stored.open("w", "r") as file:
        assert file.read() == "ö"
    stored.put({"gone/x": "1"})
    back = stored.to("here", path=tmp_path / "back")
    assert back.ls() == ["a.txt", "gone/", "link", "sub/", "w"]
    stored.rm("gone")
    stored.rm("gone")
    assert stored.to(back, delete=True).ls() == ["a.txt", "link", "sub/", "w"]
    mirrored = data.to(stored, delete=True)
    assert mirrored.copied is not None
    assert mirrored.copied.deleted == 1
    second = stored.to("memory", path=f"{bucket}/second")
    assert second.ls() == data.ls()
    stored.rm()
    assert not stored.exists()


def test_what_a_store_knows_to_be_the_same_is_not_sent(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("hello")
    store, digest = ObjectPlace("memory"), "5d41402abc4b2a76b9719d911017c592"
    assert store.same({"size": 5, "ETag": f'"{digest}"'}, file)
    assert not store.same({"size": 5, "ETag": f'"{digest}-2"'}, file), "made of parts"
    assert not store.same({"size": 5}, file)
    assert not store.same({"size": 6, "ETag": digest}, file)
    assert not store.same(None, file)


def test_a_store_that_cannot_be_used() -> None:
    with pytest.raises(ImportError, match=r"pip install 'runhouse\[azure\]'"):
        rh.folder("abfs://bucket/x").ls()
    with pytest.raises(ValueError, match="There is no system 'moon'"):
        rh.folder("moon://bucket/x").ls()
    with pytest.raises(FileNotFoundError):
        rh.folder("memory:///none").ls()


# -- what users write ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [("", "/d"), ("a", "/d/a"), ("a//b/.", "/d/a/b"), ("a b", "/d/a b"), (".", "/d")],
)
def test_names_are_in_the_folder(name: str, found: str) -> None:
    assert below("/d", name) == found


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "/etc", "~/x", "a\0b"])
def test_names_that_lead_out_of_the_folder(name: str, data: rh.Folder) -> None:
    for act in (data.ls, data.exists, data.get, data.rm, lambda name: data.put({name: "x"})):
        with pytest.raises(ValueError, match="cannot be used"):
            act(name)


def test_urls_name_their_system() -> None:
    assert split_url("s3://b/x y") == ("s3", "b/x y")
    assert split_url("/a:b//c") == (None, "/a:b//c")
    assert rh.folder("s3://b/x").system == "s3"
    assert rh.folder("file:///b/x").system == "here"
    assert rh.folder("b/x", system="s3").path == "b/x"
    with pytest.raises(ValueError, match="names s3"):
        rh.folder("s3://b/x", system="gs")


WRONG_TYPE: Any = 7
WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda _: rh.folder(""), ValueError, "empty"),
    (lambda _: rh.folder(WRONG_TYPE), TypeError, "type int"),
    (lambda _: rh.folder(cast("Any", b"x")), TypeError, "type bytes"),
    (lambda _: rh.folder("x", system=WRONG_TYPE), TypeError, "is no cluster"),
    (lambda d: d.to("nowhere"), rh.ClusterNotFoundError, "nowhere"),
    (lambda d: d.to("s3"), ValueError, "BUCKET/FOLDER"),
    (lambda d: d.to(7), TypeError, "is no cluster"),
    (lambda d: d.to("here", path="~", delete=True), ValueError, "home or root"),
    (lambda d: d.open("a.txt", "a"), ValueError, "read or written whole"),
    (lambda d: d.open("", "r"), ValueError, "empty"),
    (lambda d: d.get("none"), FileNotFoundError, "none"),
    (lambda d: d.ls("a.txt"), NotADirectoryError, "a.txt"),
    (lambda d: d.ls(7), TypeError, "type int"),
    (lambda d: d.put(["a"]), TypeError, "type list"),
    (lambda d: d.put({"a": 7}), TypeError, "type int"),
    (lambda _: rh.folder("/none/at/all").to("here"), FileNotFoundError, "no folder"),
    (lambda _: rh.folder("~/").rm(), ValueError, "home or root"),
    (lambda _: rh.folder("/").rm(), ValueError, "home or root"),
]


@pytest.mark.parametrize(("act", "error", "said"), WRONG)
def test_what_cannot_be_used(
    act: Any, error: type[Exception], said: str, data: rh.Folder, rh_home: Path
) -> None:
    del rh_home
    with pytest.raises(error, match=said):
        act(data)


def test_the_words_of_rh_cp(tmp_path: Path) -> None:
    assert _place("s3://b/x")[0].system == "s3"
    assert _place("./a:b")[1] == "./a:b"
    assert _place("/x/y:z")[0].system == "here"
    assert _place("local:x")[1] == "x"
    assert _place("local:")[1] == "."
    with pytest.raises(ValueError, match="empty path"):
        _place("")
    here, store = LocalPlace(), ObjectPlace("memory")
    folder, none = str(tmp_path), str(tmp_path / "none")
    assert _named(store, "b/x", here, folder, "file", contents=False) == f"{folder}/x"
    assert _named(store, "b/x", here, none, "file", contents=False) == none
    assert _named(here, "d", store, "b", "folder", contents=False) == "b/d"
    assert _named(here, "d/", store, "b", "folder", contents=True) == "b"
    assert _named(store, "b/d", here, ".", "folder", contents=False) == "d"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["cp", "none", "one:x"], 1),
        (["cp", "nowhere:x", "y"], 4),
        (["cp", "FILE", "one:x", "--delete"], 2),
        (["cp", "FOLDER", "one:x", "--delete"], 2),
        (["cp", "", "one:x"], 2),
        (["cp", "moon://x", "y"], 2),
        (["mount", "local:x", "FOLDER"], 1),
        (["mount", "one", "FOLDER"], 2),
    ],
)
def test_wrong_words_on_the_command_line(
    words: list[str], code: int, data: rh.Folder, rh_home: Path
) -> None:
    del rh_home
    rh.cluster("one", host="one").save()
    places = {"FILE": f"{data.path}/a.txt", "FOLDER": data.path}
    done = CliRunner().invoke(app, [places.get(word, word) for word in words])
    assert done.exit_code == code, done.output


def test_rh_cp_within_this_machine_and_a_store(
    data: rh.Folder, bucket: str, tmp_path: Path
) -> None:
    for source, dest in (
        (data.path, f"memory://{bucket}"),
        (f"memory://{bucket}/my data/", str(tmp_path / "back")),
        (str(tmp_path / "back" / "a.txt"), str(tmp_path / "b.txt")),
    ):
        done = CliRunner().invoke(app, ["cp", source, dest, "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.output)["files"] >= 1
    assert rh.folder(tmp_path / "back").ls() == data.ls()
    assert (tmp_path / "b.txt").read_text() == "hello"


def test_where_a_single_file_comes_to(tmp_path: Path) -> None:
    here = LocalPlace()
    (tmp_path / "x").touch()
    source, folder = str(tmp_path / "x"), str(tmp_path)
    assert _folder_for(here, source, here, folder, contents=False) == folder
    assert _folder_for(here, source, here, "new/x", contents=False) == "new"
    assert _folder_for(here, source, here, "x", contents=False) == "."
    assert _folder_for(here, source, here, "new/", contents=False) == "new/"
    assert _folder_for(here, source, here, "new/y", contents=False) is None
    assert _folder_for(here, folder, here, "new", contents=False) == "new"
