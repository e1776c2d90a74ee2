"""The command line as a process: what it prints, where, and with which code it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from runhouse.cli.main import app
from tests.rigs.cli import RH, Cli, environment, on_terminal, record
from tests.rigs.clusters import private_sshd
from tests.rigs.commands import below_of, commands
from tests.rigs.gateway import dashboard
from tests.rigs.sshd import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)


COMMANDS = commands()


@pytest.fixture(scope="module")
def rh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Give a command line that knows `box`, a real host, and `gone`, one out of reach."""
    with private_sshd() as sshd:
        home = sshd.folder / "rh"
        home.mkdir(mode=0o700)
        environ = environment(home)
        environ |= {"RH_SSH_CONFIG": str(sshd.config), "RH_SSH_PERSIST_S": "1"}
        creds = [{"ssh_private_key": str(sshd.key)}]
        record(home, "box", host=[sshd.address], ssh_creds=creds, python=sys.executable)
        record(home, "gone", host=[f"127.0.0.1:{free_port()}"])
        cli = Cli(home, sshd.address, environ)
        yield cli
        cli("stop", "box")
        cli("stop", "local")


# -- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", sorted(COMMANDS), ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="rh", color=True)
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    if not below_of(COMMANDS[words]):
        assert f"Example:\n    rh {' '.join(words)}" in done.output
        assert "--json" in done.output


def test_the_help_of_all_tells_the_exit_codes(rh: Cli) -> None:
    done = rh("--help")
    assert "Exit codes:" in done.stdout
    assert "  3  the cluster is not up" in done.stdout
    assert all(f"\n  {command} " in done.stdout for command in below_of(COMMANDS[()]))
    assert "..." not in done.stdout.split("Commands:")[1], "no line is cut"
    assert rh("--version").stdout.startswith("runhouse 0.")


