"""Calls, objects and runs over HTTP, by clients that know no Python."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import pickle
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.server.unix_http import UnixHTTPConnection
from tests.integration import http_sample, sample
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)

PICKLE = "application/vnd.runhouse.pickle"


@dataclass
class Answer:
    """Hold an answer that was read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def problem(self, status: int, sort: str) -> dict[str, Any]:
        """Return the problem that this is, checked."""
        assert (self.status, self.json["type"]) == (status, f"urn:runhouse:{sort}"), self.body
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == status
        assert self.json["title"]
        assert self.json["detail"]
        return dict(self.json)


class Http:
    """Make requests to one server through its Unix socket."""

    def __init__(self, path: str, token: str) -> None:
        """Store where the server is."""
        self.path = path
        self.token = token

    @contextlib.contextmanager
    def open(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Make a request and give its answer, unread."""
        given = {"Authorization": f"Bearer {self.token}"} | (headers or {})
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        with contextlib.closing(UnixHTTPConnection(self.path, 30)) as connection:
            connection.request(method, path, body=data, headers=given)
            yield connection.getresponse()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Make a request and read its answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with self.open(method, path, body, named) as response:
            return Answer(response.status, response.headers, response.read())

    def post(self, path: str, *args: Any, **kwargs: Any) -> Answer:
        """Call something with arguments."""
        return self("POST", path, {"args": args, "kwargs": kwargs})


def http_of(cluster: rh.Cluster) -> Http:
    """Return the way to a cluster's HTTP API."""
    endpoint = cluster.calls.client.endpoint
    return Http(endpoint.http_path(), endpoint.token)


@pytest.fixture(scope="module")
def api(session_home: Path) -> Iterator[Http]:
    """Give the API of this machine's cluster, with the functions of the tests."""
    assert session_home.is_dir()
    for function in (
        *(sample.add, sample.add_later, sample.count_to, sample.fail, sample.identity),
        *(sample.leave, sample.make_bytes, sample.mark, sample.size_of, sample.speak, sample.wait),
        *(sample.count_later, http_sample.typed, http_sample.shaped, http_sample.stuck_stream),
        *(http_sample.fails_later, http_sample.shout, http_sample.make),
    ):
        rh.function(function).to(rh.here)
    rh.module(sample.Counter).to(rh.here)
    yield http_of(rh.here)
    rh.here.disconnect()
    rh.here.stop()


@dataclass(frozen=True)
class Sent:
    """Hold one server-sent event."""

    name: str
    data: Any
    id: str


def read_event(response: http.client.HTTPResponse) -> Sent | None:
    """Read the next server-sent event, or None at the end."""
    fields: dict[str, str] = {}
    while line := response.readline().decode().rstrip("\n"):
        name, _, value = line.partition(": ")
        fields[name] = value
    if not fields:
        return None
    if "data" not in fields:  # a sign of life
        return read_event(response)
    return Sent(fields.get("event", ""), json.loads(fields["data"]), fields.get("id", ""))


def read_events(response: http.client.HTTPResponse) -> list[Sent]:
    """Read all server-sent events."""
    assert response.headers["content-type"] == "text/event-stream"
    return list(iter(lambda: read_event(response), None))


# -- calls ----------------------------------------------------------------------------------------


def test_a_function_is_called_with_json(api: Http) -> None:
    for path in ("/call/add", "/call/add/call"):
        answer = api.post(path, 2, b=3)
        assert (answer.status, answer.json) == (200, 5)
        assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["runhouse-run"]) == 32
    assert api.post("/call/add_later", 1, 2).json == 3
    assert api("POST", "/call/add", {"kwargs": {"a": 1}}).json == 2
    assert api.post("/call/identity", {"a": [1, None, "ü"]}).json == {"a": [1, None, "ü"]}


def test_query_arguments_have_the_types_of_the_annotations(api: Http) -> None:
    assert api("GET", "/call/add?a=1&b=2").json == 3
    assert api("GET", "/call/add/call?a=1").json == 2
    query = "number=2&ratio=0.5&yes=true&text=12&when=2026-01-31&color=red&items=1&items=2"
    assert api("GET", f"/call/typed?{query}&table=%7B%22a%22:1%7D&mode=fast").json == {
        "number": 2,
        "ratio": 0.5,
        "yes": True,
        "text": "12",
        "when": "2026-01-31",
        "color": "red",
        "items": [1, 2],
        "table": {"a": 1},
        "mode": "fast",
        "maybe": None,
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("a=one", ("a", "integer")),
        ("a=1&b=1.5", ("b", "integer")),
        ("a=1&a=2", ("a", "once")),
        ("", ("a", "b")),
        ("a=1&c=2", ("c", "a, b")),
    ],
)
def test_a_query_that_does_not_fit_is_refused(
    api: Http, query: str, names: tuple[str, str]
) -> None:
    problem = api("GET", f"/call/add?{query}").problem(422, "invalid")
    for name in names:
        assert name in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"args": ["1"]},
        {"args": [1, 2, 3]},
        {"args": [1], "kwargs": {"a": 1}},
        {"args": [1], "more": 1},
        {"args": 1},
        {"kwargs": []},
        [1],
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"args": [NaN]}',
        None,
    ],
)
def test_arguments_that_do_not_fit_are_refused(api: Http, body: Any) -> None:
    api("POST", "/call/add", body).problem(422, "invalid")


