"""Objects, runs and limits over HTTP, by clients that know no Python."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import schemathesis

import runhouse as rh
from tests.integration import http_sample, sample
from tests.rigs.http import PICKLE, Http, read_event, read_events, statuses
from tests.rigs.http_api import api as api
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(60)


# -- objects --------------------------------------------------------------------------------------


def test_objects_are_put_and_got_as_json(api: Http) -> None:
    assert api("PUT", "/objects/thing", {"a": [1]}).json == {"key": "thing"}
    assert api("GET", "/objects/thing").json == {"a": [1]}
    assert rh.here.get("thing") == {"a": [1]}
    assert api("PATCH", "/objects/thing", {"key": "other"}).json == {"key": "other"}
    assert api("GET", "/objects/thing").problem(404, "object-not-found")["key"] == "thing"
    assert api("GET", "/keys?env=default").json["keys"][0].keys() == {"key", "env", "type"}
    assert api("POST", "/objects/delete", {"keys": ["other"]}).json == {"deleted": ["other"]}
    api("DELETE", "/objects/other").problem(404, "object-not-found")


def test_objects_are_put_and_got_as_pickles(api: Http) -> None:
    value = {"numbers": (1, 2j), "large": b"x" * 1_000_000}
    answer = api("PUT", "/objects/p?env=two", pickle.dumps(value), Content_Type=PICKLE)
    assert answer.json == {"key": "p"}
    assert rh.here.get("p") == value
    assert rh.here.keys(env="two") == ["p"]
    api("GET", "/objects/p").problem(406, "not-acceptable")
    answer = api("GET", "/objects/p", Accept=PICKLE)
    assert answer.headers["content-type"] == PICKLE
    assert pickle.loads(answer.body) == value
    api("PUT", "/objects/p", b"garbage", Content_Type=PICKLE).problem(422, "invalid")
    api("PUT", "/objects/p", b"garbage").problem(422, "invalid")
    api("PUT", "/objects/p").problem(400, "bad-request")
    api("PUT", "/objects/..%00", 1).problem(422, "invalid")
    api("PUT", "/objects/p?env=..", 1).problem(422, "invalid")


def test_a_persistent_object_survives_its_worker(api: Http) -> None:
    assert api("PUT", "/objects/kept?env=lasting&persist=true", [1, 2]).status == 200
    rh.function(sample.leave, name="end_it").to(rh.here, env="lasting")
    (worker,) = [w for w in rh.here.status().workers if w.env == "lasting" and w.objects]
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: worker.pid not in [w.pid for w in rh.here.status().workers])
    assert api("GET", "/objects/kept").json == [1, 2]
    assert api("PUT", "/objects/kept?env=lasting", 3).status == 200
    assert api("GET", "/objects/kept").json == 3
    assert not list(Path(api.path).parent.glob("objects/kept.*"))
    rh.here.delete("kept")


# -- runs -----------------------------------------------------------------------------------------


def test_a_background_run_is_found_again(api: Http, tmp_path: Path) -> None:
    path = "/call/stuck_stream?background=true&run_name=slow"
    started = api("POST", path, {"args": [str(tmp_path / "go")]})
    assert started.status == 202
    run = started.json["id"]
    assert started.headers["location"] == f"/runs/{run}"
    assert started.json["name"] == "slow"
    api("POST", path, {"args": ["x"]}).problem(409, "run-exists")
    with api.open("GET", "/runs/slow/result") as response:
        assert response.readline() == b"1\n"
        (tmp_path / "go").touch()
        assert response.read() == b"2\n"
    wait_until(lambda: api("GET", "/runs/slow").json["status"] == "done")
    assert api("GET", f"/runs/{run}/result").body == b"1\n2\n"
    assert run in [info["id"] for info in api("GET", "/runs").json["runs"]]
    for page in ("", "/result", "/logs"):
        assert api("GET", f"/runs/none{page}").problem(404, "run-not-found")["run"] == "none"


def test_a_result_that_is_not_there_yet(api: Http) -> None:
    run = api("POST", "/call/wait?background=1", {"args": [60]}).json["id"]
    answer = api("GET", f"/runs/{run}/result?timeout=0.1")
    assert (answer.status, answer.json["id"]) == (202, run)
    assert api("POST", f"/runs/{run}/cancel").json["id"] == run
    api("GET", f"/runs/{run}/result").problem(409, "run-cancelled")
    api("POST", "/runs/none/cancel").problem(404, "run-not-found")
    api("POST", f"/runs/{run}/cancel", {"force": 1}).problem(422, "invalid")
    assert api("POST", "/runs/cancel").json == {"runs": []}


def test_a_named_run_gives_its_value_and_keeps_it(api: Http) -> None:
    assert api("POST", "/call/add?run_name=sum", {"args": [1, 2]}).json == 3
    assert api("GET", "/runs/sum/result").json == 3
    assert api("POST", "/call/add?run_name=big&keep=big", {"args": [1, 9]}).status == 201
    kept = api("GET", "/runs/big/result")
    assert (kept.status, kept.json["key"]) == (201, "big")
    assert api("GET", "/objects/big").json == 10


def test_a_run_of_python_has_its_result_as_a_pickle(api: Http) -> None:
    run = rh.function(sample.identity).to(rh.here).run({"a": 1})
    assert run.result() == {"a": 1}
    api("GET", f"/runs/{run.id}/result").problem(406, "not-acceptable")
    api("GET", f"/runs/{run.id}/result", Accept="text/event-stream").problem(406, "not-acceptable")
    answer = api("GET", f"/runs/{run.id}/result", Accept=PICKLE)
    assert answer.headers["content-type"] == PICKLE
    assert pickle.loads(answer.body) == {"a": 1}
    large = rh.function(sample.make_bytes).to(rh.here).run(100_000)
    assert len(large.result()) == 100_000
    items = rh.function(sample.count_to).to(rh.here).run(2)
    assert list(items.result()) == [0, 1]
    api("GET", f"/runs/{items.id}/result").problem(406, "not-acceptable")
    failed = rh.function(sample.fail).to(rh.here).run(4)
    with pytest.raises(sample.SampleError):
        failed.result()
    api("GET", f"/runs/{failed.id}/result").problem(500, "raised")


def test_logs_are_followed_and_taken_up_again(api: Http, tmp_path: Path) -> None:
    go = tmp_path / "go"
    run = api("POST", "/call/shout?background=1", {"args": [str(go)]}).json["id"]
    with api.open("GET", f"/runs/{run}/logs?follow=true") as response:
        first = read_event(response)
    assert first is not None
    assert (first.name, first.data) == ("log", [{"stream": "stdout", "text": "first\n"}])
    go.touch()
    for _ in range(2):  # while it runs or just after, and from its file
        headers = {"Last-Event-ID": first.id}
        with api.open("GET", f"/runs/{run}/logs?follow=1", None, headers) as response:
            second, end = read_events(response)
        assert second.data == [{"stream": "stdout", "text": "second\n"}]
        assert (end.name, end.data["id"]) == ("end", run)
        wait_until(lambda: api("GET", f"/runs/{run}").json["status"] == "done")
    assert end.data["status"] == "done"
    entries = api("GET", f"/runs/{run}/logs").json["entries"]
    assert entries == first.data + second.data
    with api.open("GET", f"/runs/{run}/logs?follow=1", None, {"Last-Event-ID": second.id}) as rest:
        assert [event.name for event in read_events(rest)] == ["end"]
    for last in (end.id, "999"):  # a browser stops asking then
        answer = api("GET", f"/runs/{run}/logs?follow=1", Last_Event_ID=last)
        assert (answer.status, answer.body) == (204, b"")
    api("GET", f"/runs/{run}/logs?follow=1", Last_Event_ID="x").problem(422, "invalid")


def test_a_lost_run_is_told_with_its_output(api: Http, tmp_path: Path) -> None:
    rh.function(http_sample.shout, name="shout_alone").to(rh.here, env="lost")
    path = "/call/shout_alone?background=1"
    run = api("POST", path, {"args": [str(tmp_path / "go")]}).json["id"]
    with api.open("GET", f"/runs/{run}/logs?follow=true") as response:
        assert read_event(response) is not None
        (worker,) = [worker for worker in rh.here.status().workers if worker.env == "lost"]
        os.kill(worker.pid, signal.SIGKILL)
        (end,) = read_events(response)
    assert (end.name, end.data["status"]) == ("end", "lost")
    assert "SIGKILL" in api("GET", f"/runs/{run}/result").problem(410, "run-lost")["detail"]
    entries = api("GET", f"/runs/{run}/logs").json["entries"]
    assert entries == [{"stream": "stdout", "text": "first\n"}]


def test_text_that_is_no_utf_8_passes(api: Http) -> None:
    text = os.fsdecode(b"na\xefve")
    run = api("POST", "/call/say?background=1", {"args": [text]}).json["id"]
    assert api("GET", f"/runs/{run}/result").json == text
    entries = api("GET", f"/runs/{run}/logs").json["entries"]
    assert entries == [{"stream": "stdout", "text": f"{text}\n"}]
    assert rh.here.get_run(run).logs() == f"{text}\n"
    problem = api.post("/call/say", text, fails=True).problem(500, "raised")
    assert problem["exception"]["message"] == text


def test_items_of_a_run_are_taken_up_again(api: Http, tmp_path: Path) -> None:
    go, headers = tmp_path / "go", {"Accept": "text/event-stream"}
    path = "/call/stuck_stream?run_name=resumed"
    with api.open("POST", path, {"args": [str(go)]}, headers) as response:
        first = read_event(response)
    assert first is not None
    assert (first.name, first.data) == ("item", 1)
    go.touch()
    headers |= {"Last-Event-ID": first.id}
    for _ in range(2):  # while it runs or just after, and from its file
        with api.open("GET", "/runs/resumed/result", None, headers) as response:
            second, end = read_events(response)
        assert (second.name, second.data, end.name, end.data) == ("item", 2, "result", None)
        wait_until(lambda: api("GET", "/runs/resumed").json["status"] == "done")
    accept = headers["Accept"]
    answer = api("GET", "/runs/resumed/result", Accept=accept, Last_Event_ID=end.id)
    assert (answer.status, answer.body) == (204, b"")
    api("GET", "/runs/resumed/result", Accept=accept, Last_Event_ID="x").problem(422, "invalid")


def test_items_of_a_run_are_events_too(api: Http) -> None:
    run = api("POST", "/call/count_to?background=1", {"args": [2]}).json["id"]
    headers = {"Accept": "text/event-stream"}
    with api.open("GET", f"/runs/{run}/result", None, headers) as response:
        assert [(event.name, event.data) for event in read_events(response)] == [
            ("item", 0),
            ("item", 1),
            ("result", None),
        ]


def test_pickled_items_as_events(api: Http) -> None:
    path = "/call/count_to?serialization=pickle"
    with api.open("POST", path, {"args": [1]}, {"Accept": "text/event-stream"}) as response:
        item, _ = read_events(response)
    assert pickle.loads(base64.b64decode(item.data["data"])) == 0
    lines = api("POST", path, {"args": [2]}).body.splitlines()
    assert [pickle.loads(base64.b64decode(json.loads(line)["data"])) for line in lines] == [0, 1]


def test_many_calls_at_once(api: Http) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: api.post("/call/add", n, 1).json, range(200)))
    assert answers == list(range(1, 201))


# -- any language ---------------------------------------------------------------------------------


def test_curl_calls_a_function(api: Http) -> None:
    command = ["curl", "-sS", "--fail", "--unix-socket", api.path, "-H", "@-"]
    header = f"Authorization: Bearer {api.token}"
    done = subprocess.run(
        [*command, "-d", '{"args": [1], "kwargs": {"b": 2}}', "http://localhost/call/add"],
        input=header,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == "3"


def test_the_description_names_functions_and_methods(api: Http) -> None:
    api("POST", "/call/Counter?keep=counted", {})
    document = api("GET", "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    typed = document["paths"]["/call/typed"]["get"]
    schemas = {parameter["name"]: parameter for parameter in typed["parameters"]}
    assert schemas["number"]["schema"] == {"type": "integer"}
    assert schemas["number"]["required"]
    assert not schemas["maybe"]["required"]
    assert schemas["color"]["schema"] == {"enum": ["red", "blue"]}
    post = document["paths"]["/call/counted/add"]["post"]
    assert post["summary"] == "Add to the total and return it."
    body = post["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["kwargs"]["properties"] == {
        "amount": {"type": "integer", "default": 1}
    }
    assert post["responses"]["200"]["content"]["application/json"]["schema"] == {"type": "integer"}
    assert {"/call/Counter", "/call/Counter/double", "/runs/{id}/logs"} <= document["paths"].keys()
    rh.here.delete("counted")


def test_one_odd_thing_hides_nothing_else_from_the_description(api: Http) -> None:
    for function in (http_sample.endless, http_sample.add_again):
        rh.function(function).to(rh.here)
    rh.function(http_sample.add_again, name="counted.add").to(rh.here)
    rh.here.put("odd", http_sample.Odd())
    rh.here.put("counted", sample.Counter(1))
    document = api("GET", "/openapi.json").json
    schemathesis.openapi.from_dict(document).validate()
    pages = document["paths"]
    assert pages["/call/endless"]["get"]["parameters"][0]["schema"] == {"type": "number"}
    assert "/call/counted/add" in pages
    assert "/call/odd/look" not in pages
    assert pages["/call/add_again"]["get"]["summary"] == os.fsdecode(b"Add na\xefve.")
    operations = [told for page in pages.values() for told in page.values() if "tags" in told]
    ids = [told["operationId"] for told in operations]
    assert len(set(ids)) == len(ids) > 4
    rh.here.delete(["odd", "counted"])


def test_a_request_that_is_cut_off_leaves_nothing(api: Http) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(api.path)
        head = f"POST /call/size_of HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
        sock.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + b" " * 300_000)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(api.path)
        head = f"POST /call/size_of HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
        sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n".encode())
    assert api.post("/call/add", 1).json == 2
    wait_until(lambda: "running" not in statuses("size_of"))
    log = Path(api.path).with_name("server.log")
    assert "Traceback" not in log.read_text()


# -- limits --------------------------------------------------------------------------------------


def test_limits_are_kept_and_told(api: Http) -> None:
    assert api("GET", "/limits/small").json == dict.fromkeys(
        ("concurrency", "queue", "memory_bytes")
    )
    limits = {"concurrency": 1, "queue": 0, "memory_bytes": 1}
    assert api("PUT", "/limits/small", limits).json == limits
    assert api("GET", "/limits/small").json == limits
    api("PUT", "/objects/x?env=small", 1).problem(503, "store-full")
    rh.function(sample.wait, name="wait_small").to(rh.here, env="small")
    with api.open("POST", "/call/wait_small?background=1", {"args": [60]}) as response:
        run = json.load(response)["id"]
    wait_until(lambda: api("GET", f"/runs/{run}").json["status"] == "running")
    answer = api.post("/call/wait_small", 0)
    answer.problem(503, "queue-full")
    assert answer.headers["retry-after"] == "1"
    assert api("POST", f"/runs/{run}/cancel", {"force": False}).status == 200
    api("GET", f"/runs/{run}/result").problem(409, "run-cancelled")


@pytest.mark.parametrize("body", [{"concurrency": 0}, {"queue": True}, {"more": 1}, [], b"{"])
def test_limits_that_cannot_be_are_refused(api: Http, body: Any) -> None:
    assert api("PUT", "/limits/small", body).status in (400, 422)
