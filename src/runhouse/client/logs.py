"""Show a call's output where its caller is."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runhouse.wire.messages import LogEntry


def show(entries: Sequence[LogEntry]) -> None:
    """Write output to this process's own streams, and hand log records to its own loggers."""
    for name, what in entries:
        if name == "record":
            _handle(cast("Mapping[str, object]", what))
            continue
        stream = sys.stdout if name == "stdout" else sys.stderr
        if stream is not None:
            stream.write(str(what))
            stream.flush()


def _handle(fields: Mapping[str, object]) -> None:
    """Let the logger of the record's name decide, as if the record had been made here."""
    record = logging.makeLogRecord(dict(fields))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
