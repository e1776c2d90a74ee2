"""A program that names an OTLP endpoint sends it a span for each call; others send nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from runhouse import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio
import runhouse as rh
from tests.integration import sample

add = rh.function(sample.add).to(rh.here)
assert add(1, 2) == 3
assert asyncio.run(rh.function(sample.add_later).to(rh.here)(1, 2)) == 3
assert list(rh.function(sample.count_to).to(rh.here)(2)) == [0, 1]
assert add.options(run_name="traced").run(1).result() == 2
try:
    rh.function(sample.fail).to(rh.here)(7)
except sample.SampleError:
    pass
rh.here.disconnect()
"""


class Collector(HTTPServer):
    """Take spans as a collector does."""

    def __init__(self) -> None:
        """Listen on this machine."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []
        self.spans: list[Span] = []
        self.service = ""


class Handler(BaseHTTPRequestHandler):
    """Take one request of an exporter."""

    server: Collector

    def do_POST(self) -> None:
        """Note the spans."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.paths.append(self.path)
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {a.key: a.value.string_value for a in each.resource.attributes}
            self.server.service = names["service.name"]
            self.server.spans += [span for scope in each.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a collector that runs."""
    with Collector() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def run(collector: Collector, **variables: str) -> None:
    """Run the program of a user who has set variables."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environ |= {"PYTHONPATH": str(ROOT), "RH_HOME": str(settings.load().home), **variables}
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, b""), (done.stderr, collector.paths)


def test_each_call_is_a_span_where_the_user_wants_it(collector: Collector) -> None:
    run(collector, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}")
    assert set(collector.paths) == {"/v1/traces"}
    assert collector.service == "runhouse"
    told = {span.name.rpartition(":")[2]: span for span in collector.spans}
    assert {"add", "add_later", "count_to", "fail"} <= told.keys()
    failed = told["fail"]
    assert failed.status.code == 2
    events = {a.key: a.value.string_value for a in failed.events[0].attributes}
    assert events["exception.type"] == "tests.integration.sample.SampleError"
    assert told["add_later"].status.code == 0
    facts = [{a.key: a.value.string_value for a in span.attributes} for span in collector.spans]
    assert "traced" in {each.get("runhouse.run_name") for each in facts}
    assert {each["server.address"] for each in facts} == {"localhost"}
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in collector.spans)


def test_a_user_who_names_no_endpoint_sends_nothing(collector: Collector) -> None:
    address = f"http://127.0.0.1:{collector.server_port}"
    run(collector)
    run(collector, OTEL_EXPORTER_OTLP_ENDPOINT=address, OTEL_TRACES_EXPORTER="none")
    assert collector.paths == []
