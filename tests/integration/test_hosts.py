"""Hosts of all sorts become usable, or say what is in the way."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

import runhouse as rh
from runhouse.errors import (
    HostNotWritableError,
    HostUnreachableError,
    NoUsablePythonError,
    PythonMismatchError,
    ServerLostError,
    WorkerStartError,
)
from tests.integration import sample
from tests.rigs import interpreters
from tests.rigs.fixtures import default_spec, ssh_processes
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.rigs.client import Client
    from tests.rigs.fixtures import MakeMachine
    from tests.rigs.machine import Machine

pytestmark = [pytest.mark.timeout(90), pytest.mark.root]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHER = "3.12" if HERE != "3.12" else "3.13"


def box() -> rh.Cluster:
    """Return the cluster of the machine that is called box."""
    return rh.cluster("box", host="box")


class MakeBox(Protocol):
    """Start the machine of a test."""

    def __call__(self, **features: Any) -> Machine:
        """Return a running machine that is called box; see `MachineSpec` for its features."""


@pytest.fixture
def make_box(make_machine: MakeMachine, client_settings: Client) -> MakeBox:
    """Give a function that starts the machine of a test, known to this process as `box`."""

    def make(**features: Any) -> Machine:
        own = {"name": "box", "pythons": (interpreters.own_version(),), **features}
        return make_machine(dataclasses.replace(default_spec(client_settings), **own))

    return make


def works(cluster: rh.Cluster) -> bool:
    """Tell whether a function, a class and a generator work there."""
    counter = rh.module(sample.Counter).to(cluster)(3)
    return (
        rh.function(sample.add).to(cluster)(40, 2) == 42
        and counter.add(1) == 4
        and list(rh.function(sample.count_to).to(cluster)(3)) == [0, 1, 2]
    )


@pytest.mark.parametrize(
    "features",
    [
        pytest.param({"python_in_path": False}, id="python-not-in-path"),
        pytest.param({"python_names": ("python{version}",)}, id="only-a-versioned-name"),
        pytest.param({"pep668": True}, id="externally-managed"),
        pytest.param({"tmp_noexec": True}, id="tmp-noexec"),
        pytest.param({"home": "/home/ada of lovelace"}, id="home-with-a-space"),
        pytest.param({"home": "/home/" + "long/" * 20 + "ada"}, id="long-home"),
        pytest.param({"rsync": False, "lacks": ("timeout", "tar")}, id="few-tools"),
        pytest.param(
            {"files": {"/home/ada/.profile": ("echo noise; echo more >&2\n", 0o644)}},
            id="noisy-profile",
        ),
        pytest.param({"shell": "/bin/bash"}, id="bash"),
    ],
)
def test_a_host_works_as_it_is(make_box: MakeBox, features: dict[str, Any]) -> None:
    make_box(**features)
    cluster = box()
    assert works(cluster)
    cluster.disconnect()


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_other_versions_run_code_by_reference_and_refuse_it_by_value(
    make_box: MakeBox, version: str
) -> None:
    if version == HERE:
        pytest.skip("this is the version of the tests")
    make_box(pythons=(version,))
    cluster = box()
    assert works(cluster)
    with pytest.raises(PythonMismatchError, match=f"here it is {HERE}, there {version}") as caught:
        rh.function(lambda: 1).to(cluster)
    assert (caught.value.here, caught.value.there) == (HERE, version)
    with pytest.raises(PythonMismatchError):
        rh.function(sample.identity).to(cluster)(lambda: 1)
    with pytest.raises(sample.SampleError) as raised:
        rh.function(sample.fail).to(cluster)(3)
    assert raised.value.hint == "more"
    cluster.disconnect()


@pytest.mark.parametrize("version", ["3.8", "3.9"])
def test_an_old_python_is_told(make_box: MakeBox, version: str) -> None:
    make_box(pythons=(version,))
    with pytest.raises(NoUsablePythonError, match="3.10 or newer") as caught:
        box().up()
    assert any(f"({version}." in found for found in caught.value.found)


def test_a_host_without_python_is_told(make_box: MakeBox) -> None:
    make_box(pythons=())
    with pytest.raises(NoUsablePythonError, match="python=") as caught:
        box().up()
    assert caught.value.found == ()
    assert caught.value.host == "box"


def test_the_interpreter_can_be_chosen(make_box: MakeBox) -> None:
    machine = make_box(pythons=(interpreters.own_version(), OTHER))
    cluster = rh.cluster("box", host="box", python=f"python{OTHER}")
    assert rh.function("platform:python_version").to(cluster)().startswith(f"{OTHER}.")
    cluster.stop()
    with pytest.raises(NoUsablePythonError, match="/no/such/python"):
        rh.cluster("box", host="box", python="/no/such/python").up()
    with pytest.raises((WorkerStartError, NoUsablePythonError)):
        rh.function(sample.add).to(rh.cluster("box", host="box", python="/bin/true"))
    assert (machine.home / ".rh").is_dir()


def test_a_full_disk_is_told_and_nothing_half_done_is_left(
    make_box: MakeBox,
) -> None:
    machine = make_box(home_size_mb=2)
    with pytest.raises(HostNotWritableError, match="full"):
        box().up()
    assert not list((machine.home / ".rh").glob("runtime/*"))
    machine.exec("mount -o remount,size=64m /home/ada", as_root=True, check=True)
    assert works(box())


def test_a_disk_that_fills_up_later_is_told(make_box: MakeBox) -> None:
    machine = make_box(home_size_mb=40)
    cluster = box()
    assert works(cluster)
    machine.exec("head -c 60m /dev/zero >filler")
    assert rh.function(sample.add).to(cluster)(1, 2) == 3, "calls need no disk"
    cluster.stop()
    machine.exec("head -c 60m /dev/zero >>filler")
    with pytest.raises(HostNotWritableError, match="full"):
        cluster.up()


def test_a_read_only_home_is_told(make_box: MakeBox) -> None:
    make_box(home_read_only=True)
    with pytest.raises(HostNotWritableError, match="cannot be written to"):
        box().up()


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"files": {"/usr/local/bin/uname": ("#!/bin/sh\necho FreeBSD\n", 0o755)}}, "runs FreeBSD"),
        ({"shell": "/bin/false"}, "could not be examined|POSIX shell"),
    ],
)
def test_a_host_of_another_sort_is_told(
    make_box: MakeBox, features: dict[str, Any], words: str
) -> None:
    make_box(**features)
    with pytest.raises(rh.errors.BootstrapError, match=words):
        box().up()


def test_several_clients_at_once_end_in_one_server(
    make_box: MakeBox,
) -> None:
    machine = make_box()
    program = """
