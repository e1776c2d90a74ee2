"""Objects on a cluster behave as if they were here, on every kind of cluster."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.client.reference import Reference
from runhouse.errors import (
    ConnectError,
    InvalidNameError,
    ObjectNotFoundError,
    RunTimeoutError,
    WorkerDiedError,
)
from tests.integration import sample
from tests.integration.sample_modules import (
    Countdown,
    Greedy,
    Guarded,
    Holder,
    Labelled,
    Shelf,
    Tally,
    WideShelf,
    add_to,
    add_to_all,
    give_back,
    is_the_same,
    look_at,
    make_here,
)
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(90)
ROOT = Path(__file__).parents[2]


def make(cluster: rh.Cluster, cls: Any, *args: Any, env: str | None = None, **kwargs: Any) -> Any:
    """Make an object on a cluster; untyped, as a proxy has more than its class."""
    return rh.module(cls).to(cluster, env=env)(*args, **kwargs)


def holds(cluster: rh.Cluster, key: str) -> bool:
    """Tell whether a cluster holds an object under a key."""
    return key in set(cluster.keys())


def calls_of(cluster: rh.Cluster) -> int:
    """Return how many calls the workers have had."""
    return sum(worker.calls for worker in cluster.status().workers)


@pytest.fixture
def shelf(cluster: rh.Cluster) -> Iterator[Any]:
    """Give a shelf with 0, 1, 2 on a cluster, and have all shelves deleted afterwards."""
    yield make(cluster, Shelf, 3, name="shelf")
    cluster.clear()


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
    with pytest.raises(AttributeError, match="no attribute 'lable'"):
        asyncio.run(shelf.fetch_async("lable"))
    with pytest.raises(AttributeError):
        asyncio.run(shelf.set_async("total", 1))


def test_what_is_not_there_is_told_with_near_names(shelf: Any) -> None:
    acts: list[Callable[[], object]] = [
        lambda: shelf.lable,
        lambda: shelf.remote.lable,
        lambda: shelf.fetch("lable"),
    ]
    for act in acts:
        with pytest.raises(AttributeError, match=r"no attribute 'lable'.*mean label"):
            act()
    assert not hasattr(shelf, "nothing")
    with pytest.raises(AttributeError, match="total"):
        shelf.total = 3
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        shelf.broken  # noqa: B018
    acts = [lambda: shelf._secret, lambda: setattr(shelf, "_secret", 1)]
    for act in acts:
        with pytest.raises(AttributeError, match=r"Use \.remote\._secret"):
            act()
    with pytest.raises(AttributeError, match="name of runhouse.Module"):
        shelf.key = 3
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


# -- keys -------------------------------------------------------------------------------------


def test_rename(cluster: rh.Cluster, shelf: Any) -> None:
    other = pickle.loads(pickle.dumps(shelf))
    assert shelf.rename("renamed") is shelf
    assert (shelf.key, shelf.add(1)) == ("renamed", 4)
    assert not holds(cluster, "shelf")
    with pytest.raises(ObjectNotFoundError, match="'shelf'"):
        other.add(1)
    elsewhere = rh.function(add_to).to(cluster, env="elsewhere")
    number, pid = elsewhere(shelf, 1)
    assert (number, pid == shelf.pid()) == (5, False)
    with pytest.raises(InvalidNameError):
        shelf.rename("no good")
    unnamed = make(cluster, Shelf, 1)
    unnamed.rename("named-now")
    del unnamed
    gc.collect()
    shelf.add(1)
    assert holds(cluster, "named-now")


def test_delete_and_refresh(cluster: rh.Cluster, shelf: Any) -> None:
    shelf.delete()
    shelf.delete()
    with pytest.raises(ObjectNotFoundError, match="'shelf'"):
        shelf.add(1)
    with pytest.raises(ObjectNotFoundError, match="'shelf'"):
        shelf.refresh()
    make(cluster, Shelf, 5, name="shelf", env="elsewhere")
    assert shelf.refresh() is shelf
    assert shelf.add(1) == 6


def test_a_dead_worker_is_told_and_a_new_holder_is_found(cluster: rh.Cluster) -> None:
    doomed = make(cluster, Shelf, 1, name="doomed", env="doomed")
    with pytest.raises(WorkerDiedError):
        rh.function(sample.leave).to(cluster, env="doomed")(3)
    for act in (lambda: doomed.add(1), lambda: doomed.label, lambda: len(doomed)):
        with pytest.raises(WorkerDiedError, match="exit code 3"):
            act()
    with pytest.raises(ObjectNotFoundError, match="'doomed'"):
        doomed.refresh()
    make(cluster, Shelf, 2, name="doomed")
    assert doomed.refresh().add(1) == 3


def test_resolve_arrives_as_the_object_itself(cluster: rh.Cluster, shelf: Any) -> None:
    same = rh.function(is_the_same).to(cluster)
    assert same(shelf, shelf.resolve()) is True
    assert rh.function(len).to(cluster)(shelf.resolve()) == 3


# -- classes that are sent with their state ---------------------------------------------------


def test_an_object_of_a_module_is_sent_with_its_state(cluster: rh.Cluster) -> None:
    tally = Tally(size=3)
    assert (tally.grow(), tally.key, tally.name, tally.local is tally) == (4, None, None, True)
    there: Any = tally.to(cluster, name="tally")
    assert (there.grow(2), there.size, tally.size, there.local.size) == (6, 6, 4, 4)
    assert there.local is tally
    assert there.grow.local(10) == 14
    assert there.pid() != os.getpid()
    assert isinstance(there, Tally)
    again = Tally(1).get_or_to(cluster, name="tally")
    assert (again.key, again.size) == ("tally", 6)
    assert there.get_or_to(cluster).size == 6
    assert there.to(cluster) is there
    other = there.to(cluster, name="other")
    assert (other.grow(), there.size) == (7, 6)
    assert Tally(9).get_or_to(cluster, name="new").size == 9
    with pytest.raises(TypeError, match="another class"):
        Labelled("x").get_or_to(cluster, name="tally")
    unnamed: Any = Tally(1).to(cluster, env="elsewhere")
    key = unnamed.key
    assert unnamed.pid() != there.pid()
    del unnamed
    gc.collect()
    make(cluster, Shelf, env="elsewhere").add(1)
    wait_until(lambda: not holds(cluster, key))
    cluster.clear()


def test_names_of_a_dataclass_are_its_own(cluster: rh.Cluster) -> None:
    with pytest.raises(TypeError, match="name"):
        Labelled()  # type: ignore[call-arg]
    local = Labelled("mine")
    assert (local.name, local.key) == ("mine", 3)
    there: Any = local.to(cluster)
    assert (there.name, there.key, there) == ("mine", 3, local)
    assert rh.Module.fetch(there, "name") == "mine"


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda t: t.fetch(), TypeError, "needs a cluster"),
        (lambda t: t.rename("a"), TypeError, "needs a cluster"),
        (lambda t: t.refresh(), TypeError, "needs a cluster"),
        (lambda t: t.resolve(), TypeError, "needs a cluster"),
        (lambda t: t.delete(), TypeError, "needs a cluster"),
        (lambda t: asyncio.run(t.fetch_async("a")), TypeError, "needs a cluster"),
        (lambda t: asyncio.run(t.set_async("a", 1)), TypeError, "needs a cluster"),
        (lambda t: t.remote, AttributeError, "on no cluster"),
        (lambda t: t.get_or_to(rh.here), TypeError, "has no name"),
        (lambda t: t.to(3), TypeError, "is not a cluster"),
        (lambda t: t.to("nowhere"), LookupError, "no cluster 'nowhere'"),
        (lambda t: t.to(rh.here, name="no good"), InvalidNameError, "no good"),
        (lambda t: t.to(rh.here, env="no good"), InvalidNameError, "no good"),
    ],
)
def test_an_object_here_refuses_what_needs_a_cluster(
    act: Callable[[Any], object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        act(Tally())


# -- classes ----------------------------------------------------------------------------------


def test_functions_and_attributes_of_a_class(cluster: rh.Cluster) -> None:
    shelves: Any = rh.module(Shelf).to(cluster)
    assert (shelves.double(3), shelves.kind, shelves.origin) == (6, "shelf", "base")
    made = shelves.of_size(2)
    assert type(made) is Shelf, "a plain call returns what the function returns"
    assert list(shelves.double.map([1, 2])) == [2, 4]
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


# -- proxies elsewhere ------------------------------------------------------------------------


def test_a_proxy_arrives_as_a_proxy(cluster: rh.Cluster, shelf: Any) -> None:
    same_worker, other_worker = shelf.pid(), rh.function(sample.pid).to(cluster, env="other")()
    number, pid = rh.function(add_to).to(cluster)(shelf, 1)
    assert (number, pid) == (4, same_worker)
    number, pid = rh.function(add_to).to(cluster, env="other")(shelf, 1)
    assert (number, pid) == (5, other_worker)
    add_all = rh.function(add_to_all).to(cluster, env="other")
    assert add_all({"shelves": [shelf, shelf]}, 2) == [6, 7]
    seen = ("Shelf", [0, 1, 2, 1, 1, 2, 2], 7, "private")
    assert rh.function(look_at).to(cluster)(shelf) == seen
    assert rh.function(look_at).to(cluster, env="other")(shelf) == seen
    assert shelf.label == "seen"
    back = rh.function(give_back).to(cluster, env="other")(shelf)
    assert (back.key, back.add(1)) == ("shelf", 8)
    for env in (None, "other"):
        holder = make(cluster, Holder, shelf, env=env)
        assert holder.add(1) in (9, 10)
        assert holder.shelf.key == "shelf"


def test_a_proxy_made_there_works_here(cluster: rh.Cluster) -> None:
    if cluster.name != "local":
        pytest.skip("what a worker calls `here` has no address")
    made = rh.function(make_here).to(cluster)(3)
    assert (made.key, made.add(1)) == ("made-there", 4)
    made.delete()


@pytest.fixture
def here(cluster: rh.Cluster) -> Iterator[rh.Cluster]:
    """Give the cluster of this machine, whose workers can log in to the other one."""
    if cluster.name == "local":
        yield cluster
        return
    cluster.save()
    yield rh.here
    cluster.delete_configs()
    rh.here.disconnect()
    rh.here.stop()


def test_a_proxy_works_from_another_cluster(
    cluster: rh.Cluster, here: rh.Cluster, shelf: Any
) -> None:
    number, pid = rh.function(add_to).to(here, env="other")(shelf, 1)
    assert (number, pid == shelf.pid()) == (4, False)
    assert shelf[-1] == 1
    holder = make(here, Holder, {"in": shelf}["in"], env="other")
    assert holder.add(2) == 5
    copied = shelf.to(here, name="copied", env="other")
    assert (copied.add(3), len(shelf)) == (6, 5)
    assert (copied.label, copied.key, copied.__class__) == ("", "copied", Shelf)
    assert shelf.get_or_to(here, name="copied").add(3) == 7
    copied.delete()


def test_an_object_of_this_machine_cannot_be_reached_from_another_one(
    cluster: rh.Cluster, here: rh.Cluster
) -> None:
    if cluster.name == "local":
        pytest.skip("it is this machine")
    mine = make(here, Shelf, 1, name="mine")
    with pytest.raises(ConnectError, match="only its own processes reach"):
        rh.function(add_to).to(cluster)(mine, 1)
    back = rh.function(give_back).to(cluster)(mine)
    assert back.add(1) == 2


# -- the end of a process ---------------------------------------------------------------------

_PROGRAM = """
import os, sys
import runhouse as rh
from tests.integration.sample_modules import Shelf

