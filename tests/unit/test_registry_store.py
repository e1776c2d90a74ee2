"""The store: real folders, real processes, and a shared place behind a URL."""

from __future__ import annotations

import multiprocessing
import stat
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from runhouse.errors import ClusterNotFoundError, InvalidNameError, RecordError, SettingsError
from runhouse.registry.record import Record
from runhouse.registry.store import Store

if TYPE_CHECKING:
    from pathlib import Path

_WRITERS, _ROUNDS = 4, 40


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Give an empty store of each sort; they behave alike."""
    roots: dict[str, Path | str] = {
        "folder": tmp_path / "a folder" / "clusters",
        "file": f"file://{tmp_path}/shared",
        "memory": f"memory://{uuid.uuid4().hex}/rh/",
    }
    return Store(roots[request.param])


def test_what_is_saved_can_be_loaded_listed_and_deleted(store: Store) -> None:
    assert store.names() == []
    box, gpu = Record("byo", "box", {"host": ["a"]}), Record("local", "Gpu.2_x-", {})
    store.save(box)
    store.save(gpu)
    assert store.load("box") == box
    assert store.load("Gpu.2_x-") == gpu
    assert store.names() == ["Gpu.2_x-", "box"]
    changed = Record("byo", "box", {"host": ["b"]})
    store.save(changed)
    assert store.load("box") == changed
    store.delete("box")
    store.delete("box")
    assert store.names() == ["Gpu.2_x-"]
    with pytest.raises(ClusterNotFoundError):
        store.load("box")


def test_an_unknown_name_lists_near_ones(store: Store) -> None:
    for name in ("gpu-box", "gpu-box2", "laptop"):
        store.save(Record("byo", name))
    with pytest.raises(ClusterNotFoundError, match="Did you mean 'gpu-box'") as caught:
        store.load("gpubox")
    assert caught.value.name == "gpubox"
    assert caught.value.near[0] == "gpu-box"
    with pytest.raises(ClusterNotFoundError, match="Saved are gpu-box, gpu-box2, laptop"):
        store.load("zzz")


def test_an_empty_store_says_so(store: Store) -> None:
    with pytest.raises(ClusterNotFoundError, match="None is saved") as caught:
        store.load("box")
    assert caught.value.near == ()


@pytest.mark.parametrize("name", ["../box", "a/b", "local", ""])
def test_names_are_checked_before_anything_is_touched(store: Store, name: str) -> None:
    with pytest.raises(InvalidNameError):
        store.save(Record("byo", name))
    with pytest.raises(InvalidNameError):
        store.load(name)
    with pytest.raises(InvalidNameError):
        store.delete(name)


def test_only_this_user_can_read(tmp_path: Path) -> None:
    root = tmp_path / "rh" / "clusters"
    Store(root).save(Record("byo", "box"))
    assert _mode(tmp_path / "rh") == 0o700
    assert _mode(root) == 0o700
    assert _mode(root / "box.json") == 0o600
    assert [path.name for path in root.iterdir()] == ["box.json"]


@pytest.mark.parametrize("content", [b'{"version": 1, "ki', b"\xff\xfe", b"", b"[]"])
def test_a_corrupt_record_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    (tmp_path / "box.json").write_bytes(content)
    with pytest.raises(RecordError, match="orrect or delete") as caught:
        store.load("box")
    assert str(tmp_path / "box.json") in str(caught.value)
    assert (tmp_path / "box.json").read_bytes() == content
    assert store.names() == ["box"]


def test_a_record_under_another_name_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(Record("byo", "box"))
    (tmp_path / "box.json").rename(tmp_path / "copy.json")
    with pytest.raises(RecordError, match=r"definition of 'box', not of 'copy'"):
        store.load("copy")


def test_other_files_are_not_records(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(Record("byo", "box"))
    for other in (".box.json.17.abc", "a b.json", "notes.txt", "local.json"):
        (tmp_path / other).write_text("x")
    assert store.names() == ["box"]


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecordError, match="was not saved") as caught:
        Store(tmp_path / "file" / "clusters").save(Record("byo", "box"))
    assert str(tmp_path / "file") in str(caught.value)


def test_a_failed_write_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.save(Record("byo", "box", {"n": 1}))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RecordError, match="No space left on device"):
        store.save(Record("byo", "box", {"n": 2}))
    assert store.load("box").fields == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["box.json"]


def test_an_unknown_protocol_is_told_at_the_first_use() -> None:
    store = Store("nowhere://team/rh")
    with pytest.raises(SettingsError, match="The registry nowhere://team/rh cannot be used"):
        store.names()


def _write_many(root: Path, writer: int) -> None:
    store = Store(root)
    for count in range(_ROUNDS):
        store.save(Record("byo", "shared", {"writer": writer, "pad": "x" * (count * 997 % 5000)}))
        store.save(Record("byo", f"own-{writer}-{count}", {"n": count}))


def test_writers_in_several_processes_never_spoil_a_record(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    root = tmp_path / "new" / "clusters"  # made by all of them at once
    writers = [spawn.Process(target=_write_many, args=(root, n)) for n in range(_WRITERS)]
    store = Store(root)
    store.save(Record("byo", "shared", {"writer": 0}))
    for writer in writers:
        writer.start()
    try:
        while any(writer.is_alive() for writer in writers):
            assert store.load("shared").fields["writer"] in range(_WRITERS)
    finally:
        for writer in writers:
            writer.join()
    assert [writer.exitcode for writer in writers] == [0] * _WRITERS
    assert len(store.names()) == 1 + _WRITERS * _ROUNDS
    assert not [path for path in root.iterdir() if path.name.startswith(".")]


def test_a_folder_needs_no_fsspec(tmp_path: Path) -> None:
    program = (
        "import sys; from runhouse.registry.store import Store; from pathlib import Path\n"
        f"Store(Path({str(tmp_path)!r})).names(); Store('s3://team/rh')\n"
        "sys.exit('fsspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
