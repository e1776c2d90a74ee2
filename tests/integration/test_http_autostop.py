"""The page of the HTTP API on which autostop is set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from tests.rigs.http import Http, http_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def api(session_home: Path) -> Iterator[Http]:
    """Give the API of a server of this machine that was told nothing yet."""
    assert session_home.is_dir()
    made = http_of(rh.here)
    yield made
    rh.here.disconnect()
    rh.here.stop()
    Path(made.path).with_name("autostop.json").unlink()


def test_nothing_is_told_until_it_is_set(api: Http) -> None:
    assert rh.here.status().autostop is None
    assert api("GET", "/autostop").json is None
    assert not Path(api.path).with_name("autostop.json").exists()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({}, "autostop_mins"),
        ({"autostop_mins": None}, "autostop_mins"),
        ({"autostop_mins": 0}, "autostop_mins"),
        ({"autostop_mins": -2}, "autostop_mins"),
        ({"autostop_mins": 1.5}, "autostop_mins"),
        ({"autostop_mins": True}, "autostop_mins"),
        ({"autostop_mins": "5"}, "autostop_mins"),
        ({"autostop_mins": 10**7}, "autostop_mins"),
        ({"autostop_mins": 10**400}, "autostop_mins"),
        ({"autostop_mins": 5, "pulse": "/bin/true"}, "pulse"),
        ({"autostop_mins": 5, "pulse": None}, "pulse"),
        ({"autostop_mins": 5, "pulse": ["/bin/true", 1]}, "pulse"),
        ({"autostop_mins": 5, "pulse": [""]}, "pulse"),
        ({"autostop_mins": 5, "pulse": ["/bin/true", "a\0b"]}, "pulse"),
        ({"autostop_mins": 5, "stops": "terminate"}, "stops"),
        ({"autostop_mins": 5, "stops": ["down"]}, "stops"),
        ({"autostop_mins": 5, "stops": None}, "stops"),
        ({"autostop_mins": 5, "minutes": 5}, "minutes"),
    ],
)
def test_what_cannot_be_used_changes_nothing(body: dict[str, Any], name: str, api: Http) -> None:
    api("PUT", "/autostop", {"autostop_mins": 77, "stops": "stop"})
    problem = api("PUT", "/autostop", body).problem(422, "invalid")
    assert problem["parameter"] == name
    assert name in problem["detail"]
    told = api("GET", "/autostop").json
    assert (told["autostop_mins"], told["stops"]) == (77, "stop")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null"])
def test_what_is_no_object_is_refused(body: bytes, api: Http) -> None:
    answer = api("PUT", "/autostop", body)
    assert answer.status in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_tells_what_it_has_taken(api: Http) -> None:
    answer = api("PUT", "/autostop", {"autostop_mins": 30})
    assert answer.status == 200
    told = answer.json
    assert told.pop("idle_s") < 10
    assert told.pop("left_s") > 30 * 60 - 10
    assert told == {
        "autostop_mins": 30,
        "stops": "down",
        "in_use": False,
        "why": "",
        "pulsed_at": None,
        "pulse_error": "",
    }
    assert set(api("GET", "/status").json["autostop"]) == set(answer.json)


def test_it_needs_the_full_token(api: Http) -> None:
    looking = Http(api.path, rh.here.tokens.create("looking", read_only=True))
    for method in ("GET", "PUT"):
        looking(method, "/autostop", b'{"autostop_mins": 5}').problem(403, "forbidden")
        Http(api.path, "")(method, "/autostop").problem(401, "unauthorized")
    assert looking("GET", "/status").json["autostop"]["autostop_mins"] == 30
    assert "pulse" not in looking("GET", "/status").json["autostop"]
    for method in ("POST", "DELETE"):
        api(method, "/autostop", {}).problem(405, "method-not-allowed")


def test_it_is_described(api: Http) -> None:
    page = api("GET", "/openapi.json").json["paths"]["/autostop"]
    schema = page["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"autostop_mins", "pulse", "stops"}
    assert schema["required"] == ["autostop_mins"]
    assert page["get"]["summary"]
