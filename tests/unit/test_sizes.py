"""Sizes of objects: near the truth, soon told, and nobody's code is run for them."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runhouse.worker import sizes
from runhouse.worker.sizes import size_of, sizes_of


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (b"x" * 10_000, 10_000),
        ("x" * 10_000, 10_000),
        (np.zeros(1000), 8000),
        ([b"x" * 5000, b"y" * 5000], 10_000),
        ({"a": b"x" * 5000, "b": [b"y" * 5000]}, 10_000),
        ({b"x" * 5000, b"y" * 5000}, 10_000),
        (SimpleNamespace(weights=np.zeros(1000)), 8000),
        (None, 16),
        (dict, 400),
    ],
)
def test_a_value_has_the_size_of_its_parts(value: object, size: int) -> None:
    assert size <= size_of(value) <= size + 1000


def test_what_is_shared_is_counted_once() -> None:
    data = b"x" * 10_000
    assert size_of([data] * 100) < 12_000
    ring: list[Any] = []
    ring.append(ring)
    assert size_of(ring) < 200


class Sly:
    """Be an object whose own methods must not be called."""

    def __init__(self) -> None:
        self.data = b"x" * 1000

    def __sizeof__(self) -> int:
        pytest.fail("its code was run")

    @property
    def nbytes(self) -> int:
        pytest.fail("its code was run")

    def __iter__(self) -> Any:
        pytest.fail("its code was run")

    def __hash__(self) -> int:
        pytest.fail("its code was run")


class SlyList(list[Any]):
    """Be a list whose own methods must not be called."""

    def __iter__(self) -> Any:
        pytest.fail("its code was run")


def test_no_code_of_an_object_is_run() -> None:
    assert 1000 < size_of(Sly()) < 2000
    assert size_of(SlyList([1, 2])) < 1000


def test_very_many_parts_take_no_time() -> None:
    began = time.process_time()
    assert size_of([[i] for i in range(10**6)]) > 8 * 10**6
    assert size_of({i: i for i in range(10**6)}) > 10**7
    assert time.process_time() - began < 5


def test_after_some_time_the_rest_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {"a": 1, "b": 2}
    assert sizes_of(objects).keys() == objects.keys()
    monkeypatch.setattr(sizes, "_LONGEST_S", -1.0)
    assert sizes_of(objects) == {}
