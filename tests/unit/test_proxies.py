"""Proxies look like what they stand for."""

from __future__ import annotations

import gc
import inspect
import os
import pickle
from typing import TYPE_CHECKING, cast

import pytest

import runhouse as rh
from runhouse.proxies.attributes import LocalClass, private
from runhouse.proxies.members import DataMember
from runhouse.proxies.method import Shape, is_method
from runhouse.proxies.module import proxy_type
from runhouse.proxies.placement import signature_of, take_options
from runhouse.proxies.release import Unneeded
from tests.integration import sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from runhouse.clusters.calls import Calls


def documented(a: int, *, b: str = "x") -> str:
    """Say something."""
    return f"{a}{b}"


def with_own_options(stream_logs: bool, run_name: str) -> tuple[bool, str]:
    """Have parameters of these names."""
    return stream_logs, run_name


def test_a_function_keeps_name_doc_and_signature() -> None:
    proxy = rh.function(documented)
    assert (proxy.__name__, proxy.__doc__, proxy.name) == (  # type: ignore[attr-defined]
        "documented",
        "Say something.",
        "documented",
    )
    assert inspect.signature(proxy) == inspect.signature(documented)
    assert rh.function(documented, name="other").name == "other"
    assert rh.function(proxy).name == "documented"
    assert repr(proxy) == "<runhouse.Function 'documented' (not on a cluster)>"
    assert rh.fn is rh.function


def test_a_class_keeps_name_doc_and_signature() -> None:
    proxy = rh.module(sample.Counter)
    assert proxy.name == "Counter"
    assert proxy.__doc__ == sample.Counter.__doc__
    assert inspect.signature(proxy) == inspect.signature(sample.Counter)
    assert repr(proxy) == "<runhouse.module 'Counter' (not on a cluster)>"
    assert rh.cls is rh.module


def test_without_a_cluster_everything_is_here() -> None:
    assert rh.function(documented)(1, b="y") == "1y"
    counter = rh.module(sample.Counter)(3)
    assert isinstance(counter, sample.Counter)
    assert counter.add() == 4


@pytest.mark.parametrize(
    ("code", "given", "rest", "logs"),
    [
        (documented, {"b": "y"}, {"b": "y"}, True),
        (documented, {"b": "y", "stream_logs": False}, {"b": "y"}, False),
        (documented, {"run_name": "r"}, {}, True),
        (
            with_own_options,
            {"stream_logs": False, "run_name": "r"},
            {"stream_logs": False, "run_name": "r"},
            True,
        ),
        (None, {"stream_logs": False, "x": 1}, {"x": 1}, False),
    ],
)
def test_older_options_are_taken_only_where_the_function_has_none_of_that_name(
    code: Callable[..., object] | None,
    given: dict[str, object],
    rest: dict[str, object],
    logs: bool,
) -> None:
    signature = signature_of(code) if code is not None else None
    kept, options = take_options(signature, dict(given))
    assert kept == rest
    assert options.logs is logs


def test_a_signature_that_cannot_be_read_is_none() -> None:
    assert signature_of(object()) is None


# -- modules ----------------------------------------------------------------------------------


class Gauge(rh.Module):
    """Be a module that is not on a cluster."""

    unit = "bar"

    def __init__(self, level: int = 0) -> None:
        self.level = level

    def rise(self, by: int = 1) -> int:
        """Rise."""
        self.level += by
        return self.level

    @staticmethod
    def scale(factor: int) -> int:
        """Have no self."""
        return factor * 10

    @classmethod
    def full(cls) -> Gauge:
        """Make one."""
        return cls(100)

    @property
    def half(self) -> float:
        """Compute."""
        return self.level / 2

    def any(*args: object) -> int:
        """Name no self."""
        return len(args)

    def __len__(self) -> int:
        return self.level

    def __eq__(self, other: object) -> bool:
        return other is self


class Words:
    """Have slots, a nested class and data that can be called."""

    __slots__ = ("text",)

    class Kind:
        """Be nested."""

    fold = str.casefold

    def __init__(self, text: str) -> None:
        self.text = text


def test_a_module_that_is_nowhere_is_an_ordinary_object() -> None:
    gauge = Gauge(2)
    assert (gauge.rise(), gauge.half, gauge.unit) == (3, 1.5, "bar")
    assert (gauge.key, gauge.name, gauge.local) == (None, None, gauge)
    gauge.name = gauge.key = "own"
    assert (gauge.name, gauge.key) == ("own", "own")
    assert pickle.loads(pickle.dumps(gauge)).name == "own"
    assert not hasattr(gauge, "remote")


def test_facts_of_modules_are_no_defaults_of_data_classes() -> None:
    for name in ("key", "name", "remote", "local"):
        assert not hasattr(Gauge, name)
        assert inspect.getdoc(getattr(rh.Module, name))


