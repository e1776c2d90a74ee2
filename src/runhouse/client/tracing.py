"""Spans around calls, for users who have told OpenTelemetry where to send them; else none.

The variables are those of its specification:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import contextlib
import logging
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from runhouse import extras

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import ModuleType

    from runhouse.wire.messages import Call

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def span(call: Call, host: str, env: str) -> AbstractContextManager[Any]:
    """Return a block that is a span of a trace when the user wants traces, and else does nothing.

    Args:
        call: The call that is made in the block.
        host: The name of the host.
        env: The env of the worker; empty when that is not known yet.
    """
    spans = _spans()
    if spans is None:
        return contextlib.nullcontext()
    facts = {
        "server.address": host,
        "runhouse.operation": call.op,
        "runhouse.run_id": call.run_id,
        "runhouse.run_name": call.name,
        "runhouse.env": env,
    }
    what = f"{call.key}.{call.method}" if call.method else call.key
    named = {name: value for name, value in facts.items() if value}
    made: AbstractContextManager[Any] = spans.span(f"{call.op} {what}", named)
    return made


@lru_cache(maxsize=1)
def _spans() -> ModuleType | None:
    """Load OpenTelemetry if the user has named an endpoint; calls go on without it."""
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    if os.environ.get("OTEL_TRACES_EXPORTER", "").lower() == "none":
        return None
    try:
        return extras.load("runhouse.client.opentelemetry", extra="otel")
    except ImportError as error:
        # The variable may be there for the sake of other programs.
        level = logging.DEBUG if "RH_WORKER_ID" in os.environ else logging.WARNING
        log.log(level, "Calls are not traced, although an OTLP endpoint is set. %s", error)
        return None
