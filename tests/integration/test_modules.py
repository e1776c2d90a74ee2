"""Objects on a cluster behave as if they were here, on every kind of cluster."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.client.reference import Reference
from runhouse.errors import (
    InvalidNameError,
    ObjectNotFoundError,
    RunTimeoutError,
)
from tests.integration.sample_modules import (
    Countdown,
    Greedy,
    Guarded,
    Shelf,
    Tally,
    WideShelf,
)
from tests.rigs.modules import calls_of, holds, make, shelf as shelf
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.timeout(90)
ROOT = Path(__file__).parents[2]


# -- making -----------------------------------------------------------------------------------


def test_a_named_instance_keeps_its_class_unchanged(cluster: rh.Cluster, shelf: Any) -> None:
    assert (shelf.key, shelf.name) == ("shelf", "shelf")
    assert shelf.__class__ is Shelf
    assert isinstance(shelf, Shelf)
    assert isinstance(shelf, rh.Module)
    assert (Shelf.__name__, shelf.inherited()) == ("Shelf", "Shelf")
    assert repr(shelf) == f"<Shelf 'shelf' on {cluster.name}>"
    assert holds(cluster, "shelf")
    assert type(make(cluster, Shelf)) is type(shelf)
    assert shelf.__doc__ == Shelf.__doc__


def test_unnamed_instances_end_with_their_proxy(cluster: rh.Cluster) -> None:
    make_one = rh.module(Shelf).to(cluster)
    one, other = make_one(1), make_one(2)
    keys: list[str] = [one.key, other.key]  # type: ignore[attr-defined]
    assert set(keys) <= set(cluster.keys())
    del one
    gc.collect()
    assert other.add(1) == 3  # carries what is needed no more
    wait_until(lambda: not holds(cluster, keys[0]))
    assert holds(cluster, keys[1])
    assert list(make_one(4).each()) == [0, 1, 2, 3], "it lives while its generator runs"


def test_an_unnamed_instance_that_was_sent_somewhere_stays(cluster: rh.Cluster) -> None:
    one: Any = make(cluster, Shelf, 1)
    sent, key = pickle.dumps(one), one.key
    del one
    gc.collect()
    make(cluster, Shelf).add(1)
    again = pickle.loads(sent)
    assert (again.key, again.add(5)) == (key, 2)
    again.delete()


def test_wrong_arguments_are_refused_before_anything_is_sent(
    cluster: rh.Cluster, shelf: Any
) -> None:
    make_shelf: Any = rh.module(Shelf).to(cluster)
    before = calls_of(cluster)
    acts: list[Callable[[], object]] = [
        lambda: make_shelf(1, 2, 3),
        lambda: make_shelf(sizes=1),
        lambda: shelf.add(),
        lambda: shelf.add(1, tims=2),
        lambda: shelf.double(),
        lambda: shelf(1, 2),
        lambda: shelf.add.run(1, tims=2),
        lambda: make_shelf.of_size(sizes=1),
    ]
    for act in acts:
        with pytest.raises(TypeError):
            act()
    with pytest.raises(InvalidNameError):
        make_shelf(name="no good")
    assert calls_of(cluster) == before


def test_a_constructor_that_raises_makes_nothing(cluster: rh.Cluster) -> None:
    with pytest.raises(ValueError, match="not made"):
        make(cluster, Guarded, refused=True, name="refused")
    assert not holds(cluster, "refused")


def test_an_unnamed_instance_with_a_run_stays(cluster: rh.Cluster) -> None:
    other, counter = make(cluster, Shelf), make(cluster, Shelf, 2)
    key, run = counter.key, counter.add.run(5)
    del counter
    gc.collect()
    other.add(1)
    assert run.result(timeout=30) == 3
    assert holds(cluster, key)
    cluster.delete(key)


# -- methods ----------------------------------------------------------------------------------


def test_methods_of_all_kinds_run_there(shelf: Any) -> None:
    assert (shelf.add(7), shelf.add(8, times=2)) == (4, 6)
    assert shelf.pid() != os.getpid()
    assert (shelf.double(4), shelf.inherited()) == (8, "Shelf")
    assert shelf.takes_any(1, 2, a=3) == (2, ["a"])
    assert shelf.of_size(2) == Shelf(2)
    assert list(shelf.each()) == [0, 1, 2, 7, 8, 8]
    assert shelf.remote._hidden(1) == 2
    assert inspect.signature(shelf.add) == inspect.signature(Shelf(1).add)
    assert (shelf.add.__name__, shelf.add.__doc__) == ("add", Shelf.add.__doc__)
    assert "method Shelf.add of <Shelf 'shelf'" in repr(shelf.add)


def test_async_methods_and_generators(shelf: Any) -> None:
    async def use() -> tuple[int, list[int], list[int]]:
        later = [item async for item in shelf.each_later()]
        return await shelf.total_later(), later, [item async for item in shelf]

    assert asyncio.run(use()) == (3, [0, 1, 2], [0, 1, 2])


def test_a_method_that_returns_its_object_returns_the_proxy(shelf: Any) -> None:
    shelf[0] = 9
    assert shelf.sorted() is shelf
    assert asyncio.run(shelf.sorted_later()) is shelf
    assert shelf.sorted().sorted()[:] == [1, 2, 9]


def test_methods_have_what_functions_have(cluster: rh.Cluster, shelf: Any) -> None:
    run = shelf.add.run(1)
    assert run.result(timeout=30) == 4
    reference = shelf.each.remote()
    assert isinstance(reference, Reference)
    assert reference.fetch(timeout=30) == [0, 1, 2, 1]
    assert shelf.add.options(retries=1, run_name="by-name").run(1).key == "by-name"
    assert cluster.get_run("by-name").result(timeout=30) == 5
    assert shelf.add.get_or_call("by-name", 1) == 5
    assert sorted(shelf.double.map(range(3))) == [0, 2, 4]
    assert list(shelf.double.starmap([(1,), (2,)])) == [2, 4]
    assert shelf.each.options(stream_logs=False).remote().fetch(timeout=30)[-1] == 1
    assert shelf.add.options(timeout=30)(2) == 6
    with pytest.raises(RunTimeoutError):
        shelf.rest.options(timeout=0.05)(30)


def test_methods_refuse_what_they_cannot_do(shelf: Any) -> None:
    with pytest.raises(TypeError, match="where its object is"):
        shelf.add.options(env="other")
    with pytest.raises(ValueError, match="timeout"):
        shelf.add.options(timeout=-1)
    with pytest.raises(TypeError, match="no other one here"):
        shelf.add.local(1)
    with pytest.raises(ValueError, match="concurrency"):
        shelf.double.map([1], concurrency=0)
    with pytest.raises(InvalidNameError):
        shelf.add.get_or_call("no good", 1)


def test_operators_of_the_class(cluster: rh.Cluster, shelf: Any) -> None:
    assert (len(shelf), shelf[1], shelf[-2:], 2 in shelf, 5 in shelf) == (3, 1, [1, 2], True, False)
    assert list(shelf) == [0, 1, 2]
    shelf[0] = 10
    del shelf[1]
    assert shelf(2, plus=1) == [21, 5]
    assert shelf != Shelf(2)
    assert hash(shelf) == 7
    same = shelf
    shelf += 4
    assert shelf is same
    assert shelf.items == [10, 2, 4]
    with pytest.raises(IndexError):
        shelf[99]
    with pytest.raises(TypeError, match="not supported"):
        shelf < 3  # noqa: B015
    with pytest.raises(TypeError, match="has no len"):
        len(make(cluster, Guarded))


def test_with_blocks(shelf: Any) -> None:
    with shelf as inner:
        assert inner is shelf
        assert shelf.opened == 1
    with shelf:
        raise KeyError("swallowed")

    async def use() -> int:
        async with shelf as inner:
            assert inner is shelf
            return int(shelf.opened)

    assert asyncio.run(use()) == 1
    assert shelf.opened == 0
    with pytest.raises(ZeroDivisionError), shelf:
        1 / 0  # noqa: B018


def test_an_iterator_goes_on_from_where_it_stands(cluster: rh.Cluster) -> None:
    countdown = make(cluster, Countdown, 4)
    assert iter(countdown) is countdown
    assert next(countdown) == 3
    for number in countdown:
        assert number == 2
        break
    assert countdown.left == 2
    assert list(countdown) == [1, 0]
    with pytest.raises(StopIteration):
        next(countdown)

    async def rest() -> list[int]:
        return [number async for number in make(cluster, Countdown, 2)]

    assert asyncio.run(rest()) == [1, 0]


# -- attributes -------------------------------------------------------------------------------


def test_attributes_are_read_and_set_there(shelf: Any) -> None:
    assert (shelf.remote.label, shelf.remote._secret) == ("", "private")
    shelf.remote.label, shelf.remote._secret = "x", "other"
    assert (shelf.label, shelf.remote._secret, shelf.kind, shelf.total) == (
        "x",
        "other",
        "shelf",
        3,
    )
    shelf.label = "y"
    shelf.name_of_label = "LOUD"
    assert (shelf.label, shelf.name_of_label) == ("loud", "LOUD")
    shelf.brand_new = [1]
    assert shelf.brand_new == [1]
    del shelf.brand_new
    assert not hasattr(shelf, "brand_new")
    shelf.remote._kept = 1
    del shelf.remote._kept
    with pytest.raises(AttributeError, match="_kept"):
        del shelf.remote._kept
    assert (shelf.fetch("items"), shelf.fetch("_secret")) == ([0, 1, 2], "other")
    assert shelf.fetch() == Shelf(3)
    assert (shelf.local.kind, shelf.local.double(2)) == ("shelf", 4)
    assert repr(shelf.remote) == f"<remote attributes of {shelf!r}>"
    assert "total" in dir(shelf.remote)
    assert {"add", "label", "fetch"} <= set(dir(shelf))


def test_attributes_without_blocking(shelf: Any) -> None:
    async def use() -> list[Any]:
        await shelf.set_async("_secret", "new")
        await shelf.set_async("label", "soon")
        fetched = (shelf.fetch_async(name) for name in ("label", "_secret", None))
        return list(await asyncio.gather(*fetched))

    assert asyncio.run(use()) == ["soon", "new", Shelf(3)]
    with pytest.raises(AttributeError, match="no attribute 'labell'"):
        asyncio.run(shelf.fetch_async("labell"))
    with pytest.raises(AttributeError):
        asyncio.run(shelf.set_async("total", 1))
    acts: list[Callable[[], object]] = [
        lambda: shelf.fetch(3),
        lambda: asyncio.run(shelf.fetch_async(3)),
        lambda: asyncio.run(shelf.set_async(3, 1)),
    ]
    for act in acts:
        with pytest.raises(TypeError, match="name cannot be used. It is of type int"):
            act()


def test_what_is_not_there_is_told_with_near_names(shelf: Any) -> None:
    acts: list[Callable[[], object]] = [
        lambda: shelf.labell,
        lambda: shelf.remote.labell,
        lambda: shelf.fetch("labell"),
    ]
    for act in acts:
        with pytest.raises(AttributeError, match=r"no attribute 'labell'.*mean label"):
            act()
    assert not hasattr(shelf, "nothing")
    with pytest.raises(AttributeError, match="total"):
        shelf.total = 3
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        shelf.broken  # noqa: B018
    acts = [
        lambda: shelf._secret,
        lambda: setattr(shelf, "_secret", 1),
        lambda: delattr(shelf, "_secret"),
    ]
    for act in acts:
        with pytest.raises(AttributeError, match=r"Use \.remote\._secret"):
            act()
    with pytest.raises(AttributeError, match="name of runhouse.Module"):
        shelf.key = 3
    with pytest.raises(AttributeError, match="was not deleted. It is a name of runhouse.Module"):
        del shelf.key
    with pytest.raises(AttributeError, match="needs an object"):
        shelf.local.add(1)
    with pytest.raises(AttributeError, match=r"Use \.remote\.label"):
        shelf.local.label  # noqa: B018


def test_a_class_that_answers_for_attributes_itself(cluster: rh.Cluster) -> None:
    guarded = make(cluster, Guarded)
    assert guarded.made_up == "MADE_UP"
    with pytest.raises(AttributeError, match="guarded: other"):
        guarded.other  # noqa: B018


def test_looking_at_a_proxy_makes_no_calls(cluster: rh.Cluster, shelf: Any) -> None:
    before = calls_of(cluster)
    for name in ("_repr_html_", "_ipython_display_", "__deepcopy__", "__array__", "__wrapped__"):
        assert not hasattr(shelf, name)
    assert copy.copy(shelf).key == shelf.key
    assert pickle.loads(pickle.dumps(shelf)).key == shelf.key
    assert [shelf.add, shelf.each, shelf.remote, shelf.local, shelf.key, repr(shelf), dir(shelf)]
    assert inspect.getdoc(shelf)
    assert callable(shelf.add)
    assert not inspect.isclass(shelf)
    assert calls_of(cluster) == before


def test_the_class_s_own_names_win(cluster: rh.Cluster) -> None:
    greedy = make(cluster, Greedy, "own name")
    assert (greedy.name, greedy.key, greedy.remote) == ("own name", "own key", "own remote")
    assert (greedy.fetch("x"), greedy.rename(), greedy.to()) == (
        "fetched x",
        "renamed by itself",
        "to",
    )
    assert (greedy.refresh(), greedy.local) == ("fresh", "own local")
    greedy.name = "changed"
    assert greedy.name == "changed"
    assert rh.Module.fetch(greedy, "name") == "changed"
    assert rh.Module.rename(greedy, "greedy") is greedy
    assert rh.Module.resolve(greedy).key == "greedy"
    assert rh.Module.get_or_to(greedy, cluster, name="greedy").name == "changed"
    rh.Module.delete(greedy)
    with pytest.raises(ObjectNotFoundError):
        rh.Module.refresh(greedy)


# -- classes ----------------------------------------------------------------------------------


def test_functions_and_attributes_of_a_class(cluster: rh.Cluster) -> None:
    shelves: Any = rh.module(Shelf).to(cluster)
    assert (shelves.double(3), shelves.kind, shelves.origin) == (6, "shelf", "base")
    made = shelves.of_size(2)
    assert type(made) is Shelf, "a plain call returns what the function returns"
    assert list(shelves.double.map([1, 2])) == [2, 4]
    held: Any = shelves(1)
    shelves.kind = "board"
    assert (shelves.kind, held.kind, Shelf.kind) == ("board", "board", "shelf")
    shelves.kind = "shelf"
    with pytest.raises(AttributeError, match="mean kind"):
        shelves.kinds  # noqa: B018
    with pytest.raises(AttributeError, match="_private"):
        shelves._private  # noqa: B018


def test_a_factory_makes_its_object_there(cluster: rh.Cluster) -> None:
    tallies: Any = rh.module(Tally).to(cluster)
    made = tallies.factory_constructor.remote(size=40, run_name="b")
    assert (made.key, made.size, made.grow()) == ("b", 80, 81)
    assert made.__class__ is Tally
    assert cluster.get("b").size == 81
    shelves: Any = rh.module(Shelf).to(cluster)
    assert shelves.of_size_later.remote(2).add(1) == 3
    wide = shelves.wide.remote()
    assert isinstance(wide, WideShelf)
    assert (wide.width(), wide.label) == (100, "")
    number = shelves.double.remote(4)
    assert isinstance(number, Reference)
    assert number.fetch() == 8
    with pytest.raises(TypeError):
        shelves.of_size.remote("many")
