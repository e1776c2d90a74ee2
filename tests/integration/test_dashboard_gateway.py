"""What `rh dashboard` serves: to whom, what of it, and what it does to clusters."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from runhouse.server.page import PAGE_HEADERS
from tests.rigs.cli import RH, Cli, local_cli, record, run_python
from tests.rigs.gateway import Gateway, dashboard
from tests.rigs.sshd import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def rh() -> Iterator[Cli]:
    """Give a command line that knows this machine, one that is out of reach, and a bad record."""
    with local_cli() as cli:
        sent = "for name in ('add', 'wait'): rh.function(getattr(sample, name)).to(rh.here)\n"
        run_python(cli, f"{sent}rh.here.put('a', 1)\n")
        record(cli.home, "far-away", host=["127.0.0.1"], ssh_port=free_port())
        record(cli.home, "broken", host=7)
        yield cli


@pytest.fixture(scope="module")
def gateway(rh: Cli) -> Iterator[Gateway]:
    """Give the dashboard of this machine."""
    with dashboard(rh.environ) as made:
        yield made


def test_it_is_for_those_with_its_own_token_only(rh: Cli, gateway: Gateway) -> None:
    own = next(rh.home.rglob("token")).read_text()
    for path in ("/whoami", "/clusters", "/at/local/status"):
        assert gateway("GET", path)[0] == 200
        for token in ("", "wrong", own):
            assert gateway("GET", path, token=token)[0] == 401
    assert own not in json.dumps([gateway("GET", p) for p in ("/whoami", "/clusters")])
    assert gateway("POST", "/clusters/local/stop", {}, token="")[0] == 401


def test_other_names_of_this_machine_lead_nowhere(gateway: Gateway) -> None:
    status, problem = gateway("GET", "/whoami", Host="rebound.example.org")
    assert (status, problem["type"]) == (421, "urn:runhouse:wrong-host")
    assert gateway("GET", "/", Host=f"evil.example:{gateway.port}")[0] == 421
    assert gateway("GET", "/whoami", Host=f"localhost:{gateway.port}")[0] == 200


def test_it_listens_on_this_machine_only(gateway: Gateway) -> None:
    with open("/proc/net/tcp", encoding="ascii") as file:
        listening = [line.split()[1] for line in file if line.split()[3] == "0A"]
    assert f"0100007F:{gateway.port:04X}" in listening
    assert f"00000000:{gateway.port:04X}" not in listening


def test_the_page_is_the_same_as_that_of_a_server(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 200
    assert {name: answer.headers[name] for name in PAGE_HEADERS} == PAGE_HEADERS
    assert b"/page/app.js" in answer.read()
    connection.close()


def test_it_passes_on_what_the_page_needs_and_nothing_else(gateway: Gateway) -> None:
    status = gateway("GET", "/at/local/status")[1]
    assert status["workers"][0]["objects"] == 1
    keys = gateway("GET", "/at/local/keys?sizes=true")[1]["keys"]
    assert [entry["key"] for entry in keys] == ["a"]
    assert gateway("GET", "/at/local/keys?sizes=maybe")[0] == 422
    assert gateway("GET", "/at/local/runs/nothing")[1]["type"] == "urn:runhouse:run-not-found"
    assert gateway("POST", "/at/local/runs/nothing/cancel", {})[0] == 404
    refused = [
        ("GET", "/at/local/call/add?a=1"),
        ("POST", "/at/local/call/add"),
        ("GET", "/at/local/tokens"),
        ("POST", "/at/local/tokens"),
        ("GET", "/at/local/objects/a"),
        ("GET", "/at/local/runs/a/result"),
        ("GET", "/at/local/runs/../tokens"),
        ("POST", "/at/local/runs/cancel"),
        ("POST", "/at/local/status"),
        ("GET", "/at/local//tokens"),
    ]
    for method, path in refused:
        assert gateway(method, path, {} if method == "POST" else None)[0] == 404, path
    assert gateway("DELETE", "/at/local/status")[0] == 405
    assert gateway("PUT", "/clusters/local/stop")[0] == 405
    assert [entry["key"] for entry in gateway("GET", "/at/local/keys")[1]["keys"]] == ["a"]


def test_clusters_are_told_as_they_are(gateway: Gateway) -> None:
    names = gateway("GET", "/whoami")[1]
    assert (names["clusters"], names["cluster"]) == (["local", "far-away"], "local")
    found = {each["name"]: each for each in gateway("GET", "/clusters")[1]["clusters"]}
    assert list(found) == ["local", "broken", "far-away"]
    assert (found["local"]["state"], found["local"]["kind"]) == ("up", "local")
    assert (found["far-away"]["state"], found["far-away"]["hosts"]) == ("unknown", "127.0.0.1")
    assert found["broken"]["state"] == "unusable"
    assert "host" in found["broken"]["error"]


def test_a_cluster_out_of_reach_is_told_as_such(gateway: Gateway) -> None:
    status, problem = gateway("GET", "/at/far-away/status")
    assert (status, problem["type"]) == (503, "urn:runhouse:unavailable")
    assert "cannot be reached" in problem["detail"]
    status, problem = gateway("GET", "/at/nothing/status")
    assert status == 503
    assert "nothing" in problem["detail"]
    assert gateway("GET", "/at/local/status")[0] == 200


def test_output_comes_while_it_is_made_and_ends_with_its_reader(rh: Cli, gateway: Gateway) -> None:
    lines = "f = rh.function(sample.speak_and_wait).to(rh.here).options(run_name='live')\n"
    run_python(rh, f"{lines}f.run('hello', 60)\n")
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    headers = {"Authorization": f"Bearer {gateway.token}"}
    connection.request("GET", "/at/local/runs/live/logs?follow=true", headers=headers)
    answer = connection.getresponse()
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.readline() == b"event: log\n"
    assert gateway("GET", "/at/local/status")[1]["running"] == 1
    answer.close()
    connection.close()
    assert gateway("POST", "/at/local/runs/live/cancel", {})[1]["name"] == "live"
    wait_until(lambda: gateway("GET", "/at/local/runs/live")[1]["status"] == "cancelled")


def test_a_cluster_is_stopped_and_this_machine_comes_back(rh: Cli, gateway: Gateway) -> None:
    before = gateway("GET", "/at/local/status")[1]["pid"]
    assert gateway("POST", "/clusters/local/stop", {}) == (200, {"name": "local", "stopped": True})
    assert gateway("GET", "/clusters")[1]["clusters"][0]["state"] == "down"
    assert gateway("GET", "/at/local/status")[1]["pid"] != before
    rh("stop")
    assert gateway("GET", "/at/local/status")[0] == 200  # also when somebody else has stopped it
    assert gateway("POST", "/clusters/local/keep-warm", {})[1]["autostop_mins"] == -1
    assert gateway("POST", "/clusters/nothing/stop", {})[0] == 503
    assert gateway("POST", "/clusters/local/stop", {"force": True})[0] == 422


# -- the command ---------------------------------------------------------------------------------


def test_a_browser_is_led_there_by_a_file_for_this_user_only(rh: Cli) -> None:
    opener = rh.home / "open"
    opener.write_text('#!/bin/sh\nprintf "%s" "$1" >"$RH_HOME/opened"\n')
    opener.chmod(0o755)
    environ = rh.environ | {"BROWSER": f"{opener} %s", "DISPLAY": ":9"}
    command = [RH, "dashboard", "--port", str(free_port())]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[-1]
        assert line == f"The dashboard of local is at {url}\n"
        assert Gateway(url).port == int(command[-1])
        opened = rh.home / "opened"
        wait_until(lambda: opened.exists() and opened.read_text())
        file = next((rh.home / "dashboard").glob("*.html"))
        assert opened.read_text() == file.as_uri()
        assert url in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert not file.exists()


def test_what_cannot_be_shown_is_told(rh: Cli) -> None:
    assert rh.json("dashboard", "far-away", code=5)["error"] == "HostUnreachableError"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = rh("dashboard", "--port", port)
    assert done.returncode == 1
    assert f"The port {port} cannot be used. Address already in use." in done.stderr
