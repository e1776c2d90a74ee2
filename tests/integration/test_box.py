"""The machines that the tests use are what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.box import USER, Machine, MachineSpec
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


def ssh(machine: Machine, command: str, timeout: float = 15) -> subprocess.CompletedProcess[str]:
    """Run a command over SSH with the plain client."""
    options = ["-F", str(machine.config), "-o", "StrictHostKeyChecking=accept-new"]
    argv = ["ssh", *options, "-o", "BatchMode=yes", machine.spec.name, command]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)


def test_a_machine_is_a_world_of_its_own() -> None:
    with Machine(MachineSpec(home="/home/ada lovelace", name="engine")) as machine:
        done = ssh(machine, 'pwd; id -un; hostname; command -v python3; echo $$ > "$HOME/f"')
        assert done.stdout.split("\n")[:4] == [
            "/home/ada lovelace",
            USER,
            "engine",
            "/usr/local/bin/python3",
        ], done.stderr
        assert ssh(machine, "python3 -c 'print(6*7)'").stdout == "42\n"
        assert machine.path("/home/ada lovelace/f").read_text()
        assert not Path("/home/ada lovelace").exists()
        assert ssh(machine, "cat /proc/net/route | wc -l").stdout.strip() == "1"
        assert any("sshd" in line for line in machine.processes().values())


def test_only_the_pythons_that_were_asked_for_are_there() -> None:
    with Machine(MachineSpec(pythons=(), python_names=())) as machine:
        assert ssh(machine, "command -v python3 python; ls /pythons").stdout == ""


def test_a_line_can_be_cut_and_restored() -> None:
    with Machine() as machine:
        assert machine.relay is not None
        assert ssh(machine, "echo yes").stdout == "yes\n"
        machine.relay.cut()
        with pytest.raises(subprocess.TimeoutExpired):
            ssh(machine, "echo no", timeout=1)
        machine.relay.restore()
        assert ssh(machine, "echo yes").stdout == "yes\n"


def test_nothing_is_left_when_the_tests_are_killed() -> None:
    program = """
from tests.rigs.box import Machine
machine = Machine()
machine.start()
print(machine.pid, flush=True)
input()
"""
    argv = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, cwd=ROOT) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        os.kill(holder.pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}/root/run").exists())
    assert str(pid) not in Path("/proc/mounts").read_text()
