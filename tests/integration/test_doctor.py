"""`rh doctor`: what it finds on a machine that is well, and on ones that are not."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.rigs.cli import Cli, environment, record
from tests.rigs.clusters import private_sshd
from tests.rigs.sshd import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def rh() -> Iterator[Cli]:
    """Give a command line of a user with a home directory, who knows some hosts."""
    with private_sshd() as sshd:
        user = sshd.folder / "user"
        (user / ".ssh").mkdir(parents=True, mode=0o700)
        shutil.copy(sshd.key, user / ".ssh/id_ed25519")
        home = sshd.folder / "rh"
        home.mkdir(mode=0o700)
        environ = environment(home) | {"HOME": str(user)}
        environ |= {"RH_SSH_CONFIG": str(sshd.config), "RH_SSH_PERSIST_S": "1"}
        environ.pop("SSH_AUTH_SOCK", None)
        creds = [{"ssh_private_key": str(sshd.key)}]
        record(home, "box", host=[sshd.address], ssh_creds=creds, python=sys.executable)
        record(home, "odd", host=[sshd.address], ssh_creds=creds, python="/no/python")
        record(home, "gone", host=[f"127.0.0.1:{free_port()}"])
        cli = Cli(home, sshd.address, environ)
        yield cli
        cli("stop", "box")


def _checks(rh: Cli, *words: str, code: int = 0, **environ: str) -> dict[str, dict[str, Any]]:
    """Return what was found, by name."""
    environ = rh.environ | environ
    told = Cli(rh.home, rh.address, environ)("doctor", *words, "--json")
    assert told.returncode == code, told
    answer = json.loads(told.stdout)
    assert answer["ok"] == (code == 0)
    return {check["name"]: check for check in answer["checks"]}


def test_all_is_well(rh: Cli) -> None:
    found = _checks(rh, "box")
    assert {check["state"] for check in found.values()} == {"ok"}, found
    assert found["ssh"]["found"].startswith("OpenSSH_")
    assert found["keys"]["found"] == "1 in ~/.ssh, 0 in the agent"
    assert found["saved clusters"]["found"] == f"3 in {rh.home}/clusters"
    assert found["login"]["found"].startswith("127.0.0.1, first command after")
    assert sys.executable in found["Python"]["found"] or "python" in found["Python"]["found"]
    assert found["server"]["found"] == "not running; the first use starts it"


def test_a_running_server_is_told_of_and_left_alone(rh: Cli) -> None:
    rh.json("up", "box")
    pid = rh.json("status", "box")["pid"]
    assert f"pid {pid}, 0 running, 0 objects" in _checks(rh, "box")["server"]["found"]
    assert rh.json("status", "box")["pid"] == pid


def test_lines_are_shown_for_people(rh: Cli) -> None:
    done = rh("doctor", "gone")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok       runhouse        ")
    assert lines[-1].startswith("failed   host            127.0.0.1")
    assert "Nothing listens on its SSH port" in lines[-1]


def test_a_python_that_is_not_there_fails(rh: Cli) -> None:
    found = _checks(rh, "odd", code=1)["Python"]
    assert found["state"] == "failed"
    assert "/no/python cannot be used" in found["found"]


def test_a_cluster_that_nobody_knows_fails(rh: Cli) -> None:
    assert "There is no cluster 'bax'" in _checks(rh, "bax", code=1)["cluster"]["found"]


def test_this_machine_is_looked_at_too(rh: Cli) -> None:
    assert _checks(rh, "local")["login"]["found"].startswith("localhost")


def test_open_keys_and_directories_are_warned_of(rh: Cli, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    key = tmp_path / ".ssh/id_rsa"
    key.write_text("not a real one")
    key.chmod(0o644)
    home = tmp_path / "open"
    home.mkdir(mode=0o755)
    found = _checks(rh, HOME=str(tmp_path), RH_HOME=str(home))
    assert (found["keys"]["state"], found["keys"]["advice"]) == ("warning", f"chmod go= {key}")
    assert found["directory"]["advice"] == f"chmod go= {home}"
    key.unlink()
    found = _checks(rh, HOME=str(tmp_path), RH_HOME=str(home / "new"))
    assert found["keys"]["found"] == "none in ~/.ssh, and none in an agent"
    assert "which is made when it is needed" in found["directory"]["found"]


def test_missing_programs_and_settings_are_told(rh: Cli, tmp_path: Path) -> None:
    found = _checks(rh, code=1, PATH=str(tmp_path))
    assert (found["ssh"]["state"], found["rsync"]["state"]) == ("failed", "warning")
    assert "install an OpenSSH client" in found["ssh"]["advice"]
    broken = tmp_path / "ssh"
    broken.write_text("#!/bin/sh\necho no such library >&2\nexit 127\n")
    broken.chmod(0o755)
    assert _checks(rh, code=1, PATH=str(tmp_path))["ssh"]["found"].endswith("no such library")
    found = _checks(rh, code=1, RH_CONNECT_TIMEOUT_S="soon")
    assert "RH_CONNECT_TIMEOUT_S" in found["settings"]["found"]
    found = _checks(rh, code=1, RH_REGISTRY="nowhere://x")
    assert found["saved clusters"]["state"] == "failed"


def test_a_directory_that_cannot_be_written_to_fails(rh: Cli, tmp_path: Path) -> None:
    note = tmp_path / "file"
    note.write_text("")
    found = _checks(rh, code=1, RH_HOME=str(note))
    assert found["directory"]["state"] == "failed"