@pytest.mark.parametrize(
    "query",
    ["more=1", "timeout=0", "timeout=x", "timeout=nan", "stream_logs=maybe", "serialization=xml"]
    + ["run_name=..%2Fx", "keep=%00", "background=2"],
)
def test_options_that_cannot_be_used_are_refused(api: Http, query: str) -> None:
    api("POST", f"/call/add?{query}", {"args": [1]}).problem(422, "invalid")


def test_json_is_made_into_what_the_annotations_say(api: Http) -> None:
    given = {"point": {"x": 1}, "when": "2026-01-31T12:00:00Z", "pair": [1, "a"], "color": "blue"}
    assert api.post("/call/shaped", **given).json == {
        "point": "Point(x=1, y=0)",
        "when": "2026-01-31T12:00:00+00:00",
        "pair": "(1, 'a')",
        "color": "BLUE",
    }
    problem = api.post("/call/shaped", **(given | {"color": "green"})).problem(422, "invalid")
    assert "'color'" in problem["detail"]
    assert "'red', 'blue'" in problem["detail"]


def test_results_without_a_form_in_json_are_told(api: Http) -> None:
    assert "object" in api.post("/call/make", "object").problem(406, "not-acceptable")["detail"]
    api.post("/call/make", "nan").problem(406, "not-acceptable")
    assert api.post("/call/make", "array").json == [0.0, 0.0]
    assert api.post("/call/make", "point").json == {"x": 1, "y": 2}


def test_an_exception_is_told_with_its_traceback(api: Http) -> None:
    problem = api.post("/call/fail", 7).problem(500, "raised")
    assert problem["detail"] == "tests.integration.sample.SampleError: code 7"
    assert problem["exception"]["type"] == "tests.integration.sample.SampleError"
    assert problem["exception"]["message"] == "code 7"
    assert "in fail" in problem["exception"]["traceback"]


def test_what_is_not_there_is_told(api: Http) -> None:
    assert api.post("/call/nothing").problem(404, "object-not-found")["key"] == "nothing"
    api.post("/call/nothing/at_all").problem(404, "object-not-found")
    rh.here.put("list", [3])
    assert "'more'" in api.post("/call/list/more").problem(404, "method-not-found")["detail"]
    api("GET", "/elsewhere").problem(404, "not-found")
    answer = api("DELETE", "/call/add")
    answer.problem(405, "method-not-allowed")
    assert answer.headers["allow"]


def test_a_class_is_constructed_and_its_object_called(api: Http) -> None:
    made = api("POST", "/call/Counter?keep=mine", {"args": [5]})
    assert made.status == 201
    assert made.headers["location"] == "/objects/mine"
    assert made.json == {"key": "mine", "type": "tests.integration.sample:Counter"}
    assert api.post("/call/mine/add", 2).json == 7
    assert api("GET", "/call/mine/add?amount=3").json == 10
    assert api("GET", "/call/mine/total").json == 10
    assert api("GET", "/call/Counter/double?number=4").json == 8
    assert api("GET", "/call/mine/numbers").body == b"".join(b"%d\n" % n for n in range(10))
    assert api.post("/call/mine/add_later", 1).json == 11
    assert {"mine"} <= set(rh.here.keys())
    assert api("DELETE", "/objects/mine").json == {"deleted": ["mine"]}


def test_a_result_as_a_pickle_or_not_at_all(api: Http) -> None:
    for value in ("x", {"a": (1, 2)}, b"x" * 300_000):
        rh.here.put("value", value)
        answer = api("POST", "/call/make?serialization=pickle", {"args": ["stored"]})
        assert answer.json["serialization"] == "pickle"
        assert pickle.loads(base64.b64decode(answer.json["data"])) == value
    assert api("POST", "/call/make?serialization=none", {"args": ["object"]}).json is None


def test_large_values_pass(api: Http) -> None:
    text = "x" * 5_000_000
    answer = api.post("/call/identity", text)
    assert answer.json == text
    assert answer.headers["content-length"] == str(len(text) + 2)


def test_a_body_without_a_length_is_refused(api: Http) -> None:
    with contextlib.closing(UnixHTTPConnection(api.path, 10)) as connection:
        headers = {"Authorization": f"Bearer {api.token}"}
        connection.request("POST", "/call/add", iter([b"{}"]), headers=headers, encode_chunked=True)
        assert connection.getresponse().status == 411


# -- generators and output ------------------------------------------------------------------------


def test_items_arrive_one_by_one_while_they_are_made(api: Http, tmp_path: Path) -> None:
    path = tmp_path / "go"
    with api.open("POST", "/call/stuck_stream", {"args": [str(path)]}) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        assert response.readline() == b"1\n"
        path.touch()  # only now it goes on
        assert response.read() == b"2\n"
    assert api.post("/call/count_later", 3).body == b"0\n1\n2\n"
    assert api.post("/call/count_to", 0).body == b""