shelves = rh.module(Shelf).to(rh.here)
kept, gone = shelves(1, name="kept-at-exit"), [shelves(1), shelves(2)]
print(*(shelf.key for shelf in gone))
del gone[0]
if not os.fork():
    gone.clear()
    del kept
    sys.exit()  # what the parent made stays
os.wait()
assert len(gone[0]) == 2
"""


def test_unnamed_objects_end_with_the_process(cluster: rh.Cluster, here: rh.Cluster) -> None:
    if cluster.name != "local":
        pytest.skip("the program knows this machine only")
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    keys = set(here.keys())
    assert "kept-at-exit" in keys
    assert not keys & set(done.stdout.split())
    here.delete("kept-at-exit")


def test_a_process_that_has_left_its_server_starts_none(tmp_path: Path) -> None:
    program = (
        "import runhouse as rh, fractions\n"
        "half = rh.module(fractions.Fraction).to(rh.here)(1, 2)\n"
        "rh.here.stop()\n"
        "rh.here.disconnect()\n"
    )
    home = tempfile.mkdtemp(prefix="rh-t")
    environment = {**os.environ, "RH_HOME": home}
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, timeout=60, env=environment, cwd=tmp_path)
    running = subprocess.run(
        [sys.executable, "-c", "import runhouse as rh; print(rh.here.is_up())"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=tmp_path,
    )
    assert running.stdout == "False\n"
    shutil.rmtree(home)