def test_what_is_wrong_is_told_with_what_is_near(rh: Cli) -> None:
    done = rh("statsu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'status', 'start'?" in done.stderr
    assert rh("run", "box").returncode == 2
    assert rh("status", "--jsno").returncode == 2
    assert rh("up", "no good").returncode == 2


# -- one cluster ---------------------------------------------------------------------------------


def test_a_cluster_s_life(rh: Cli) -> None:
    assert rh.json("status", "box", code=3) == {"name": "box", "up": False}
    not_up = rh("status", "box")
    assert (not_up.returncode, not_up.stderr) == (3, "")
    assert "rh up box" in not_up.stdout
    assert rh.json("up", "box") == {"name": "box", "up": True}
    assert rh("up", "box").stdout == "box is up.\n"
    status = rh.json("status", "box")
    assert (status["name"], status["up"], status["nodes"][0]["cpus"] > 0) == ("box", True, True)
    shown = rh("status", "box").stdout
    assert f"server pid {status['pid']} " in shown
    assert "NODE" in shown
    assert f"pid {status['pid']}" in rh("logs", "box").stdout
    assert f"pid {status['pid']}" in rh.json("logs", "box")["logs"]
    assert rh.json("stop", "box") == {"name": "box", "stopped": True}
    assert rh("stop", "box").stdout == "box was not running.\n"


def test_this_machine_is_there_by_itself(rh: Cli) -> None:
    assert rh.json("status", code=3) == {"name": "local", "up": False}
    assert rh.json("up") == {"name": "local", "up": True}
    assert rh.json("status", "local")["up"] is True
    assert rh("run", "local", "--", "echo", "a  b").stdout == "a  b\n"
    assert rh.json("stop") == {"name": "local", "stopped": True}


def test_objects_and_runs_of_a_host(rh: Cli) -> None:
    assert rh("put", "box", "text", '"abc"').stdout == "text was put.\n"
    assert rh("keys", "box").stdout == "text\n"
    assert rh("call", "box", "text.upper").stdout == "'ABC'\n"
    words = ["text.replace", "--arg", "a", "--arg", "x", "--background", "--run-name", "there"]
    assert rh("call", "box", *words).stdout == "there\n"
    assert rh("result", "there", "-c", "box", "--wait").stdout == "'xbc'\n"
    assert rh.json("logs", "there", "-c", "box") == {"name": "there", "logs": ""}
    assert [run["key"] for run in rh.json("runs", "box")] == ["there"]
    assert rh("result", "there").returncode == 4, "it is not on this machine"
    assert rh("delete", "box", "text").returncode == 0
    assert rh("stop", "box").returncode == 0


def test_the_list_has_all_even_what_cannot_be_used(rh: Cli) -> None:
    record(rh.home, "strange", kind="teapot")
    done = rh("list", "--json")
    assert done.returncode == 0
    found = {each["name"]: each for each in json.loads(done.stdout)}
    assert {"box", "gone", "local", "strange"} <= set(found)
    assert found["box"]["host"] == [rh.address]
    assert found["strange"]["error"] == "RecordError"
    assert "Traceback" not in done.stderr
    assert "teapot" in done.stderr
    lines = rh("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "HOSTS"]
    assert rh("forget", "strange", "--yes").returncode == 0


def test_forgetting_asks_first(rh: Cli) -> None:
    record(rh.home, "old", host=["old.invalid"])
    assert "no terminal on which to ask" in rh("forget", "old").stderr
    refused = rh.json("forget", "old", code=2)
    assert (refused["forgotten"], "--yes" in refused["message"]) == (False, True)
    assert "old" in rh("list").stdout
    assert rh.json("forget", "old", "--yes") == {"name": "old", "forgotten": True}
    assert "old" not in rh("list").stdout
    near = rh("forget", "bx", "--yes")
    assert (near.returncode, "Did you mean 'box'?" in near.stderr) == (4, True)


def test_a_record_that_cannot_be_read_can_be_forgotten(rh: Cli) -> None:
    file = rh.home / "clusters" / "broken.json"
    file.write_text("{")
    told = rh("status", "broken")
    assert (told.returncode, told.stdout) == (1, "")
    assert "Traceback" not in told.stderr
    assert rh("forget", "broken", "-y").returncode == 0
    assert not file.exists()


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["status", "nobody"], 4, "ClusterNotFoundError"),
        (["up", "nobody"], 4, "ClusterNotFoundError"),
        (["ssh", "nobody"], 4, "ClusterNotFoundError"),
        (["run", "nobody", "ls"], 255, "ClusterNotFoundError"),
        (["status", "gone"], 5, "HostUnreachableError"),
        (["up", "gone"], 5, "HostUnreachableError"),
        (["stop", "gone"], 5, "HostUnreachableError"),
        (["logs", "gone"], 5, "HostUnreachableError"),
        (["run", "gone", "ls"], 255, "HostUnreachableError"),
        (["run", "box", "ls", "--node", "7"], 255, "ValueError"),
        (["up", "no good"], 2, "InvalidNameError"),
        (["up", "a@b:port"], 2, "ValueError"),
    ],
)
def test_errors_are_one_message_and_a_code(rh: Cli, words: list[str], code: int, kind: str) -> None:
    done = rh(*words, "--json")
    assert done.returncode == code
    told = json.loads(done.stdout)
    assert (told["error"], told["name"]) == (kind, words[1])
    assert done.stderr == f"Error: {told['message']}\n"


def test_a_setting_that_cannot_be_used_is_told(rh: Cli) -> None:
    done = rh("list", RH_SSH_PERSIST_S="soon")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The setting ssh_persist_s cannot be used.")


