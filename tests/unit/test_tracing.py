"""Calls are traced for those who want it, and for nobody else."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runhouse import extras
from runhouse.client import tracing
from runhouse.wire.messages import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

CALL = Call("id", "method", "model", method="train", name="nightly")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Know of no endpoint, and forget what was known."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    tracing._spans.cache_clear()
    yield
    tracing._spans.cache_clear()


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Give the spans of a program that has set OpenTelemetry up by itself."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    return exporter


def test_a_call_is_a_span(exported: InMemorySpanExporter) -> None:
    mine = trace.get_tracer_provider().get_tracer("mine")
    with mine.start_as_current_span("outer"), tracing.span(CALL, "box", "gpu"):
        pass
    call, outer = exported.get_finished_spans()
    assert call.name == "method model.train"
    assert call.kind is trace.SpanKind.CLIENT
    assert dict(call.attributes or {}) == {
        "server.address": "box",
        "runhouse.operation": "method",
        "runhouse.run_id": "id",
        "runhouse.run_name": "nightly",
        "runhouse.env": "gpu",
    }
    assert call.parent is not None
    assert outer.context is not None
    assert call.parent.span_id == outer.context.span_id


def test_a_call_that_fails_is_a_span_that_says_so(exported: InMemorySpanExporter) -> None:
    with pytest.raises(KeyError), tracing.span(CALL, "box", ""):
        raise KeyError("missing")
    [call] = exported.get_finished_spans()
    assert call.status.status_code is trace.StatusCode.ERROR
    assert call.events[0].attributes is not None
    assert call.events[0].attributes["exception.type"] == "KeyError"


@pytest.mark.parametrize(
    ("endpoint", "exporter"), [("", ""), ("http://127.0.0.1:1", "none"), ("", "otlp")]
)
def test_without_an_endpoint_nothing_is_loaded(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, exporter: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", exporter)
    monkeypatch.setattr(extras, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with tracing.span(CALL, "box", ""):
        pass


@pytest.mark.parametrize(("inside", "told"), [(False, 1), (True, 0)])
def test_calls_go_on_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, inside: bool, told: int
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1")
    if inside:
        monkeypatch.setenv("RH_WORKER_ID", "x")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "runhouse.client.opentelemetry", raising=False)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with tracing.span(CALL, "box", ""):
                pass
    assert len(caplog.records) == told
    assert all("pip install 'runhouse[otel]'" in record.getMessage() for record in caplog.records)


def test_import_runhouse_loads_no_opentelemetry() -> None:
    program = "import sys, runhouse.client.client; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"False\n"
