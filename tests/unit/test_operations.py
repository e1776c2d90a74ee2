"""Each operation of a call does what its name says, and refuses what cannot be done."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from runhouse.errors import CallError, ObjectNotFoundError, StoreFullError
from runhouse.wire import stored
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Code, Kind, Operation
from runhouse.wire.pickling import dumps, dumps_whole
from runhouse.worker import inside
from runhouse.worker.operations import Operations
from runhouse.worker.store import Objects, memory_in_use, type_name
from tests.rigs.imports import taken_back
from tests.unit.wiring import full_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Counter:
    """Be an object with methods, attributes and items."""

    kind = "counter"

    def __init__(self, start: int = 0) -> None:
        """Start at a number."""
        self.number = start

    @property
    def double(self) -> int:
        """Return twice the number."""
        return 2 * self.number

    @property
    def broken(self) -> int:
        """Make a mistake."""
        return self.number.nothing  # type: ignore[attr-defined, no-any-return]

    def same(self) -> Counter:
        """Return the counter."""
        return self

    async def same_later(self) -> Counter:
        """Return the counter."""
        return self

    def add(self, *amounts: int, times: int = 1) -> int:
        """Add to the number."""
        self.number += sum(amounts) * times
        return self.number

    def __iter__(self) -> Iterator[int]:
        """Count up to the number."""
        return iter(range(self.number))


class Host:
    """Hold the parts of a worker, and what they have told."""

    def __init__(self, directory: Path) -> None:
        """Start without objects."""
        self.changes: list[tuple[dict[str, str], list[str], bool]] = []
        self.told: list[dict[str, Any]] = []
        self.objects = Objects(lambda *change: self.changes.append(change))
        self.operations = Operations(self.objects, directory, self.told.append)

    def do(self, op: Operation, key: str, *args: Any, **fields: Any) -> Any:
        """Do an operation with some arguments."""
        body, buffers = _arguments(*args, **fields.pop("kwargs", {}))
        return self.operations.invoke(Call("id", op, key, **fields), Frame(1, {}, body, buffers))

    def define(self, key: str, code: Code, pickled: bytes = b"", name: str = "") -> None:
        """Tell about a function or class."""
        body = dumps((code.to_meta(), pickled)).body
        call = Call("id", "define", key, new_key=name)
        assert self.operations.invoke(call, Frame(1, {}, body)) is None

    def put(self, key: str, value: object, *, persist: bool = False) -> None:
        """Put an object."""
        pickled = dumps(value)
        call = Call("id", "put", key, new_key=key, persist=persist)
        self.operations.invoke(call, Frame(1, {}, pickled.body, pickled.buffers))


def _arguments(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    pickled = dumps((args, kwargs))
    return pickled.body, pickled.buffers


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give a worker's parts, with a counter, and take back what is imported."""
    made = Host(tmp_path / "objects")
    made.objects.define("Counter", Counter)
    made.objects.put("counter", Counter(3))
    made.changes.clear()
    with taken_back(tmp_path):
        yield made


# -- definitions ------------------------------------------------------------------------------


def test_code_is_defined_by_reference_and_its_public_name_is_told(
    host: Host, tmp_path: Path
) -> None:
    (tmp_path / "module_of_operations.py").write_text("def f(a, b=1): return a - b\n")
    host.define("f", Code("module_of_operations", "f", "", (str(tmp_path),)), name="public")
    assert host.do("call", "f", 5, kwargs={"b": 2}) == 3
    assert host.told == [{"op": "defined", "name": "public", "key": "f"}]
    assert host.changes == [], "definitions are no objects"


def test_code_is_defined_by_value(host: Host) -> None:
    host.define("f", Code(), dumps_whole(lambda text: text.upper()))
    assert host.do("call", "f", "text") == "TEXT"
    assert host.told == []


def test_a_definition_of_paths_only_helps_what_follows(host: Host, tmp_path: Path) -> None:
    (tmp_path / "later_of_operations.py").write_text("class A: pass\n")
    host.define("x", Code(import_roots=(str(tmp_path),)))
    assert str(tmp_path) in sys.path
    with pytest.raises(ObjectNotFoundError):
        host.do("call", "x")