import runhouse as rh
from tests.integration import sample
box = rh.cluster("box", host="box")
print(box.status().pid, rh.function(sample.add).to(box)(1, 2))
"""
    root = Path(__file__).parents[2]

    def client(number: int) -> str:
        environment = os.environ | {"RH_HOME": f"{os.environ['RH_HOME']}/{number}"}
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(client, range(4)))
    assert len(answers) == 1
    assert answers.pop().split()[1] == "3"
    assert len(machine.processes("import serve")) == 1


def test_an_idle_connection_survives_a_cut_of_five_seconds(
    make_box: MakeBox,
) -> None:
    machine = make_box()
    cluster = box()
    counter = rh.module(sample.Counter).to(cluster)(1)
    assert counter.add() == 2
    machine.cut_network()
    restored = threading.Timer(5, machine.restore_network)
    restored.start()
    assert counter.add() == 3
    restored.join()
    assert cluster.is_connected()
    cluster.disconnect()


def test_a_call_survives_the_end_of_its_ssh_connection(
    make_box: MakeBox,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    machine = make_box()
    cluster = box()
    mark_slowly = rh.function(sample.mark_slowly).to(cluster)
    capfd.readouterr()

    threading.Timer(0.6, machine.kill_sshd_sessions).start()
    assert mark_slowly(f"/tmp/{tmp_path.name}", 2.0) == 1
    assert capfd.readouterr().out == "".join(f"step {n}\n" for n in range(5))
    cluster.disconnect()


def test_a_server_that_is_killed_comes_back_with_the_next_call(
    make_box: MakeBox,
) -> None:
    machine = make_box()
    cluster = box()
    wait = rh.function(sample.wait).to(cluster)
    add = rh.function(sample.add).to(cluster)
    (server,) = machine.processes("import serve")
    threading.Timer(0.5, os.kill, (server.pid, signal.SIGKILL)).start()
    with pytest.raises(ServerLostError, match="ended during a call"):
        wait(60)
    assert add(1, 2) == 3
    cluster.disconnect()


def test_a_killed_client_leaves_nothing_on_either_side(
    make_box: MakeBox,
) -> None:
    machine = make_box()
    program = """
