"""Objects go where they are wanted: by name, with their state, as proxies, from any cluster."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
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
from runhouse.errors import (
    ConnectError,
    InvalidNameError,
    ObjectNotFoundError,
    WorkerDiedError,
)
from tests.integration import sample
from tests.integration.sample_modules import (
    Holder,
    Labelled,
    Shelf,
    Tally,
    add_to,
    add_to_all,
    give_back,
    is_the_same,
    look_at,
    make_here,
)
from tests.rigs.fixtures import default_spec
from tests.rigs.modules import holds, make, shelf as shelf
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.rigs.client import Client
    from tests.rigs.fixtures import MakeMachine

pytestmark = pytest.mark.timeout(90)
ROOT = Path(__file__).parents[2]
on_this_machine = pytest.mark.parametrize("cluster", ["local"], indirect=True)
on_another_one = pytest.mark.parametrize(
    "cluster", ["byo-key", "byo-password", "proxy-jump"], indirect=True
)


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


@on_this_machine  # what a worker of another one calls `here` has no address
def test_a_proxy_made_there_works_here(cluster: rh.Cluster) -> None:
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


@on_another_one
def test_an_object_of_this_machine_cannot_be_reached_from_another_one(
    cluster: rh.Cluster, here: rh.Cluster
) -> None:
    mine = make(here, Shelf, 1, name="mine")
    with pytest.raises(ConnectError, match="only its own processes reach"):
        rh.function(add_to).to(cluster)(mine, 1)
    back = rh.function(give_back).to(cluster)(mine)
    assert back.add(1) == 2


@pytest.mark.timeout(60)
def test_a_host_calls_an_object_of_another_host_by_its_own_connection(
    client: Client, make_machine: MakeMachine
) -> None:
    spec = default_spec(client)
    near = make_machine(dataclasses.replace(spec, name="near"))
    far = make_machine(dataclasses.replace(spec, name="far"), network_of=near)
    config = f"Host far\n HostName {far.host}\n Port {far.port}\n User {far.spec.user}\n"
    near.exec("cat > .ssh/config", input=config)
    near.exec("umask 077; cat > .ssh/id_ed25519", input=client.key.read_text())
    with client.used_by_this_process(), contextlib.ExitStack() as stack:
        clusters = [rh.cluster(name, host=name, python=sys.executable) for name in ("near", "far")]
        for each in clusters:
            stack.callback(each.disconnect)
        shelf = make(clusters[1], Shelf, 3, name="shelf")
        use = rh.function(add_to).to(clusters[0])
        assert (use(shelf, 1)[0], len(shelf)) == (4, 4)
        log = near.exec("pgrep -fa 'ssh.*far'").stdout
        assert log, "it is the other host that has connected"
        assert use(shelf.resolve(), 1)[0] == 5, "a copy, which came from host to host"
        assert len(shelf) == 4


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


@on_this_machine  # which is the only one that the program knows
def test_unnamed_objects_end_with_the_process(here: rh.Cluster) -> None:
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
