"""A client of the HTTP API that knows no Python but the standard library's."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import runhouse as rh
from runhouse.server.unix_http import unix_connection

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator

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
        with contextlib.closing(unix_connection(self.path, 30)) as connection:
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


def statuses(call: str) -> list[str]:
    """Return the states of the runs of a function."""
    return [run.status for run in rh.here.runs() if call in run.call]
