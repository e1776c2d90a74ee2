"""Calls over HTTP, by clients that know no Python."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.server.unix_http import unix_connection
from tests.integration import sample
from tests.rigs.http import Http, Sent, read_event, read_events, statuses
from tests.rigs.http_api import api as api
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)


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
    api("GET", "/call/mine/total?a=1").problem(422, "invalid")
    assert "no function" in api.post("/call/mine").problem(422, "invalid")["detail"]
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


@pytest.mark.parametrize(
    ("method", "path", "pieces", "status"),
    [
        ("POST", "/call/add", [b'{"args"', b": [1, 2]}"], 200),
        ("PUT", "/objects/in-pieces", [b"[1", b",2]"], 200),
        ("PUT", "/objects/in-pieces", [], 400),
        ("POST", "/call/identity", [b" " * 1_000_000] * 17, 411),
    ],
)
def test_a_body_in_chunks_is_taken_while_it_is_small(
    api: Http, method: str, path: str, pieces: list[bytes], status: int
) -> None:
    with contextlib.closing(unix_connection(api.path, 10)) as connection:
        headers = {"Authorization": f"Bearer {api.token}", "Transfer-Encoding": "chunked"}
        with contextlib.suppress(ConnectionError):  # refused before all of it was sent
            connection.request(method, path, iter(pieces), headers=headers, encode_chunked=True)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    assert answer.status == status
    if status == 200:
        assert body == (3 if path == "/call/add" else {"key": "in-pieces"})
    else:
        assert answer.headers["content-type"] == "application/problem+json"


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
        connection = unix_connection(api.path, 10)
        headers = {"Authorization": f"Bearer {api.token}", "Accept": accept}
        body = json.dumps({"args": [60, str(mark)]})
        connection.request("POST", "/call/wait", body=body, headers=headers)
        wait_until(lambda: "running" in statuses("wait"))
        connection.close()
        wait_until(mark.exists)
    wait_until(lambda: "running" not in statuses("wait"))


def test_a_call_that_takes_too_long_is_ended(api: Http) -> None:
    api("POST", "/call/wait?timeout=0.2", {"args": [60]}).problem(504, "run-timeout")


def test_a_worker_that_dies_is_told(api: Http) -> None:
    rh.function(sample.leave, name="leave_alone").to(rh.here, env="dying")
    problem = api.post("/call/leave_alone", 3).problem(502, "worker-died")
    assert problem["exit_code"] == 3
    api.post("/call/leave_alone", 3).problem(404, "object-not-found")
    assert api.post("/call/add", 1).json == 2
