"""The machines of the tests are what they say, and nothing of them is left."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rigs import interpreters, namespaces
from tests.rigs.fixtures import default_spec, ssh_processes
from tests.rigs.machine import Machine, MachineSpec
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.rigs.client import Client
    from tests.rigs.fixtures import MakeMachine

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]
OWN = interpreters.own_version()


def log_in_by_password(machine: Machine, client: Client, password: str, folder: Path) -> str:
    """Return what plain ssh prints when it logs in with a password and asks who it is."""
    askpass = folder / "askpass"
    askpass.write_text('#!/bin/sh\nprintf "%s\\n" "$WORD"\n')
    askpass.chmod(0o700)
    environ = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "WORD": password}
    once = ["-o", "BatchMode=no", "-o", "NumberOfPasswordPrompts=1"]
    done = subprocess.run(
        [*client.command()[:1], *once, *client.command(machine.spec.name, "id -un")[1:]],
        env={**os.environ, **environ}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=10,
    )  # fmt: skip
    return done.stdout + done.stderr


# Logging in


def test_a_key_logs_in_to_a_host_of_its_own(machine: Machine, client: Client) -> None:
    done = client.ssh("machine", 'id -un; hostname; echo "$HOME"; tty; date > date; exit 3')
    assert done.stdout.splitlines() == ["ada", "machine", "/home/ada", "not a tty"]
    assert done.returncode == 3
    assert (machine.home / "date").read_text()
    assert not Path("/home/ada/date").exists()


def test_a_password_logs_in_and_no_other(
    password_machine: Machine, client: Client, tmp_path: Path
) -> None:
    password = password_machine.spec.password
    assert password is not None
    assert log_in_by_password(password_machine, client, password, tmp_path) == "ada\n"
    assert "denied" in log_in_by_password(password_machine, client, "wrong", tmp_path)
    assert "denied" in client.ssh("password-machine", "true").stderr


def test_an_inner_machine_is_reached_through_its_neighbour_only(
    inner_machine: Machine, client: Client
) -> None:
    assert client.ssh("inner-machine", "hostname").stdout == "inner-machine\n"
    with socket.socket() as probe:
        assert probe.connect_ex((inner_machine.host, inner_machine.port)) != 0


def test_root_can_be_the_user(make_machine: MakeMachine, client: Client) -> None:
    make_machine(
        MachineSpec("of-root", user="root", home="/root", authorized_key=client.public_key)
    )
    assert client.ssh("of-root", "id -u; pwd").stdout == "0\n/root\n"


def test_a_machine_answers_at_an_ipv6_address(make_machine: MakeMachine, client: Client) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"needs IPv6 on the loopback device: {error}")
    spec = MachineSpec("six", authorized_key=client.public_key, ipv6=True)
    for direct in (False, True):
        machine = make_machine(dataclasses.replace(spec, direct=direct))
        done = client.ssh("-o", "HostName=::1", "six", "hostname")
        assert done.stdout == "six\n", done.stderr
        assert client.ssh("six", "hostname").stdout == "six\n"
        machine.stop()


# Pythons


def found_pythons(machine: Machine) -> list[str]:
    """Return every interpreter that the user can run, at whatever place."""
    line = r"find / -xdev -name 'python3*' -perm -1 ! -name '*-config' ! -name '*.*.*' \( -type f"
    return sorted(machine.exec(rf"{line} -o -type l \) 2>/dev/null").stdout.split())


def test_a_machine_has_no_python_unless_asked(make_machine: MakeMachine) -> None:
    machine = make_machine(MachineSpec("empty"))
    found = found_pythons(machine)
    assert [path for path in found if not path.startswith("/usr/lib")] == []
    assert machine.exec("command -v python python3 pip uv pyenv").stdout == ""


def test_a_machine_has_the_pythons_it_is_asked_for(make_machine: MakeMachine) -> None:
    first, second = interpreters.find("3.12"), interpreters.find("3.9")
    machine = make_machine(MachineSpec("two", pythons=(first.version, second.version)))
    assert machine.exec("python3 -V").stdout.startswith("Python 3.12.")
    assert machine.exec("python3.12 -V").stdout.startswith("Python 3.12.")
    assert machine.exec("python3.9 -V").stdout.startswith("Python 3.9.")
    assert machine.exec("command -v python python3.11 python3.10 python3.13").stdout == ""
    packages = "import sys; print([path for path in sys.path if 'packages' in path])"
    (place,) = eval(machine.exec(["python3", "-c", packages]).stdout)  # noqa: S307 - a list of texts
    assert list(machine.path(place).iterdir()) == []


def test_the_environment_of_the_tests_is_where_it_is_outside(machine: Machine) -> None:
    done = machine.exec([sys.executable, "-c", "import sys, pytest; print(sys.executable)"])
    assert done.stdout == f"{sys.executable}\n", done.stderr
    assert machine.exec([sys.executable, "-c", "import runhouse"]).returncode == 1
    assert not machine.path(str(ROOT / "src")).exists()


def test_an_environment_can_be_the_python_in_path(make_machine: MakeMachine) -> None:
    machine = make_machine(MachineSpec("venv", pythons=(sys.executable,)))
    done = machine.exec(["python3", "-c", "import sys, pytest; print(sys.prefix)"])
    assert done.stdout == f"{sys.prefix}\n", done.stderr


def test_a_bare_machine_has_a_python_outside_path(bare_machine: Machine, client: Client) -> None:
    looks = (
        "command -v python python3 python3.11 rsync; ls -d ~/.pyenv/versions/*/bin/python3.*[0-9]"
    )
    (path,) = client.ssh("bare-machine", looks).stdout.split()
    assert path == f"/home/ada/.pyenv/versions/{OWN}/bin/python{OWN}"
    tells = "import sys, json, ctypes; print(sys.prefix)"
    assert bare_machine.exec([path, "-c", tells]).stdout == f"/home/ada/.pyenv/versions/{OWN}\n"


@pytest.mark.parametrize("in_path", [True, False])
def test_the_python_of_the_system_can_be_shown(make_machine: MakeMachine, in_path: bool) -> None:
    found = [interpreters.find(path) for path in ("/usr/bin/python3", "/usr/local/bin/python3")
             if Path(path).exists()]  # fmt: skip
    if not found:
        pytest.skip("there is no Python of the system here: apt-get install python3")
    spec = MachineSpec("system", pythons=(str(found[0].executable),), python_in_path=in_path)
    machine = make_machine(spec)
    version = f"Python {found[0].version}"
    assert machine.exec("python3 -V").stdout.startswith(version) is in_path
    aside = f"~/.pyenv/versions/{found[0].version}/bin/python{found[0].version}"
    done = machine.exec(f"{aside} -c 'import json; print(1)'")
    assert done.stdout == ("" if in_path else "1\n"), done.stderr


def test_only_a_versioned_name_and_the_mark_of_pep_668(make_machine: MakeMachine) -> None:
    spec = MachineSpec(
        "marked", pythons=(OWN,), python_names=("python{version}",), pep668=True
    )  # fmt: skip
    machine = make_machine(spec)
    assert machine.exec("command -v python python3").stdout == ""
    place = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    library = machine.exec([f"python{OWN}", "-c", place]).stdout.strip()
    assert "externally-managed" in machine.path(f"{library}/EXTERNALLY-MANAGED").read_text()


# Disks, tools and processes


def test_what_is_wrong_with_a_disk(make_machine: MakeMachine) -> None:
    spec = MachineSpec("flawed", home="/home/ada lovelace", home_size_mb=2, tmp_noexec=True)
    machine = make_machine(spec)
    assert machine.exec("pwd").stdout == "/home/ada lovelace\n"
    assert "No space left" in machine.exec("head -c 9000000 /dev/zero > big").stderr
    machine.exec("rm big", check=True)
    script = "printf '#!/bin/sh\\necho ran\\n' > {0}; chmod 755 {0}; {0}"
    assert machine.exec(script.format("./it")).stdout == "ran\n"
    assert "denied" in machine.exec(script.format("/tmp/it")).stderr
    machine = make_machine(MachineSpec("fixed", home_read_only=True))
    assert "Read-only" in machine.exec("touch it").stderr


def test_programs_can_be_missing_or_replaced(make_machine: MakeMachine) -> None:
    script = "#!/bin/sh\necho aarch64\n"
    spec = MachineSpec(
        "odd",
        rsync=False,
        lacks=("gzip",),
        files={"/usr/local/bin/uname": (script, 0o755), "/home/ada/a/b/notes": ("mine", 0o600)},
    )
    machine = make_machine(spec)
    assert machine.exec("command -v rsync gzip").stdout == ""
    assert machine.exec("uname -m; cat a/b/notes").stdout == "aarch64\nmine"
    assert machine.exec("stat -c %U:%a a a/b/notes").stdout == "ada:755\nada:600\n"


def test_no_way_leads_out(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        probe = "import socket, sys; print(socket.socket().connect_ex((sys.argv[1], {})))"
        for address in ("127.0.0.1", "192.0.2.1"):
            done = machine.exec(["python3", "-c", probe.format(port), address])
            assert done.stdout.strip() not in {"", "0"}, address
    assert len(machine.exec("cat /proc/net/route").stdout.splitlines()) == 1


def test_processes_are_seen_from_outside(machine: Machine, client: Client) -> None:
    waiting = subprocess.Popen(client.command("machine", "exec sleep 87.5"))
    command = ("sleep", "87.5")
    wait_until(lambda: [found.command for found in machine.processes("87.5")] == [command])
    (process,) = machine.processes("sleep 87.5")
    assert process.uid == machine.spec.uid
    assert machine.exec(f"cat /proc/{process.pid_inside}/comm").stdout == "sleep\n"
    os.kill(process.pid, signal.SIGKILL)
    assert waiting.wait(10) != 0
    wait_until(lambda: not machine.processes())


# Faults


def test_a_cut_network_holds_everything_back_and_closes_nothing(
    make_machine: MakeMachine, client: Client
) -> None:
    machine = make_machine(MachineSpec("cut", authorized_key=client.public_key))
    command = client.command("cut", 'while read -r line; do echo "got $line"; done')
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(b"one\n")
        assert session.stdout.readline() == b"got one\n"
        machine.cut_network()
        session.stdin.write(b"two\n")
        answers: list[bytes] = []
        output = session.stdout
        reader = threading.Thread(target=lambda: answers.append(output.readline()))
        reader.start()
        with pytest.raises(subprocess.TimeoutExpired):
            client.ssh("cut", "true", timeout_s=1)
        assert not answers
        assert session.poll() is None
        machine.restore_network()
        reader.join(10)
        assert answers == [b"got two\n"]
        session.stdin.close()
        assert session.wait(10) == 0


def test_connections_can_be_reset_or_killed(machine: Machine, client: Client) -> None:
    for fault in (machine.reset_connections, machine.kill_sshd_sessions):
        # The next round must not take this one's process, which may be dying, for its own.
        wait_until(lambda: not machine.processes("sleep 87.6"))
        command = client.command("machine", "sleep 87.6")
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as waiting:
            try:
                wait_until(lambda: machine.processes("sleep 87.6"))
                fault()
                assert waiting.wait(10) == 255
            finally:
                waiting.kill()
        wait_until(lambda: not machine.processes("sshd: "))
        for process in machine.processes("sleep 87.6"):
            os.kill(process.pid, signal.SIGKILL)
    assert client.ssh("machine", "true").returncode == 0


def test_sshd_can_be_away_and_come_back_with_another_key(
    make_machine: MakeMachine, client: Client
) -> None:
    machine = make_machine(MachineSpec("moving", authorized_key=client.public_key))
    assert client.ssh("moving", "true").returncode == 0
    machine.stop_sshd()
    assert client.ssh("moving", "true").returncode == 255
    machine.start_sshd()
    assert client.ssh("moving", "true").returncode == 0
    machine.rotate_host_key()
    assert "IDENTIFICATION HAS CHANGED" in client.ssh("-o", "LogLevel=INFO", "moving").stderr


def test_the_relay_passes_much_on_many_connections(machine: Machine, client: Client) -> None:
    size = 20_000_000
    commands = [
        subprocess.Popen(
            client.command("machine", f"head -c {size} /dev/zero; cat"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    counts = []
    for command in commands:
        out, _ = command.communicate(b"x" * 1_000_000, timeout=15)
        counts.append(len(out))
    assert counts == [size + 1_000_000] * 4
    wait_until(lambda: not machine.relay.connections)


# The end


def test_a_stopped_machine_leaves_nothing(client: Client) -> None:
    with Machine(default_spec(client)) as machine:
        pid = machine.pid
        machine.exec("exec >/dev/null 2>&1; sleep 87.7 & (setsid sleep 87.7 &)", check=True)
        wait_until(lambda: len(machine.processes("sleep 87.7")) == 2)
    assert not Path(f"/proc/{pid}").exists()
    assert not machine.is_running
    machine.stop()


def test_nothing_is_left_when_the_tests_are_killed() -> None:
    program = (
        "from tests.rigs.machine import Machine, MachineSpec\n"
        "machine = Machine(MachineSpec())\n"
        "machine.start()\n"
        "machine.exec('sleep 87.8 >/dev/null 2>&1 &')\n"
        "print(machine.pid, flush=True)\n"
        "input()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        namespace = namespaces.inode(int(holder.stdout.readline()))
        assert len(namespaces.members(namespace)) >= 3
        holder.kill()
    wait_until(lambda: not namespaces.members(namespace), timeout_s=2)
    assert "rh-machine" not in Path("/proc/self/mounts").read_text()
    assert not [path for path in Path("/tmp").glob("rh-machine-*") if path.stat().st_uid]


def test_an_ssh_process_that_is_left_is_found(tmp_path: Path) -> None:
    script = ["-c", "read -r _", f"{tmp_path}/ssh/socket"]
    with subprocess.Popen(["ssh", *script], executable="/bin/sh", stdin=subprocess.PIPE) as left:
        wait_until(lambda: ssh_processes(str(tmp_path)) == [left.pid])
        assert left.stdin is not None
        left.stdin.close()
    assert ssh_processes(str(tmp_path)) == []


def test_it_is_said_why_there_can_be_no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    namespaces.why_not.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("shutil.which", lambda *_args, **_options: None)
        assert "apt-get install" in (namespaces.why_not() or "")
        assert "openssh-server" in (namespaces.why_not() or "")
    namespaces.why_not.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: 1000)
        assert "run as root" in (namespaces.why_not() or "")
        with pytest.raises(pytest.skip.Exception, match="run as root"):
            Machine().start()
    namespaces.why_not.cache_clear()
