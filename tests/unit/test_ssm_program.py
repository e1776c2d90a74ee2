"""The command line of the proxy command."""

from __future__ import annotations

import subprocess
import sys

import pytest

_WITHOUT = """
import runpy, sys
sys.modules[{module!r}] = None
sys.argv[1:] = ["mi-1"]
runpy.run_module("runhouse.ssh.ssm", run_name="__main__", alter_sys=True)
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)


def test_the_help_has_an_example() -> None:
    done = run("-m", "runhouse.ssh.ssm", "--help")
    assert done.returncode == 0
    assert "ProxyCommand='python -m runhouse.ssh.ssm %h --port %p'" in done.stdout


@pytest.mark.parametrize("port", ["0", "70000", "ssh", "-1"])
def test_a_wrong_port_is_told(port: str) -> None:
    done = run("-m", "runhouse.ssh.ssm", "mi-1", f"--port={port}")
    assert done.returncode == 2
    assert f"{port!r} is no port; give a number from 1 to 65535" in done.stderr


@pytest.mark.parametrize("module", ["botocore", "websockets"])
def test_a_missing_part_is_told_with_the_command_that_brings_it(module: str) -> None:
    done = run("-c", _WITHOUT.format(module=module))
    assert done.returncode == 1
    assert done.stderr.startswith("runhouse.ssh.ssm: ")
    assert "pip install 'runhouse[sagemaker]'" in done.stderr
    assert "Traceback" not in done.stderr