def test_a_class_that_is_nowhere_answers_here() -> None:
    gauges = rh.module(Gauge, name="gauges")
    assert gauges.name == "gauges"
    assert (gauges.unit, gauges.scale(2), gauges.full().level) == ("bar", 20, 100)
    with pytest.raises(AttributeError, match="_private"):
        gauges._private  # noqa: B018
    with pytest.raises(AttributeError, match="'nothing'"):
        gauges.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("cls", "name", "is_one"),
    [
        (Gauge, "rise", True),
        (Gauge, "scale", True),
        (Gauge, "full", True),
        (Gauge, "half", False),
        (Gauge, "unit", False),
        (Gauge, "level", False),
        (Words, "text", False),
        (Words, "Kind", False),
        (Words, "fold", True),
        (list, "append", True),
        (dict, "fromkeys", True),
    ],
)
def test_methods_are_told_from_data(cls: type, name: str, is_one: bool) -> None:
    assert is_method(cls, name) is is_one


@pytest.mark.parametrize(
    ("cls", "name", "bound", "signature"),
    [
        (Gauge, "rise", True, "(by: 'int' = 1) -> 'int'"),
        (Gauge, "rise", False, "(self, by: 'int' = 1) -> 'int'"),
        (Gauge, "scale", True, "(factor: 'int') -> 'int'"),
        (Gauge, "full", True, "() -> 'Gauge'"),
        (Gauge, "any", True, "(*args: 'object') -> 'int'"),
        (list, "append", True, "(object, /)"),
        (list, "__len__", True, "()"),
    ],
)
def test_a_shape_has_the_signature_that_callers_see(
    cls: type, name: str, bound: bool, signature: str
) -> None:
    assert str(Shape(cls, name, bound).signature) == signature


def test_a_shape_without_a_signature_takes_anything() -> None:
    assert Shape(dict, "update").signature is None


def test_manners() -> None:
    class Manners:
        def value(self) -> None: ...

        async def later(self) -> None: ...

        def items(self) -> Iterator[int]:
            yield 1

        async def items_later(self) -> AsyncIterator[int]:
            yield 1

        def __aiter__(self) -> AsyncIterator[int]:
            return self.items_later()

    names = ("value", "later", "items", "items_later", "__aiter__")
    manners = [Shape(Manners, name).manner for name in names]
    assert manners == ["value", "coroutine", "items", "items_async", "items_async"]


def test_the_type_of_proxies_has_what_the_class_has() -> None:
    kind = proxy_type(Gauge, frozenset())
    assert kind is proxy_type(Gauge, frozenset())
    assert issubclass(kind, rh.Module)
    assert not issubclass(kind, Gauge)
    assert kind.__name__ == "Gauge"
    assert hasattr(kind, "__len__")
    assert kind.__hash__ is None
    assert not hasattr(kind, "__iter__")
    assert kind.rise is Gauge.rise
    assert kind.unit == "bar"
    assert hasattr(proxy_type(list, frozenset()), "__iter__")
    assert proxy_type(list, frozenset()).__hash__ is None
    assert proxy_type(Words, frozenset()).__hash__ is object.__hash__


def test_names_of_an_object_hide_ours() -> None:
    assert isinstance(vars(proxy_type(Gauge, frozenset({"name"})))["name"], DataMember)
    assert "name" not in vars(proxy_type(Gauge, frozenset()))


class Told:
    """Stand for the way to a worker, to see what it is told at the end."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def release(self, worker_id: str, keys: list[str], timeout_s: float) -> None:
        """Note what is let go of."""
        assert (worker_id, timeout_s) == ("w", 1.0)
        self.keys += keys


class Dying:
    """Be an object that ends."""


def test_keys_are_gathered_when_their_proxies_end() -> None:
    told = Told()
    gathered = Unneeded(cast("Calls", told), "w")
    one, other, kept = Dying(), Dying(), Dying()
    gathered.hold(one, "one")
    gathered.hold(other, "other")
    gathered.hold(kept, "kept").detach()
    gathered.keep("kept")
    del one, kept
    gc.collect()
    assert gathered.take() == ["one"]
    assert gathered.take() == []
    gathered.tell_last()
    assert told.keys == ["other"], "at the end of the process its proxy is there still"


def test_keys_of_the_parent_are_not_a_forked_child_s_to_give_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Told()
    gathered = Unneeded(cast("Calls", told), "w")
    one = Dying()
    gathered.hold(one, "one")
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    del one
    gc.collect()
    gathered.tell_last()
    assert gathered.take() == []
    assert told.keys == []


def test_private_names_are_explained() -> None:
    assert "Use .remote._x" in str(private(Gauge, "_x"))
    assert "Add a method" in str(private(Gauge, "__x__"))
    local = LocalClass(Gauge)
    assert (local.unit, local.scale(2)) == ("bar", 20)
    assert repr(local) == "<local attributes of the class 'Gauge'>"
    for name, words in (("rise", "needs an object"), ("half", "no such"), ("nothing", "no such")):
        with pytest.raises(AttributeError, match=words):
            getattr(local, name)