def test_items_as_events(api: Http, tmp_path: Path) -> None:
    path = tmp_path / "go"
    headers = {"Accept": "text/event-stream"}
    with api.open("POST", "/call/stuck_stream", {"args": [str(path)]}, headers) as response:
        assert read_event(response) == Sent("item", 1, "")
        path.touch()
        assert read_events(response) == [Sent("item", 2, ""), Sent("result", None, "")]
    with api.open("GET", "/call/add?a=1", None, headers) as response:
        assert read_events(response) == [Sent("result", 2, "")]


def test_a_generator_that_fails_cuts_its_answer_off(api: Http) -> None:
    api.post("/call/fails_later", 0).problem(500, "raised")
    with (
        api.open("POST", "/call/fails_later", {"args": [2]}) as response,
        pytest.raises(http.client.IncompleteRead) as caught,
    ):
        response.read()
    assert caught.value.partial == b"0\n1\n"
    headers = {"Accept": "text/event-stream"}
    with api.open("POST", "/call/fails_later", {"args": [1]}, headers) as response:
        item, error = read_events(response)
    assert (item.name, error.name, error.data["type"]) == ("item", "error", "urn:runhouse:raised")


def test_many_items_and_a_slow_reader(api: Http) -> None:
    with api.open("POST", "/call/count_to", {"args": [20_000]}) as response:
        assert response.readline() == b"0\n"
        assert len(response.read().splitlines()) == 19_999


def test_output_comes_as_events(api: Http) -> None:
    with api.open("POST", "/call/speak?stream_logs=true", {"args": ["hello"]}) as response:
        events = read_events(response)
    assert events[-1] == Sent("result", "hello", "")
    entries = [entry for event in events if event.name == "log" for entry in event.data]
    texts = [(entry["stream"], entry["text"]) for entry in entries]
    assert "hello\n" in [text for stream, text in texts if stream == "stdout"][0]
    assert ("record", "WARNING:tests.integration.sample:warning hello\n") in texts


def test_a_long_silence_has_signs_of_life_and_errors_before_have_a_status(api: Http) -> None:
    headers = {"Accept": "text/event-stream"}
    with api.open("POST", "/call/wait", {"args": [1.5]}, headers) as response:
        assert (response.readline(), response.readline()) == (b":\n", b"\n")
        assert [event.data for event in read_events(response)] == ["slept"]
    with api.open("POST", "/call/fail?stream_logs=1", {"args": [1]}) as response:
        assert response.status == 500


# -- how calls end --------------------------------------------------------------------------------


def test_a_client_that_hangs_up_stops_its_call(api: Http, tmp_path: Path) -> None:
    for accept in ("*/*", "text/event-stream"):
        mark = tmp_path / accept.replace("/", "-")
        connection = UnixHTTPConnection(api.path, 10)
        headers = {"Authorization": f"Bearer {api.token}", "Accept": accept}
        body = json.dumps({"args": [60, str(mark)]})
        connection.request("POST", "/call/wait", body=body, headers=headers)
        wait_until(lambda: "running" in statuses("wait"))
        connection.close()
        wait_until(mark.exists)
    wait_until(lambda: "running" not in statuses("wait"))


def statuses(call: str) -> list[str]:
    """Return the states of the runs of a function."""
    return [run.status for run in rh.here.runs() if call in run.call]


def test_a_call_that_takes_too_long_is_ended(api: Http) -> None:
    api("POST", "/call/wait?timeout=0.2", {"args": [60]}).problem(504, "run-timeout")


def test_a_worker_that_dies_is_told(api: Http) -> None:
    rh.function(sample.leave, name="leave_alone").to(rh.here, env="dying")
    problem = api.post("/call/leave_alone", 3).problem(502, "worker-died")
    assert problem["exit_code"] == 3
    api.post("/call/leave_alone", 3).problem(404, "object-not-found")
    assert api.post("/call/add", 1).json == 2


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
    value = {"numbers": (1, 2), "large": b"x" * 1_000_000}
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
    subprocess.run(["kill", "-9", str(worker.pid)], check=True)
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
    answer = api("GET", f"/runs/{run.id}/result", Accept=PICKLE)
    assert pickle.loads(answer.body) == {"a": 1}
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
    assert entries == [["stdout", "first\n"], ["stdout", "second\n"]]
    with api.open("GET", f"/runs/{run}/logs?follow=1", None, {"Last-Event-ID": "999"}) as response:
        assert [event.name for event in read_events(response)] == ["end"]
    api("GET", f"/runs/{run}/logs?follow=1", Last_Event_ID="x").problem(422, "invalid")


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


def test_a_request_that_is_cut_off_leaves_nothing(api: Http) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(api.path)
        head = f"POST /call/size_of HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
        sock.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + b" " * 300_000)
    assert api.post("/call/add", 1).json == 2
    wait_until(lambda: "running" not in statuses("size_of"))
