"""What those who watch a server are told over HTTP, and the page on which people look at it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import runhouse as rh
from runhouse.server.page import PAGE_HEADERS, PAGE_PATHS
from tests.integration import sample
from tests.rigs.http import Http
from tests.rigs.http_api import api as api
from tests.waiting import is_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def looking(api: Http) -> Iterator[Http]:
    """Give the API with a token that only looks."""
    yield Http(api.path, rh.here.tokens.create("look", read_only=True))
    rh.here.tokens.revoke("look")


# -- the page ------------------------------------------------------------------------------------


def test_the_page_needs_no_token_and_tells_nothing(api: Http) -> None:
    nobody = Http(api.path, "")
    assert {"/", "/page/app.js", "/page/style.css"} <= PAGE_PATHS
    host = rh.here.status().nodes[0].hostname
    for path in PAGE_PATHS:
        answer = nobody("GET", path)
        assert answer.status == 200, path
        assert {name: answer.headers[name] for name in PAGE_HEADERS} == PAGE_HEADERS
        assert api.token not in answer.body.decode()
        assert not re.search(rf"\b{re.escape(host)}\b", answer.body.decode())
    assert nobody("GET", "/").headers["content-type"] == "text/html; charset=utf-8"
    for path in ("/page/nothing.js", "/page/index.html", "/page/..%2Fapp.py", "/page/%2Fetc"):
        nobody("GET", path).problem(401, "unauthorized")
        api("GET", path).problem(404, "not-found")


def test_the_page_has_no_inline_code_and_loads_nothing_from_elsewhere(api: Http) -> None:
    html = api("GET", "/").body.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)
    for path in PAGE_PATHS:
        text = api("GET", path).body.decode()
        outside = set(re.findall(r"https?://[^\s\"'<>]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not outside, path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


# -- figures -------------------------------------------------------------------------------------


def test_a_token_is_told_whose_it_is(api: Http, looking: Http) -> None:
    host = rh.here.status().nodes[0].hostname
    assert api("GET", "/whoami").json == {"name": "owner", "read_only": False, "host": host}
    assert looking("GET", "/whoami").json == {"name": "look", "read_only": True, "host": host}
    Http(api.path, "wrong")("GET", "/whoami").problem(401, "unauthorized")


def test_nodes_are_told_with_how_busy_they_were(looking: Http) -> None:
    before = time.time()
    told = looking("GET", "/nodes").json
    [node] = told["nodes"]
    assert node["cpus"] == rh.here.status().nodes[0].cpus
    [at, cpu, memory, gpus, gpu_memory] = node["samples"][-1]
    assert before - 10 < at <= told["now"] <= time.time()
    assert 0 <= cpu <= 100
    assert 0 < memory < node["memory_total_bytes"]
    assert len(gpus) == len(gpu_memory) == len(node["gpus"])
    later = looking("GET", f"/nodes?after={told['now'] + 1000}").json
    assert later["nodes"][0]["samples"] == []
    looking("GET", "/nodes?after=x").problem(422, "invalid")


def test_metrics_are_those_of_the_status(looking: Http) -> None:
    answer = looking("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.body.decode())
    values = {s.name: s.value for family in families for s in family.samples if not s.labels}
    status = looking("GET", "/status").json
    assert values["runhouse_objects"] == status["objects"]
    assert values["runhouse_node_cpus"] == status["nodes"][0]["cpus"]
    assert 0 < values["runhouse_uptime_seconds"] <= status["uptime_s"]
    Http(looking.path, "")("GET", "/metrics").problem(401, "unauthorized")


# -- objects and runs ----------------------------------------------------------------------------


def test_objects_have_sizes_for_those_who_ask(looking: Http) -> None:
    rh.here.put("large", np.zeros(100_000))
    rh.here.put("kept", b"x" * 5000, persist=True)
    plain = looking("GET", "/keys").json["keys"]
    assert all("size_bytes" not in entry for entry in plain)
    found = {e["key"]: e["size_bytes"] for e in looking("GET", "/keys?sizes=true").json["keys"]}
    assert 800_000 <= found["large"] < 801_000
    assert 5000 <= found["kept"] < 6000
    looking("GET", "/keys?sizes=maybe").problem(422, "invalid")
    rh.here.delete(["large", "kept"])


def test_objects_on_disk_only_have_the_size_of_their_files(api: Http, looking: Http) -> None:
    rh.here.put("asleep", b"x" * 5000, persist=True)
    [worker] = [w for w in rh.here.status().workers if w.objects]
    assert api("POST", f"/workers/{worker.id}/restart").status == 200
    entries = {e["key"]: e for e in looking("GET", "/keys?sizes=true").json["keys"]}
    assert 5000 < entries["asleep"]["size_bytes"] < 7000
    assert entries["asleep"]["type"] == ""
    assert rh.here.get("asleep") == b"x" * 5000
    rh.here.delete("asleep")


def test_runs_are_found_and_say_who_has_started_them(api: Http, looking: Http) -> None:
    rh.function(sample.add).to(rh.here)
    add = rh.function(sample.add).to(rh.here)
    for number in range(3):
        assert add.options(run_name=f"find-{number}").run(number).result() == number + 1
    web = Http(api.path, rh.here.tokens.create("web"))
    assert web("POST", "/call/add?run_name=find-web", {"args": [1]}).json == 2
    rh.here.tokens.revoke("web")

    def names(query: str) -> list[str]:
        return [run["name"] for run in looking("GET", f"/runs?{query}").json["runs"]]

    assert names("search=find-") == ["find-web", "find-2", "find-1", "find-0"]
    assert names("search=FIND-%20web%20done") == ["find-web"]
    assert names("search=find-&limit=2") == ["find-web", "find-2"]
    told = looking("GET", "/runs?search=find-&limit=1").json
    assert told["total"] == 4
    assert names(f"search=find-&after={told['now'] + 100}") == []
    assert len(names(f"search=find-&after={told['now'] - 100}")) == 4
    callers = {run["name"]: run["caller"] for run in looking("GET", "/runs").json["runs"]}
    assert callers["find-web"] == "web"
    assert re.fullmatch(r"[^@]+@[^@]+", callers["find-0"])
    assert rh.here.get_run("find-0").info().caller == callers["find-0"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=-1", "after=x", "more=1"])
def test_questions_that_make_no_sense_are_refused(looking: Http, query: str) -> None:
    looking("GET", f"/runs?{query}").problem(422, "invalid")


# -- workers -------------------------------------------------------------------------------------


def test_a_worker_is_restarted_with_its_runs_cancelled(api: Http, looking: Http) -> None:
    wait = rh.function(sample.wait).to(rh.here, env="restarted")
    assert wait(0) == "slept"
    run = wait.options(run_name="long").run(60)
    wait_until(lambda: run.status == "running")
    [before] = [w for w in rh.here.status().workers if w.env == "restarted"]
    looking("POST", f"/workers/{before.id}/restart").problem(403, "forbidden")
    assert is_running(before.pid)
    told = api("POST", f"/workers/{before.id}/restart").json
    assert (told["ended"], told["cancelled"]) == (before.id, [run.info().id])
    assert not is_running(before.pid)
    [after] = [w for w in rh.here.status().workers if w.env == "restarted"]
    assert (after.id, after.project) == (told["started"], before.project)
    assert run.info().status == "cancelled"
    with pytest.raises(rh.RunCancelledError):
        run.result()
    assert wait(0) == "slept"
    problem = api("POST", f"/workers/{before.id}/restart").problem(404, "worker-not-found")
    assert problem["worker"] == before.id
    api("POST", f"/workers/{after.id}/restart", {"more": 1}).problem(422, "invalid")
