"""A server knows which worker holds which key, and which objects wait on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from runhouse.server.index import Asleep, Definition, Entry, Index
from runhouse.wire import stored
from runhouse.wire.messages import Scope
from runhouse.wire.pickling import dumps
from runhouse.worker import persist


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Give an index without objects."""
    return Index(tmp_path)


def save(directory: Path, key: str, env: str = "env", **scope: str) -> Path:
    """Keep an object on disk as a worker does."""
    path = stored.object_path(directory, key)
    meta: dict[str, object] = {"env": env, "scope": json.dumps(scope), "import_roots": []}
    persist.save(path, meta, dumps(f"object {key}"))
    return path


def test_a_key_is_found_where_it_was_told_last(index: Index) -> None:
    assert index.add("w1", "env", {"a": "m:A", "b": "m:B"}) == {}
    assert index.find("a") == Entry("a", "env", "w1", "m:A")
    assert index.add("w1", "env", {"a": "m:C"}) == {}, "its own key has not moved"
    assert index.add("w2", "other", {"a": "m:A", "c": "m:C"}) == {"w1": ["a"]}
    assert index.find("a") == Entry("a", "other", "w2", "m:A")
    assert [entry.key for entry in index.entries()] == ["a", "b", "c"]
    assert [entry.key for entry in index.entries("env")] == ["b"]
    assert index.entries("nowhere") == []
    assert index.find("nothing") is None


def test_what_moves_from_several_workers_is_told_for_each(index: Index) -> None:
    index.add("w1", "env", {"a": "t", "b": "t"})
    index.add("w2", "env", {"c": "t"})
    assert index.add("w3", "env", dict.fromkeys("abc", "t")) == {"w1": ["a", "b"], "w2": ["c"]}


def test_a_key_that_has_moved_is_not_removed_by_its_former_worker(index: Index) -> None:
    index.add("w1", "env", {"a": "t"})
    index.add("w2", "env", {"a": "t"})
    index.remove("w1", ["a", "never"])
    assert index.find("a") is not None
    index.remove("w2", ["a"])
    assert index.find("a") is None


def test_a_worker_that_ends_takes_its_keys_and_code_only(index: Index) -> None:
    for number in (1, 2):
        index.add(f"w{number}", "env", {f"key{number}": "t"})
        index.define(f"w{number}", f"function{number}", "m:f")
    index.drop_worker("w1")
    index.drop_worker("unknown")
    assert [entry.key for entry in index.entries()] == ["key2"]
    assert index.definitions() == [Definition("function2", "w2", "m:f")]
    assert index.find_definition("function1") is None


def test_the_last_definition_of_a_name_counts(index: Index) -> None:
    index.define("w1", "z", "m:old")
    index.define("w2", "z", "m:new")
    index.define("w1", "a", "m:a")
    assert index.find_definition("z") == Definition("z", "w2", "m:new")
    assert [each.name for each in index.definitions()] == ["a", "z"]


operations = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "drop"]),
        st.sampled_from(["w1", "w2", "w3"]),
        st.sets(st.sampled_from("abcd")),
    ),
    max_size=20,
)


@given(operations)
def test_every_key_is_in_one_worker_at_most(steps: list[tuple[str, str, set[str]]]) -> None:
    """Workers that let go of what has moved agree with the index after every step."""
    index = Index(Path("/nowhere"))
    held: dict[str, set[str]] = {"w1": set(), "w2": set(), "w3": set()}
    for what, worker, keys in steps:
        if what == "add":
            held[worker] |= keys
            for other, moved in index.add(worker, "env", dict.fromkeys(keys, "t")).items():
                held[other] -= set(moved)
        elif what == "remove":
            held[worker] -= keys
            index.remove(worker, keys)
        else:
            held[worker].clear()
            index.drop_worker(worker)
        found = {(entry.worker_id, entry.key) for entry in index.entries()}
        assert found == {(name, key) for name, keys in held.items() for key in keys}


# -- on disk ----------------------------------------------------------------------------------


def test_objects_on_disk_are_known_without_being_read(tmp_path: Path, index: Index) -> None:
    path = save(tmp_path, "a/b", project="/code", generation="7")
    assert index.find_asleep("a/b") == Asleep(path, "a/b", "env", Scope("/code", "7"))
    assert index.entries() == [Entry("a/b", "env", "", "")]
    index.add("w1", "other", {"a/b": "m:A"})
    assert index.entries() == [Entry("a/b", "other", "w1", "m:A")], "the one in memory counts"
    index.drop_worker("w1")
    assert index.entries() == [Entry("a/b", "env", "", "")]


def test_there_need_be_no_directory(tmp_path: Path) -> None:
    index = Index(tmp_path / "none")
    assert index.entries() == []
    assert not index.forget_persisted("a")
    assert not index.rename_persisted("a", "b")
    index.note_persisted("a")
    assert index.find_asleep("a") is None


def test_files_that_are_no_objects_are_ignored_and_left_alone(tmp_path: Path, index: Index) -> None:
    whole = save(tmp_path, "good").read_bytes()
    bad = {
        "empty.object": b"",
        "torn.object": whole[:-1],
        "garbage.object": b"\xff" * 100,
        "object": whole,
        ".1234.abcd": whole,
        "scope.object": whole.replace(b'"{}"', b'"[]"'),
        "other.object": whole.replace(b'"scope"', b'"space"'),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.object").mkdir()
    assert [entry.key for entry in index.entries()] == ["good"]
    assert all((tmp_path / name).exists() for name in bad)


def test_what_is_written_later_is_noted(tmp_path: Path, index: Index) -> None:
    assert index.find_asleep("late") is None
    save(tmp_path, "late")
    assert index.find_asleep("late") is None
    index.note_persisted("late")
    found = index.find_asleep("late")
    assert found is not None
    save(tmp_path, "late", env="another")
    index.note_persisted("late")
    assert index.find_asleep("late") != found


def test_an_object_on_disk_is_removed_once(tmp_path: Path, index: Index) -> None:
    path = save(tmp_path, "key")
    assert index.forget_persisted("key")
    assert not path.exists()
    assert not index.forget_persisted("key")
    path = save(tmp_path, "key")
    index.note_persisted("key")
    path.unlink()
    assert index.forget_persisted("key"), "somebody else has removed it meanwhile"


def test_an_object_on_disk_gets_another_key(tmp_path: Path, index: Index) -> None:
    for key in ("old", "new"):
        save(tmp_path, key, env=key)
    assert index.rename_persisted("old", "new")
    found = index.find_asleep("new")
    assert found is not None
    assert (found.key, found.env) == ("new", "old")
    assert persist.load(found.path) == "object old"
    assert index.find_asleep("old") is None
    assert not index.rename_persisted("old", "newer")
    assert [path.name for path in tmp_path.iterdir()] == ["new.object"]
    assert [entry.key for entry in Index(tmp_path).entries()] == ["new"]
