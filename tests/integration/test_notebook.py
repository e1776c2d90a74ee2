"""JupyterLab, kernels and IPython on a real host: in a browser, a terminal, and Jupyter here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from playwright.sync_api import TimeoutError as NotThereError

import runhouse as rh
from runhouse.clusters.jupyter import Jupyter
from runhouse.clusters.notebook import Lab
from tests.rigs.browser import running_browser
from tests.rigs.cli import RH, Cli, environment, on_terminal, record
from tests.rigs.clusters import PrivateSshd, private_sshd
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.timeout(120), pytest.mark.root]

CELL = """\
import sys
import runhouse as rh

def double(x):
    return 2 * x

print(rh.function(double).to(rh.here)(21), "in", sys.executable)
stopped = rh.here.stop()
"""


@pytest.fixture(scope="module")
def sshd() -> Iterator[PrivateSshd]:
    with private_sshd() as made:
        yield made


@pytest.fixture(scope="module")
def box(sshd: PrivateSshd) -> Iterator[rh.Cluster]:
    made = sshd.cluster("box")
    yield made
    made.stop()
    made.disconnect()


@pytest.fixture(scope="module")
def cli(sshd: PrivateSshd) -> Cli:
    """Give the command line of a user who knows the same host."""
    home = sshd.folder / "rh"
    home.mkdir(mode=0o700)
    environ = environment(home) | {"RH_SSH_CONFIG": str(sshd.config), "RH_SSH_PERSIST_S": "1"}
    environ["JUPYTER_DATA_DIR"] = str(sshd.folder / "jupyter")
    record(home, "box", host=[sshd.address], ssh_creds=[sshd.creds], python=sys.executable)
    return Cli(home, sshd.address, environ)


def ask(lab: Lab, path: str, *, method: str = "GET", body: Any = None) -> Any:
    """Use Jupyter's own API."""
    answer = requests.request(
        method,
        f"http://127.0.0.1:{lab.port}/api/{path}",
        json=body,
        headers={"Authorization": f"token {lab.token}"},
        timeout=20,
    )
    answer.raise_for_status()
    return answer.json() if answer.content else None


def put_notebook(lab: Lab, name: str, source: str) -> None:
    cell: dict[str, Any] = {"cell_type": "code", "source": source, "metadata": {}, "outputs": []}
    cell |= {"execution_count": None, "id": "first"}
    kernel = {"kernelspec": {"name": "runhouse", "display_name": "Python", "language": "python"}}
    content = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    body = {"type": "notebook", "format": "json", "content": content}
    ask(lab, f"contents/{name}", method="PUT", body=body)


def is_running(box: rh.Cluster, name: str = "default") -> bool:
    locks = f"~/.rh/hosts/*/notebooks/{name}/lock"
    code = f'for lock in {locks}; do flock --nonblock "$lock" true || exit 0; done; exit 1'
    return box.run(code, stream_logs=False)[0][0] == 0


# -- JupyterLab -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(box: rh.Cluster) -> Iterator[Lab]:
    """Have one for the tests that leave it as it is; it ends with them."""
    with box.open_notebook(env="lab", port=18888) as opened:
        yield opened
    assert not is_running(box, "lab")


def test_a_cell_runs_in_a_browser(box: rh.Cluster, lab: Lab) -> None:
    put_notebook(lab, "first.ipynb", CELL)
    with running_browser() as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{lab.port}/lab/tree/first.ipynb?token={lab.token}")
        indicator = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
        page.locator(indicator).first.wait_for(timeout=60_000)
        assert not page.get_by_text("Jupyter news").count()
        output = page.locator(".jp-OutputArea-output pre").first
        dialog = page.locator(".jp-Dialog button.jp-mod-accept")
        for _ in range(3):  # JupyterLab may still change to another kernel, and then asks for one
            if dialog.count():
                dialog.click()
            page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
            page.keyboard.press("Shift+Enter")
            with suppress(NotThereError):
                output.wait_for(timeout=10_000)
                break
        assert output.inner_text().strip() == f"42 in {sys.executable}"
    box.run("rm first.ipynb", stream_logs=False)
    assert list(ask(lab, "kernelspecs")["kernelspecs"]) == ["runhouse"], "no Python of Jupyter's"


def test_it_needs_its_token_and_keeps_it_to_itself(box: rh.Cluster, lab: Lab) -> None:
    answer = requests.get(f"http://127.0.0.1:{lab.port}/api/contents", timeout=20)
    assert answer.status_code == 403
    shown = box.run(["ps -eo args", "cat ~/.rh/hosts/*/notebooks/*/log"], stream_logs=False)
    assert all(lab.token not in out for _, out, _ in shown)
    modes = box.run("stat -c %a ~/.rh/hosts/*/notebooks/lab", stream_logs=False)
    assert modes[0][1] == "700\n"


def test_it_is_found_again_and_a_port_that_is_taken_is_passed_over(
    box: rh.Cluster, lab: Lab
) -> None:
    with box.open_notebook(env="lab", port=lab.port, persist=True) as second:
        assert (lab.reused, second.reused, second.token) == (False, True, lab.token)
        assert second.port == lab.port + 1


def test_what_changes_comes_back_and_nothing_is_lost(
    box: rh.Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "model.py").write_text("depth = 1\n")
    (tmp_path / "both.py").write_text("a = 1\n")
    with box.open_notebook(project=tmp_path) as lab:
        assert ask(lab, "contents/model.py")["content"] == "depth = 1\n"
        for name, text in (("model.py", "depth = 2\n"), ("both.py", "a = 2\n"), ("new.py", "n\n")):
            body = {"type": "file", "format": "text", "content": text}
            ask(lab, f"contents/{name}", method="PUT", body=body)
        (tmp_path / "both.py").write_text("a = 1  # and here\n")
    assert (tmp_path / "model.py").read_text() == "depth = 2\n"
    assert (tmp_path / "new.py").read_text() == "n\n"
    assert (tmp_path / "both.py").read_text() == "a = 1  # and here\n"
    assert (tmp_path / "both.from-127.0.0.1.py").read_text() == "a = 2\n"
    assert "both.py has changed here too" in capfd.readouterr().err