import runhouse as rh
from tests.integration import sample
box = rh.cluster("box", host="box")
wait = rh.function(sample.wait).to(box)
print("ready", flush=True)
wait(60, "/tmp/mark")
"""
    home = f"{os.environ['RH_HOME']}/killed"
    client = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"RH_HOME": home, "RH_ORPHAN_GRACE_S": "1", "RH_SSH_PERSIST_S": "1"},
    )
    with client:
        assert client.stdout is not None
        client.stdout.readline()
        wait_until(lambda: box().status().running == 1)
        client.kill()
    wait_until(lambda: box().status().running == 0)
    assert machine.path("/tmp/mark").read_text() == "stopped"
    box().disconnect()
    wait_until(lambda: not ssh_processes(home))
    wait_until(lambda: not machine.processes("sshd: ada"))


def test_a_machine_that_goes_away_is_told_in_time(
    make_box: MakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = make_box()
    monkeypatch.setenv("RH_CONNECT_TIMEOUT_S", "2")
    machine.cut_network()
    cluster = rh.cluster("gone", host=f"ada@127.0.0.1:{machine.port}")
    assert cluster.is_up() is False
    with pytest.raises(HostUnreachableError):
        cluster.up()


def test_an_edit_is_in_effect_with_the_next_to_and_deletions_are_mirrored(
    make_box: MakeBox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = make_box()
    project = tmp_path / "a project"
    project.mkdir()
    (project / "pyproject.toml").touch()
    (project / ".gitignore").write_text("secret.txt\nbuild/\n")
    (project / "secret.txt").write_text("not for hosts")
    (project / "data file é.txt").write_text("data")
    (project / "old.py").touch()
    module = project / "edited_module.py"
    module.write_text("def f(): return 'before'\n")
    monkeypatch.syspath_prepend(str(project))
    edited = __import__("edited_module")
    cluster = box()
    before = rh.function(edited.f).to(cluster)
    server = cluster.status().pid
    assert before() == "before"
    (copy,) = (machine.home / ".rh" / "code").iterdir()
    assert {path.name for path in copy.iterdir()} >= {"old.py", "data file é.txt"}
    assert not (copy / "secret.txt").exists()
    module.write_text("def f(): return open('data file é.txt').read() + ' after'\n")
    (project / "old.py").unlink()
    after = rh.function(edited.f).to(cluster)
    assert after() == "data after"
    assert not (copy / "old.py").exists()
    assert cluster.status().pid == server
    cluster.disconnect()


def test_modules_in_the_home_directory_itself_go_along_by_value(
    make_box: MakeBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_box()
    (tmp_path / "homeless_words.py").write_text("def shout(text): return text.upper()\n")
    (tmp_path / "homeless_greeting.py").write_text(
        "import homeless_words\n"
        "from homeless_words import shout\n"
        "class Greeting:\n"
        "    def __init__(self, text): self.text = text\n"
        "    def loud(self): return Greeting(homeless_words.shout(shout(self.text)))\n"
        "def greet(greeting): return greeting.loud()\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    module = __import__("homeless_greeting")
    cluster = box()
    answer = rh.function(module.greet).to(cluster)(module.Greeting("hello"))
    assert isinstance(answer, module.Greeting)
    assert answer.text == "HELLO"
    remote = rh.module(module.Greeting).to(cluster)("again")
    assert remote.loud().text == "AGAIN"
    cluster.disconnect()
