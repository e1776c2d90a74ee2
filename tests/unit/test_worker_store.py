"""A worker keeps objects by their keys."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from runhouse.errors import ObjectNotFoundError
from runhouse.worker.store import Objects, attribute_names


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