@pytest.mark.parametrize(
    ("code", "pickled", "error"),
    [
        (Code("no_module_of_operations", "f"), b"", ModuleNotFoundError),
        (Code("json", "no_function"), b"", AttributeError),
        (Code(), b"no pickle", Exception),
    ],
)
def test_code_that_cannot_be_had_is_not_defined(
    host: Host, code: Code, pickled: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        host.define("f", code, pickled, name="public")
    assert "f" not in host.objects.definitions()
    assert host.told == []


# -- objects ----------------------------------------------------------------------------------


def test_an_object_is_made_under_its_key_and_its_attributes_are_told(host: Host) -> None:
    assert host.do("new", "Counter", 7, new_key="seven") == ["number"]
    made = type_name(host.objects.get("seven"))
    assert made == f"{__name__}:Counter"
    assert host.changes == [({"seven": made}, [], False)]
    assert host.do("method", "seven", 1, 2, method="add", kwargs={"times": 10}) == 37


def test_an_object_that_cannot_be_made_leaves_no_key(host: Host) -> None:
    with pytest.raises(TypeError):
        host.do("new", "Counter", 1, 2, 3, new_key="bad")
    assert host.objects.find("bad") is None
    assert host.changes == []


def test_attributes_are_read_and_written(host: Host) -> None:
    assert host.do("read", "counter", method="number") == 3
    assert host.do("read", "counter", method="double") == 6
    assert host.do("write", "counter", 10, method="number") is None
    assert host.do("method", "counter", method="double") == 20, "a property has its value"
    assert host.do("read", "Counter", method="kind") == "counter", "of the class itself"
    with pytest.raises(AttributeError):
        host.do("write", "counter", 1, method="double")
    with pytest.raises(AttributeError):
        host.do("read", "counter", method="nothing")


def test_an_attribute_takes_no_arguments(host: Host) -> None:
    with pytest.raises(TypeError, match="cannot be called. It is no method but holds int."):
        host.do("method", "counter", 1, method="number")


def test_an_iteration_goes_over_a_stored_object(host: Host) -> None:
    assert list(host.do("method", "counter", method="__iter__")) == [0, 1, 2]
    host.objects.put("number", 5)
    with pytest.raises(TypeError):
        list(host.do("method", "number", method="__iter__"))


def test_an_object_hides_a_definition_of_its_key(host: Host) -> None:
    host.objects.define("counter", str)
    assert host.do("method", "counter", method="add") == 3


@pytest.mark.parametrize("op", ["call", "new", "method", "read", "write", "get"])
def test_what_is_not_there_is_told_before_and_during_the_call(host: Host, op: Operation) -> None:
    with pytest.raises(ObjectNotFoundError) as caught:
        host.objects.check(Call("id", op, "missing", method="x"))
    assert caught.value.key == "missing"
    with pytest.raises(ObjectNotFoundError):
        host.do(op, "missing", 1, method="x", new_key="new")
    host.objects.check(Call("id", "put", "missing"))
    host.objects.check(Call("id", "define", "missing"))


def test_what_is_there_passes_the_check(host: Host) -> None:
    for op, key in (("call", "Counter"), ("new", "Counter"), ("get", "counter")):
        host.objects.check(Call("id", op, key))  # type: ignore[arg-type]
    for key in ("Counter", "counter"):
        host.objects.check(Call("id", "method", key, method="add"))
    with pytest.raises(ObjectNotFoundError):
        host.objects.check(Call("id", "call", "counter"))
    with pytest.raises(ObjectNotFoundError):
        host.objects.check(Call("id", "get", "Counter"))


def test_what_is_put_is_got_again_and_replaces_what_was_there(host: Host) -> None:
    host.put("key", {"a": 1})
    assert host.do("get", "key") == {"a": 1}
    host.put("key", 2.5)
    assert host.do("get", "key") == 2.5
    assert [change[0] for change in host.changes] == [
        {"key": "builtins:dict"},
        {"key": "builtins:float"},
    ]
    assert set(host.objects.all()) == {"counter", "key"}


def test_an_object_that_cannot_be_unpickled_is_not_kept(host: Host) -> None:
    call = Call("id", "put", "key", new_key="key")
    with pytest.raises(Exception, match="invalid load key"):
        host.operations.invoke(call, Frame(1, {}, b"no pickle"))
    assert host.changes == []


def test_arguments_are_let_go_of_unless_the_call_may_be_repeated(host: Host) -> None:
    host.objects.define("len", len)
    for retries, kept in ((0, False), (2, True)):
        body, _ = _arguments("text")
        frame = Frame(1, {}, body)
        assert host.operations.invoke(Call("id", "call", "len", retries=retries), frame) == 4
        assert bool(len(frame.body)) is kept


def test_an_operation_of_another_version_is_told(host: Host) -> None:
    with pytest.raises(CallError, match="knows no operation 'fly'. Use the same version"):
        host.operations.invoke(Call("id", cast("Any", "fly"), "len"), Frame(1, {}, b""))


# -- keys -------------------------------------------------------------------------------------


def test_a_renamed_object_is_under_its_new_key_only(host: Host) -> None:
    counter = host.objects.get("counter")
    assert host.objects.rename("counter", "renamed")
    assert host.objects.get("renamed") is counter
    assert host.objects.find("counter", "none") == "none"
    assert not host.objects.rename("counter", "again")
    assert host.changes == [({"renamed": f"{__name__}:Counter"}, ["counter"], True)]
    assert host.objects.rename("renamed", "renamed")
    assert host.objects.get("renamed") is counter


def test_deleted_keys_are_told_once(host: Host) -> None:
    host.objects.put("other", 1)
    host.changes.clear()
    assert host.objects.delete(["counter", "missing", "counter", "other"]) == ["counter", "other"]
    assert host.objects.delete(["counter", "other"]) == []
    assert host.changes == [({}, ["counter", "other"], False)]
    assert len(host.objects) == 0


def test_listeners_can_ask_for_what_they_are_told_of() -> None:
    seen: list[object] = []
    objects = Objects(lambda added, removed, on_disk: seen.extend(map(objects.find, added)))
    objects.put("key", "value")
    assert seen == ["value"]


def test_an_env_has_a_limit_for_what_it_keeps(host: Host) -> None:
    host.objects.set_memory_limit(memory_in_use() + 300_000_000)
    host.put("small", b"x")
    host.objects.check_room(1000)
    with pytest.raises(StoreFullError, match=r"it holds 2\), or raise the limit") as caught:
        host.objects.check_room(10**12)
    assert caught.value.used_bytes > 10**12 > caught.value.limit_bytes
    host.objects.set_memory_limit(1)
    with pytest.raises(StoreFullError):
        host.put("small", b"y")
    with pytest.raises(StoreFullError):
        host.do("new", "Counter", new_key="more")
    assert host.objects.get("small") == b"x", "what was there is still there"
    host.objects.set_memory_limit(None)
    host.put("small", b"y")


# -- on disk ----------------------------------------------------------------------------------


def test_a_persistent_object_can_be_woken_elsewhere(host: Host, tmp_path: Path) -> None:
    array = np.arange(400_000).reshape(1000, 400)
    host.put("a/b ü", {"array": array, "text": "x"}, persist=True)
    assert host.changes[-1][2] is True
    path = stored.object_path(tmp_path / "objects", "a/b ü")
    assert [each for each in path.parent.iterdir()] == [path]
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    other = Host(tmp_path / "objects")
    other.operations.wake(path)
    woken = other.objects.get("a/b ü")
    assert np.array_equal(woken["array"], array)
    woken["array"][0, 0] = 99
    assert other.changes == [({"a/b ü": "builtins:dict"}, [], True)]


def test_a_persistent_object_brings_the_paths_of_its_code(host: Host, tmp_path: Path) -> None:
    (tmp_path / "shape_of_operations.py").write_text("class Shape:\n    sides = 4\n")
    root = (str(tmp_path),)
    host.define("x", Code(import_roots=root))
    host.define("x", Code(import_roots=root))
    shape = __import__("shape_of_operations").Shape()
    host.put("shape", shape, persist=True)
    path = stored.object_path(tmp_path / "objects", "shape")
    with path.open("rb") as file:
        found = stored.frame_at(file.fileno(), 0)
    assert found is not None
    assert found[0].meta["import_roots"] == [str(tmp_path)]
    assert json.loads(str(found[0].meta["scope"])) == {}
    del sys.modules["shape_of_operations"]
    sys.path.remove(str(tmp_path))
    other = Host(tmp_path / "objects")
    other.operations.wake(path)
    assert other.objects.get("shape").sides == 4


def test_an_object_that_the_disk_does_not_take_is_not_put(host: Host, tmp_path: Path) -> None:
    host.put("key", "old", persist=True)
    with full_disk(1000), pytest.raises(CallError, match="'key' was not put. It cannot be written"):
        host.put("key", "x" * 5000, persist=True)
    assert host.objects.get("key") == "old"
    assert len(list((tmp_path / "objects").iterdir())) == 1, "what was begun is removed"
    other = Host(tmp_path / "objects")
    other.operations.wake(stored.object_path(tmp_path / "objects", "key"))
    assert other.objects.get("key") == "old"


@pytest.mark.parametrize("size", [0, 5, 40, -1])
def test_a_file_that_was_cut_is_an_error_and_no_object(
    host: Host, tmp_path: Path, size: int
) -> None:
    host.put("key", {"text": "x" * 100}, persist=True)
    path = stored.object_path(tmp_path / "objects", "key")
    path.write_bytes(path.read_bytes()[:size])
    other = Host(tmp_path / "objects")
    with pytest.raises(Exception, match=r"."):
        other.operations.wake(path)
    assert len(other.objects) == 0


def test_a_file_whose_last_buffer_was_cut_is_an_error_and_no_object(
    host: Host, tmp_path: Path
) -> None:
    host.put("key", np.arange(100_000), persist=True)
    path = stored.object_path(tmp_path / "objects", "key")
    os.truncate(path, path.stat().st_size - 1000)
    other = Host(tmp_path / "objects")
    with pytest.raises(EOFError, match="cut"):
        other.operations.wake(path)
    assert len(other.objects) == 0


class Seen:
    """Note, while it is unpickled, whether the arguments of a call are being received."""

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        """Pickle as the answer to that question."""
        return inside.is_receiving, ()


def test_arguments_know_that_they_arrive_in_a_call_and_objects_do_not(host: Host) -> None:
    host.objects.define("identity", lambda value: value)
    assert host.do("call", "identity", Seen()) is True
    host.put("key", Seen())
    assert host.objects.get("key") is False
    assert not inside.is_receiving()
    with pytest.raises(Exception, match="invalid load key"):
        host.operations.invoke(Call("id", "call", "identity"), Frame(Kind.CALL, {}, b"no pickle"))
    assert not inside.is_receiving()
