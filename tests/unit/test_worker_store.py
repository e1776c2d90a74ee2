"""A worker finds code where it was told to, and keeps objects by their keys."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from runhouse.errors import ObjectNotFoundError
from runhouse.wire.messages import Code
from runhouse.worker.store import Objects, add_import_roots, attribute_names, load_code
from tests.rigs.imports import taken_back

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def imports_as_before(tmp_path: Path) -> Iterator[None]:
    """Take back what a test has imported."""
    with taken_back(tmp_path):
        yield


def test_a_module_is_imported_from_its_root(tmp_path: Path) -> None:
    package = tmp_path / "with space" / "pkg_of_test"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "mod.py").write_text("class A:\n    def f(self): return 1\n")
    add_import_roots([str(package.parent)])
    assert sys.path[0] == str(package.parent)
    add_import_roots([str(package.parent)])
    assert sys.path.count(str(package.parent)) == 1
    loaded = load_code(Code("pkg_of_test.mod", "A.f"))
    assert loaded.__qualname__ == "A.f"


def test_roots_keep_their_order(tmp_path: Path) -> None:
    roots = [str(tmp_path / name) for name in "abc"]
    add_import_roots(roots)
    assert sys.path[:3] == roots


def test_a_script_is_imported_once_and_is_not_main(tmp_path: Path) -> None:
    script = tmp_path / "my-script.py"
    script.write_text("NAME = __name__\nCOUNT = []\ndef f(): return NAME\n")
    code = Code("my_script", "f", file=str(script))
    first = load_code(code)
    assert first() == "my_script"
    script.write_text("def f(): return 'changed'\n")
    assert load_code(code) is first


def test_a_script_that_fails_can_be_tried_again(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text("raise RuntimeError('at import')\n")
    code = Code("failing_of_test", "f", file=str(script))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="at import"):
            load_code(code)
    script.write_text("def f(): return 'fine'\n")
    assert load_code(code)() == "fine"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Code("no_such_module_of_test", "f"), ModuleNotFoundError),
        (Code("json", "nothing"), AttributeError),
        (Code("script_of_test", "f", file="/nowhere/script.py"), FileNotFoundError),
        (Code("script_of_test", "f", file="/nowhere/script.txt"), ImportError),
    ],
)
def test_code_that_is_not_there_raises_what_python_raises(
    code: Code, error: type[Exception]
) -> None:
    with pytest.raises(error):
        load_code(code)


def test_definitions_and_instances_are_apart() -> None:
    objects = Objects(lambda added, removed, on_disk: None)
    objects.define("key", len)
    objects.put("key", [1])
    assert objects.definition("key") is len
    assert objects.get("key") == [1]
    assert len(objects) == 1, "definitions can be sent again and do not count"
    objects.put("key", [2])
    assert objects.get("key") == [2]
    for find in (objects.get, objects.definition):
        with pytest.raises(ObjectNotFoundError, match="'other'") as caught:
            find("other")
        assert caught.value.key == "other"


def test_the_names_of_an_object_s_own_attributes_are_few_and_public() -> None:
    assert attribute_names(3) == []
    assert attribute_names(SimpleNamespace(a=1, _b=2)) == ["a"]
    many = SimpleNamespace(**{f"name{number}": 0 for number in range(1000)})
    assert 0 < len(attribute_names(many)) < 1000


def test_many_threads_may_put_and_get() -> None:
    objects = Objects(lambda added, removed, on_disk: None)

    def work(number: int) -> None:
        for turn in range(100):
            objects.put(f"{number}-{turn}", turn)
            assert objects.get(f"{number}-{turn}") == turn

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(objects) == 800


def test_code_is_found_by_its_public_name_too() -> None:
    objects = Objects(lambda _added, _removed, _on_disk: None)
    objects.define("builtins:len", len, "size")
    assert objects.definition("size") is objects.definition("builtins:len") is len
    assert objects.owner("size") is len
    objects.put("size", [1])
    assert objects.owner("size") == [1], "an object comes first"
    assert objects.definition("size") is len
    objects.forget_name("size")
    objects.forget_name("size")
    assert objects.definition("builtins:len") is len
    for find in (objects.definition, objects.owner):
        with pytest.raises(ObjectNotFoundError) as caught:
            find("length")
        assert caught.value.key == "length"