# -- run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local", "box"])
def test_run_passes_on_the_code_and_both_streams(rh: Cli, name: str) -> None:
    done = rh("run", name, "--", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert rh("run", name, "--", "printf", "%s|", "a b", "$HOME", "-x").stdout == "a b|$HOME|-x|"
    told = rh("run", name, "--json", "--", "echo out; echo err >&2; exit 3")
    assert (told.returncode, told.stderr) == (3, "")
    assert json.loads(told.stdout) == [{"exit_code": 3, "stdout": "out\n", "stderr": "err\n"}]


def test_run_takes_a_host_that_is_not_saved(rh: Cli) -> None:
    environ = {"RH_SSH_CONFIG": rh.environ["RH_SSH_CONFIG"]}
    assert rh("run", rh.address, "--", "echo hello", **environ).stdout == "hello\n"
    assert rh("run", "box", "--node", "all", "--", "echo hello").stdout == "hello\n"


def test_run_survives_a_terminal_without_unicode(rh: Cli) -> None:
    done = rh("run", "local", "--", "echo ü", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout, done.stderr) == (0, "?\n", "")


def test_output_that_nobody_reads_is_no_error(rh: Cli) -> None:
    line = f'"{RH}" run local -- "yes | head -n 100000" | head -n 1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", line],
        env=rh.environ, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (141, "y\n", "")


@pytest.mark.parametrize("name", ["local", "box"])
def test_ctrl_c_ends_with_130(rh: Cli, name: str) -> None:
    mark = f"{os.getpid()}{time.monotonic_ns()}"
    process = subprocess.Popen(
        [RH, "run", name, "--", f"echo started; exec sleep 97{mark}"],
        env=rh.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err
    wait_until(lambda: not _runs(f"97{mark}"))


def _runs(word: str) -> bool:
    command = ["pgrep", "-f", f"sleep {word}"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


# -- a shell, on a terminal ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local", "box"])
def test_ssh_gives_a_shell(rh: Cli, name: str) -> None:
    code, shown = on_terminal(rh, ["ssh", name], "echo $((40+2)); exit 5\n")
    assert code == 5
    assert "42" in shown
    login = rh.json("ssh", name)
    assert (login["name"], bool(login["ssh_creds"])) == (name, name == "box")


def test_a_terminal_gets_no_color_either(rh: Cli) -> None:
    code, shown = on_terminal(rh, ["list"], "")
    assert code == 0
    assert "box" in shown
    assert "\x1b" not in shown


# -- completion ----------------------------------------------------------------------------------


def test_the_shell_completes_commands_and_clusters(rh: Cli) -> None:
    def complete(words: str, **environ: str) -> list[str]:
        variables = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), **environ}
        done = rh(_RH_COMPLETE="complete_bash", **variables)
        assert done.stderr == ""
        return done.stdout.split()

    assert complete("rh st") == ["status", "stop", "start"]
    assert complete("rh status b") == ["box"]
    assert set(complete("rh run ")) >= {"box", "gone", "local"}
    assert complete("rh status b", RH_SSH_PERSIST_S="soon") == []
    assert "_RH_COMPLETE=complete_bash" in rh(_RH_COMPLETE="source_bash").stdout


# -- the server of the host itself ---------------------------------------------------------------


def test_the_host_s_own_server_is_the_one_that_clients_find(rh: Cli) -> None:
    """Run `rh server` on the host of `box`, as its user would who has logged in there."""

    def there(*words: str) -> tuple[int, Any]:
        done = rh("run", "box", "--json", "--", RH, "server", *words, "--json")
        (output,) = json.loads(done.stdout)
        assert output["stdout"], output
        return output["exit_code"], json.loads(output["stdout"])

    name = os.uname().nodename
    assert there("status") == (3, {"name": name, "up": False})
    code, started = there("start")
    assert (code, started["up"], started["name"]) == (0, True, name)
    assert there("start") == (0, started), "one server is enough"
    assert rh.json("status", "box")["pid"] == started["pid"]
    assert rh.json("up", "box") == {"name": "box", "up": True}
    assert there("status")[1]["pid"] == started["pid"]
    assert rh("run", "box", "--", RH, "server", "status").stdout.startswith(f"{name} is up")
    assert there("stop") == (0, {"name": name, "stopped": True})
    assert there("stop") == (0, {"name": name, "stopped": False})
    assert rh("status", "box").returncode == 3


# -- the dashboard -------------------------------------------------------------------------------


def test_a_dashboard_shows_a_host_through_its_connection(rh: Cli) -> None:
    assert rh("up", "box").returncode == 0
    with dashboard(rh.environ, "box") as gateway:
        told = gateway("GET", "/whoami")[1]
        assert (told["cluster"], told["clusters"]) == ("box", ["box", "local", "gone"])
        status = gateway("GET", "/at/box/status")[1]
        assert status["pid"] == rh.json("status", "box")["pid"]
        assert len(gateway("GET", "/at/box/nodes")[1]["nodes"][0]["samples"]) >= 1
        found = {each["name"]: each["state"] for each in gateway("GET", "/clusters")[1]["clusters"]}
        assert (found["box"], found["gone"]) == ("up", "unknown")
        assert gateway("POST", "/clusters/box/stop", {})[1]["stopped"]
        status, problem = gateway("GET", "/at/box/status")
        assert (status, "server does not run" in problem["detail"]) == (503, True), problem
