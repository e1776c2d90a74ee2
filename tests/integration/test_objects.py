"""Objects stay in the worker that made them, and are reached by their keys from everywhere."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import runhouse as rh
from runhouse.errors import (
    InvalidNameError,
    NotSerializableError,
    ObjectNotFoundError,
    StoreFullError,
)
from tests.integration import sample, sample_store
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def empty(cluster: rh.Cluster) -> Iterator[None]:
    """Begin and end each test without objects."""
    cluster.clear()
    yield
    cluster.clear()


def test_an_object_is_kept_and_copied_out(cluster: rh.Cluster) -> None:
    assert cluster.put("numbers", [1, 2]) == "numbers"
    assert cluster.get("numbers") == [1, 2]
    cluster.put("numbers", {"a": sample.Point(1, 2)})
    assert cluster.get("numbers") == {"a": sample.Point(1, 2)}
    assert cluster.keys() == ["numbers"]


def test_what_is_not_there_is_a_default_or_an_error(cluster: rh.Cluster) -> None:
    assert cluster.get("nothing") is None
    assert cluster.get("nothing", default=7) == 7
    with pytest.raises(KeyError, match="key 'nothing' not found") as caught:
        cluster.get("nothing", default=KeyError)
    assert isinstance(caught.value, ObjectNotFoundError)
    assert caught.value.key == "nothing"
    assert cluster.get("nothing", remote=True) is None
    with pytest.raises(ObjectNotFoundError):
        cluster.get("nothing", KeyError, remote=True)
    with pytest.raises(ObjectNotFoundError):
        cluster.call("nothing", "method")
    with pytest.raises(ObjectNotFoundError):
        cluster.rename("nothing", "something")
    cluster.delete("nothing")


def test_objects_of_several_envs_are_one_store(cluster: rh.Cluster) -> None:
    cluster.put("a", 1)
    cluster.put("b", 2, env="second")
    cluster.put("c", 3, env="third")
    assert cluster.keys() == ["a", "b", "c"]
    assert cluster.keys("second") == ["b"]
    assert [cluster.get(key) for key in "abc"] == [1, 2, 3]
    cluster.put("a", 4, env="third")
    assert cluster.keys("third") == ["a", "c"]
    assert cluster.get("a") == 4
    cluster.delete(["a", "b"])
    assert cluster.keys() == ["c"]
    cluster.put("d", 4)
    cluster.clear()
    assert cluster.keys() == []


def test_each_key_takes_no_connection_of_its_own(cluster: rh.Cluster) -> None:
    numbers = range(20)
    for number in numbers:
        cluster.put(f"number-{number}", number)
        cluster.put(f"counter-{number}", sample.Counter(number))
    before = len(os.listdir("/proc/self/fd"))
    assert [cluster.get(f"number-{number}") for number in numbers] == list(numbers)
    assert [cluster.call(f"counter-{number}", "add", 1) for number in numbers] == [
        number + 1 for number in numbers
    ]
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_stored_object_is_called(cluster: rh.Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    cluster.put("box", sample_store.Box(1, 2, 3))
    assert cluster.call("box", "add", 4) == 4
    assert cluster.call("box", "add", value=5) == 5
    assert cluster.call("box", "total") == 15
    assert cluster.call("box", "values") == [1, 2, 3, 4, 5]
    assert cluster.call("box", "__len__") == 5
    assert cluster.call("box", "__getitem__", 0) == 1
    capfd.readouterr()
    assert list(cluster.call("box", "__iter__")) == [1, 2, 3, 4, 5]
    assert capfd.readouterr().out == "".join(f"value {n}\n" for n in range(1, 6))
    assert asyncio.run(cluster.call("box", "add", 6, run_async=True)) == 6
    assert cluster.call("box", "add", 7, run_name="seventh") == 7
    assert cluster.get_run("seventh").result() == 7
    kept = cluster.call("box", "values", remote=True)
    assert kept.fetch() == [1, 2, 3, 4, 5, 6, 7]
    later = asyncio.run(cluster.call("box", "__len__", remote=True, run_async=True))
    assert later.fetch() == 7
    with pytest.raises(AttributeError, match="nothing"):
        cluster.call("box", "nothing")
    with pytest.raises(TypeError, match="It is no method but holds int"):
        cluster.call("box", "total", 1)
    assert sorted(cluster.call("box", "__iter__", stream_logs=False))[0] == 1


def test_a_renamed_object_stays_where_it_is(cluster: rh.Cluster) -> None:
    cluster.put("old", sample_store.Box(1), env="second")
    assert cluster.call("old", "add", 2) == 2
    cluster.rename("old", "new")
    assert cluster.keys("second") == ["new"]
    assert cluster.call("new", "add", 3) == 3
    assert cluster.get("old") is None
    with pytest.raises(ObjectNotFoundError):
        cluster.call("old", "add", 3)
    value_of = rh.function(sample_store.value_of).to(cluster)
    assert len(value_of("new")) == 3, "a worker that does not own it finds it by its new key"
    cluster.put("other", 1)
    left = rh.function(sample_store.rename_and_delete).to(cluster)("new", "newest", "other")
    assert left == ["newest"]
    assert cluster.call("newest", "__len__") == 3


def test_a_key_that_moves_is_found_again(cluster: rh.Cluster) -> None:
    cluster.put("moving", sample_store.Box(1))
    assert cluster.call("moving", "__len__") == 1
    cluster.put("moving", sample_store.Box(1, 2), env="second")
    assert cluster.call("moving", "__len__") == 2
    (worker,) = [w for w in cluster.status().workers if w.env == "second" and w.objects]
    cluster.run(f"kill -9 {worker.pid}", stream_logs=False)
    wait_until(lambda: cluster.keys() == [])
    cluster.put("moving", sample_store.Box(1, 2, 3))
    assert cluster.call("moving", "__len__") == 3


def test_an_object_is_not_copied_in_the_worker_that_holds_it(cluster: rh.Cluster) -> None:
    keep = rh.function(sample_store.keep_here).to(cluster)
    identity = rh.function(sample_store.identity_of).to(cluster)
    assert keep("kept", [1, 2, 3]) == identity("kept")
    assert cluster.get("kept") == [1, 2, 3]
    elsewhere = rh.function(sample_store.value_of).to(cluster, env="second")
    assert elsewhere("kept") == [1, 2, 3]
    with pytest.raises(KeyError):
        elsewhere("nothing")


def test_a_reference_to_an_object_arrives_as_the_object(cluster: rh.Cluster) -> None:
    keep = rh.function(sample_store.keep_here).to(cluster)
    keep("kept", [1])
    reference = cluster.get("kept", remote=True)
    assert repr(reference) == f"<runhouse.Reference 'kept' on {cluster.name}>"
    same = rh.function(sample.same_object).to(cluster)
    assert same(reference, reference)
    assert reference.fetch() == [1]
    assert asyncio.run(reference.fetch_async()) == [1]
    assert reference.status == "done"


def test_what_cannot_be_kept_is_told(cluster: rh.Cluster) -> None:
    with pytest.raises(InvalidNameError):
        cluster.put("no key", 1)
    with pytest.raises(NotSerializableError):
        cluster.put("lock", threading.Lock())
    cluster.put("kept", 1)
    with pytest.raises(InvalidNameError):
        cluster.rename("kept", "no key")
    with pytest.raises(TypeError, match="no name"):
        cluster.put_resource(object())
    acts: list[Callable[[Any], object]] = [
        cluster.delete,
        lambda wrong: cluster.delete([wrong]),
        cluster.get,
        lambda wrong: cluster.rename(wrong, "new"),
        lambda wrong: cluster.call(wrong, "add"),
        lambda wrong: cluster.call("kept", wrong),
    ]
    for act in acts:
        with pytest.raises(TypeError, match="cannot be used. It is of type int"):
            act(3)
    for key in ("", "a/b"):
        with pytest.raises(ValueError, match="key cannot be"):
            cluster.get(key)
    assert cluster.keys() == ["kept"]


def test_a_resource_is_kept_under_its_name(cluster: rh.Cluster) -> None:
    class Named:
        name = "resource"
        size = 1

    assert cluster.put_resource(Named(), dryrun=True) == "resource"
    assert cluster.keys() == []
    assert cluster.put_resource(Named(), state={"size": 5}) == "resource"
    assert cluster.call("resource", "size") == 5


def test_the_memory_of_an_env_can_be_limited(cluster: rh.Cluster) -> None:
    allocate = rh.function(sample_store.allocate).to(cluster, env="small")
    cluster.set_limits("small", memory_bytes=200_000_000)
    assert allocate("first", 100) == 100
    with pytest.raises(StoreFullError, match="the limit of its env is 200 MB") as caught:
        allocate("second", 300)
    assert caught.value.limit_bytes == 200_000_000
    assert caught.value.used_bytes > 300_000_000
    with pytest.raises(StoreFullError):
        rh.function(sample_store.fill).to(cluster, env="small").remote(300).fetch()
    assert cluster.keys() == ["first"]
    cluster.delete("first")
    wait_until(lambda: _can(lambda: allocate("third", 50)))
    cluster.set_limits("small")


def _can(action: object) -> bool:
    try:
        action()  # type: ignore[operator]
    except StoreFullError:
        return False
    return True


def test_an_array_goes_in_and_out_unharmed(cluster: rh.Cluster) -> None:
    if not rh.function(sample.has_module).to(cluster)("numpy"):
        pytest.skip("the Python of this host has no NumPy")
    array = np.arange(300_000).reshape(100, 3000)
    cluster.put("array", array, persist=True)
    assert np.array_equal(cluster.get("array"), array)


def test_a_persistent_object_survives_a_restart(cluster: rh.Cluster) -> None:
    cluster.put("kept", sample_store.Box(1, 2), persist=True)
    cluster.put("in-env", {"a": 1}, env="second", persist=True)
    cluster.put("gone", 1)
    cluster.put("renamed", 2, persist=True)
    cluster.rename("renamed", "other")
    cluster.put("deleted", 3, persist=True)
    cluster.delete("deleted")
    cluster.put("fleeting", 4, persist=True)
    cluster.put("fleeting", 5)
    cluster.restart_server()
    assert cluster.keys() == ["in-env", "kept", "other"]
    assert cluster.keys("second") == ["in-env"]
    assert cluster.call("kept", "total") == 3
    assert cluster.get("in-env") == {"a": 1}
    assert cluster.get("other") == 2
    assert cluster.get("gone") is None
    assert cluster.call("kept", "add", 3) == 3
    cluster.clear()
    cluster.restart_server()
    assert cluster.keys() == []


def test_an_object_whose_class_is_gone_is_told_and_kept(tmp_path: Path) -> None:
    rh.here.put("broken", sample_store.Box(1), persist=True)
    (file,) = Path(f"{os.environ['RH_HOME']}/local").glob("*/objects/broken.object")
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"Box", b"Bux"))
    rh.here.restart_server()
    with pytest.raises(rh.errors.WorkerStartError, match="on disk but could not be loaded"):
        rh.here.get("broken")
    assert rh.here.keys() == ["broken"]
    file.write_bytes(whole)
    assert len(rh.here.get("broken")) == 1
    rh.here.clear()


def test_a_worker_that_is_killed_takes_only_its_keys(cluster: rh.Cluster) -> None:
    cluster.put("near", 1)
    cluster.put("far", 2, env="second")
    (pid,) = [w.pid for w in cluster.status().workers if w.env == "second" and w.objects]
    cluster.run(f"kill -9 {pid}", stream_logs=False)
    wait_until(lambda: cluster.keys() == ["near"])
    assert cluster.get("near") == 1
    with pytest.raises(KeyError):
        cluster.get("far", KeyError)


def test_ten_thousand_keys_are_no_burden() -> None:
    rh.here.put("first", 0)
    put_many = rh.function(sample_store.put_many).to(rh.here)
    put_many(10_000)
    keys = rh.here.keys()
    assert len(keys) == 10_001
    rh.here.delete(keys[:5000])
    assert len(rh.here.keys()) == 5001
    assert rh.here.get(keys[-1]) is not None
    rh.here.clear()
    assert rh.here.keys() == []
