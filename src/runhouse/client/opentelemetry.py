"""Spans by OpenTelemetry: the one importer of it, loaded only when a user wants traces."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from runhouse.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager


@lru_cache(maxsize=1)
def _own_provider() -> TracerProvider:
    """Return what sends spans where the user's variables say; it sends the rest at exit."""
    name = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "runhouse"}
    provider = TracerProvider(resource=Resource.create(name))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def span(name: str, facts: Mapping[str, str]) -> AbstractContextManager[trace.Span]:
    """Return a block that is a span: a child of the current one, ended with the block's exception.

    A program that has set up OpenTelemetry by itself has its own spans and ours in one place.

    Args:
        name: The name of the span.
        facts: Its attributes.
    """
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):  # nobody has set one up
        provider = _own_provider()
    tracer = provider.get_tracer("runhouse", __version__)
    return tracer.start_as_current_span(name, kind=trace.SpanKind.CLIENT, attributes=dict(facts))