@contextmanager
def notebook_command(cli: Cli, *words: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """Run `rh notebook`, and tell what it says; it is killed in the end."""
    process = subprocess.Popen(
        [RH, "notebook", "box", "--json", *words],
        env=cli.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


def test_one_whose_client_was_killed_is_found_again(box: rh.Cluster, cli: Cli) -> None:
    with notebook_command(cli) as (process, first):
        process.kill()
        process.wait()
    assert is_running(box), "kernels go on"
    with notebook_command(cli, "--persist") as (process, second):
        assert (second["reused"], second["token"]) == (True, first["token"])
        assert process.stderr is not None
        told = iter(process.stderr.readline, "")
        assert any("Leave it with Ctrl-C" in line for line in told)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, "Closing the notebook" in err) == (0, True), err
    assert is_running(box), "as it is to persist"
    with notebook_command(cli) as (process, third):
        assert third["token"] == first["token"]
        jupyter = Jupyter(box.host_of(), "default", "lab")
        ask(Lab(jupyter, third["port"], third["token"], reused=True), "shutdown", method="POST")
        assert process.wait(30) == 0, "it tells that it has ended by itself"
    assert not is_running(box)


def test_what_keeps_it_from_starting_is_told(box: rh.Cluster) -> None:
    jupyter = Jupyter(box.host_of(), "broken", "lab")
    with pytest.raises(rh.errors.NotebookError, match="JupyterLab did not start") as e:
        jupyter.start(box.workplace(), directory="/no/such/directory")
    assert "/no/such/directory" in e.value.output_tail
    assert not is_running(box, "broken")
    with pytest.raises(ValueError, match="There is no such directory here"):
        box.notebook(sync_package_on_close="/no/such")
    with pytest.raises(ValueError, match="port_forward cannot be 0"):
        box.notebook(port_forward=0)


def test_what_nobody_holds_is_ended(box: rh.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runhouse.clusters.jupyter._ORPHAN_S", 0.5)
    jupyter = Jupyter(box.host_of(), "left", "kernel")
    jupyter.start(box.workplace(), directory="~", signature_scheme="hmac-sha256")
    wait_until(lambda: not is_running(box, "left"), timeout_s=20)


# -- kernels of a local Jupyter -------------------------------------------------------------------

_CLIENT = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="rh-box", startup_timeout=60)
def run(code):
    said = []
    hook = lambda message: said.append(message["content"].get("text", ""))
    reply = client.execute_interactive(code, timeout=60, output_hook=hook)
    return reply["content"]["status"], "".join(said)
print(run("import os; x = 6; print(os.environ['SSH_CONNECTION'] != '')"))
print(run("print(7 * x)"))
import threading
threading.Timer(2, manager.interrupt_kernel).start()
print(run("import time; time.sleep(60)")[0])
manager.restart_kernel()
client.wait_for_ready(timeout=60)
print(run("print('x' in globals())"))
manager.shutdown_kernel()
"""


def test_a_local_jupyter_runs_a_kernel_on_the_host(box: rh.Cluster, cli: Cli) -> None:
    told = json.loads(cli("kernel", "install", "box", "--json").stdout)  # the installer is heard
    assert (told["kernel"], told["prepared"]) == ("rh-box", True)
    spec = json.loads(Path(told["path"], "kernel.json").read_text())
    assert spec["display_name"] == "Python on box"
    here = Jupyter(rh.here.host_of(), "tools", "kernel")
    python = here.tools(sys.executable)["jupyter_python"]
    done = subprocess.run(
        [python, "-c", _CLIENT],
        env=cli.environ, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "('ok', 'True\\n')", "('ok', '42\\n')", "error", "('ok', 'False\\n')",
    ], done.stderr  # fmt: skip
    left = "ls ~/.rh/hosts/*/notebooks | grep -c kernel-"
    wait_until(lambda: box.run(left, stream_logs=False)[0][1] == "0\n", timeout_s=20)
    assert cli.json("kernel", "remove", "box") == {"name": "box", "removed": True}
    assert cli.json("kernel", "remove", "box") == {"name": "box", "removed": False}


def test_a_kernel_of_a_host_that_is_away_is_prepared_later(cli: Cli) -> None:
    record(cli.home, "away", host=["away.invalid"])
    done = cli("kernel", "install", "away")
    assert done.returncode == 0
    assert "away cannot be reached now: its first notebook waits" in done.stdout
    assert cli.json("kernel", "remove", "away")["removed"]


def test_what_is_no_connection_file_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("{}")
    done = cli("kernel", "serve", "box", str(tmp_path / "none.json"))
    assert done.returncode == 1
    assert "is no connection file of Jupyter" in done.stderr


# -- IPython --------------------------------------------------------------------------------------


def test_ipython_runs_on_a_terminal(box: rh.Cluster, cli: Cli) -> None:
    box.workplace()
    typed = "import os\nprint('it is', 6 * 7, os.environ['SSH_CONNECTION'] != '')\nexit\n"
    code, shown = on_terminal(cli, ["ipython", "box"], typed)
    assert code == 0
    assert "it is 42 True" in shown
    assert "sys.path" in cli.json("ipython", "box")["command"]
