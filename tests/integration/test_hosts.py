"""Hosts of all sorts become usable, or say what is in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

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
from tests.rigs.box import Machine, MachineSpec
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.timeout(90), pytest.mark.root]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def box(**creds: str) -> rh.Cluster:
    """Return the cluster of the machine that is called box."""
    return rh.cluster("box", host="box", ssh_creds=creds or None, server_port=None)


def works(cluster: rh.Cluster) -> bool:
    """Tell whether a function, a class and a generator work there."""
    counter = rh.module(sample.Counter).to(cluster)(3)
    return (
        rh.function(sample.add).to(cluster)(40, 2) == 42
        and counter.add(1) == 4
        and list(rh.function(sample.count_to).to(cluster)(3)) == [0, 1, 2]
    )


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(
            MachineSpec(
                python_names=(),
                setup="P=~ada/.pyenv/versions; mkdir -p $P; ln -s /pythons/here $P/3",
            ),
            id="python-not-in-path",
        ),
        pytest.param(MachineSpec(python_names=(f"python{HERE}",)), id="only-a-versioned-name"),
        pytest.param(
            MachineSpec(
                setup="P=$(python3 -c 'import sysconfig; print(sysconfig.get_path(\"stdlib\"))')\n"
                "mount -t tmpfs none /mnt && mkdir /mnt/up /mnt/work\n"
                "mount -t overlay -o lowerdir=$P,upperdir=/mnt/up,workdir=/mnt/work none $P\n"
                "printf '[externally-managed]\\n' >$P/EXTERNALLY-MANAGED",
            ),
            id="externally-managed",
        ),
        pytest.param(MachineSpec(tmp_options=",noexec"), id="tmp-noexec"),
        pytest.param(MachineSpec(home="/home/ada of lovelace"), id="home-with-a-space"),
        pytest.param(MachineSpec(home="/home/" + "long/" * 20 + "ada"), id="long-home"),
        pytest.param(
            MachineSpec(setup="rm -f /usr/bin/rsync /usr/bin/timeout /usr/bin/tar"), id="few-tools"
        ),
        pytest.param(
            MachineSpec(setup="echo 'echo noise; echo more >&2' >~ada/.profile"), id="noisy-profile"
        ),
        pytest.param(MachineSpec(setup="usermod -s /bin/bash ada"), id="bash"),
    ],
)
def test_a_host_works_as_it_is(
    make_machine: Callable[[MachineSpec], Machine], spec: MachineSpec
) -> None:
    make_machine(spec)
    cluster = box()
    assert works(cluster)
    cluster.disconnect()


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_other_versions_run_code_by_reference_and_refuse_it_by_value(
    make_machine: Callable[[MachineSpec], Machine], version: str
) -> None:
    if version == HERE:
        pytest.skip("this is the version of the tests")
    make_machine(MachineSpec(pythons=(version,)))
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
def test_an_old_python_is_told(
    make_machine: Callable[[MachineSpec], Machine], version: str
) -> None:
    make_machine(MachineSpec(pythons=(version,)))
    with pytest.raises(NoUsablePythonError, match="3.10 or newer") as caught:
        box().up()
    assert any(f"({version}." in found for found in caught.value.found)


def test_a_host_without_python_is_told(make_machine: Callable[[MachineSpec], Machine]) -> None:
    make_machine(MachineSpec(pythons=(), python_names=()))
    with pytest.raises(NoUsablePythonError, match="python=") as caught:
        box().up()
    assert caught.value.found == ()
    assert caught.value.host == "box"


def test_the_interpreter_can_be_chosen(make_machine: Callable[[MachineSpec], Machine]) -> None:
    machine = make_machine(MachineSpec(pythons=("here", "3.12")))
    chosen = "/pythons/3.12/bin/python3"
    cluster = rh.cluster("box", host="box", python=chosen)
    assert rh.function(sample.where).to(cluster)()[0] == chosen
    cluster.stop()
    with pytest.raises(NoUsablePythonError, match="/no/such/python"):
        rh.cluster("box", host="box", python="/no/such/python").up()
    with pytest.raises((WorkerStartError, NoUsablePythonError)):
        rh.function(sample.add).to(rh.cluster("box", host="box", python="/bin/true"))
    assert machine.path("/home/ada/.rh").is_dir()


def test_a_full_disk_is_told_and_nothing_half_done_is_left(
    make_machine: Callable[[MachineSpec], Machine],
) -> None:
    machine = make_machine(MachineSpec(home_options=",size=2m"))
    with pytest.raises(HostNotWritableError, match="full"):
        box().up()
    assert not list(machine.path("/home/ada/.rh").glob("runtime/*"))
    machine.run("mount -o remount,size=64m /home/ada")
    assert works(box())


def test_a_disk_that_fills_up_later_is_told(make_machine: Callable[[MachineSpec], Machine]) -> None:
    machine = make_machine(MachineSpec(home_options=",size=40m"))
    cluster = box()
    assert works(cluster)
    machine.run("head -c 60m /dev/zero >/home/ada/filler")
    assert rh.function(sample.add).to(cluster)(1, 2) == 3, "calls need no disk"
    cluster.stop()
    machine.run("head -c 60m /dev/zero >>/home/ada/filler")
    with pytest.raises(HostNotWritableError, match="full"):
        cluster.up()


def test_a_read_only_home_is_told(make_machine: Callable[[MachineSpec], Machine]) -> None:
    make_machine(MachineSpec(setup="mount -o remount,ro /home/ada"))
    with pytest.raises(HostNotWritableError, match="cannot be written to"):
        box().up()


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("printf '#!/bin/sh\\necho FreeBSD\\n' >/usr/local/bin/uname", "runs FreeBSD"),
        ("usermod -s /bin/false ada", "could not be examined|POSIX shell"),
    ],
)
def test_a_host_of_another_sort_is_told(
    make_machine: Callable[[MachineSpec], Machine], setup: str, words: str
) -> None:
    make_machine(MachineSpec(setup=f"{setup}; chmod 755 /usr/local/bin/uname || true"))
    with pytest.raises(rh.errors.BootstrapError, match=words):
        box().up()


def test_several_clients_at_once_end_in_one_server(
    make_machine: Callable[[MachineSpec], Machine],
) -> None:
    machine = make_machine(MachineSpec())
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
    servers = [line for line in machine.processes().values() if "import serve" in line]
    assert len(servers) == 1


def test_an_idle_connection_survives_a_cut_of_five_seconds(
    make_machine: Callable[[MachineSpec], Machine],
) -> None:
    machine = make_machine(MachineSpec())
    assert machine.relay is not None
    cluster = box()
    counter = rh.module(sample.Counter).to(cluster)(1)
    assert counter.add() == 2
    machine.relay.cut()
    restored = threading.Timer(5, machine.relay.restore)
    restored.start()
    assert counter.add() == 3
    restored.join()
    assert cluster.is_connected()
    cluster.disconnect()


def test_a_call_survives_the_end_of_its_ssh_connection(
    make_machine: Callable[[MachineSpec], Machine],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    machine = make_machine(MachineSpec())
    cluster = box()
    mark_slowly = rh.function(sample.mark_slowly).to(cluster)
    capfd.readouterr()

    def kill_sessions() -> None:
        for pid, line in machine.processes().items():
            if line.startswith("sshd: ada"):
                os.kill(pid, signal.SIGKILL)

    threading.Timer(0.6, kill_sessions).start()
    assert mark_slowly(f"/tmp/{tmp_path.name}", 2.0) == 1
    assert capfd.readouterr().out == "".join(f"step {n}\n" for n in range(5))
    cluster.disconnect()


def test_a_server_that_is_killed_comes_back_with_the_next_call(
    make_machine: Callable[[MachineSpec], Machine],
) -> None:
    machine = make_machine(MachineSpec())
    cluster = box()
    wait = rh.function(sample.wait).to(cluster)
    add = rh.function(sample.add).to(cluster)
    server = next(pid for pid, line in machine.processes().items() if "import serve" in line)
    threading.Timer(0.5, os.kill, (server, signal.SIGKILL)).start()
    with pytest.raises(ServerLostError, match="ended during a call"):
        wait(60)
    assert add(1, 2) == 3
    cluster.disconnect()


def test_a_killed_client_leaves_nothing_on_either_side(
    make_machine: Callable[[MachineSpec], Machine],
) -> None:
    machine = make_machine(MachineSpec())
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
    wait_until(lambda: not any("sshd: ada" in line for line in machine.processes().values()))


def ssh_processes(home: str) -> list[str]:
    """Return the ssh processes that serve a client's home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if line.startswith("ssh") and home in line:
            found.append(line)
    return found


def test_a_machine_that_goes_away_is_told_in_time(
    make_machine: Callable[[MachineSpec], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = make_machine(MachineSpec())
    assert machine.relay is not None
    monkeypatch.setenv("RH_CONNECT_TIMEOUT_S", "2")
    machine.relay.cut()
    cluster = rh.cluster("gone", host=f"ada@127.0.0.1:{machine.port}")
    assert cluster.is_up() is False
    with pytest.raises(HostUnreachableError):
        cluster.up()


def test_an_edit_is_in_effect_with_the_next_to_and_deletions_are_mirrored(
    make_machine: Callable[[MachineSpec], Machine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = make_machine(MachineSpec())
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
    (copy,) = machine.path("/home/ada/.rh/code").iterdir()
    assert {path.name for path in copy.iterdir()} >= {"old.py", "data file é.txt"}
    assert not (copy / "secret.txt").exists()
    module.write_text("def f(): return open('data file é.txt').read() + ' after'\n")
    (project / "old.py").unlink()
    after = rh.function(edited.f).to(cluster)
    assert after() == "data after"
    assert not (copy / "old.py").exists()
    assert cluster.status().pid == server
    cluster.disconnect()
