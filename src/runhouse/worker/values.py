"""Arguments and answers in the format that a call asks for: pickles for Python, JSON for others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runhouse.errors import NotSerializableError
from runhouse.wire.pickling import Pickled, dumps, loads_frame
from runhouse.worker import inside

if TYPE_CHECKING:
    from runhouse.wire.frames import Frame
    from runhouse.wire.messages import Call


def load_arguments(call: Call, frame: Frame) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments of a call."""
    if call.arguments == "json":
        given = json.loads(bytes(frame.body)) if len(frame.body) else {}
        return tuple(given.get("args", ())), given.get("kwargs", {})
    args, kwargs = inside.receive(loads_frame, frame)
    return args, kwargs


def dump_value(call: Call, value: object, what: str) -> Pickled:
    """Write a result or an item as the call wants it.

    Raises:
        NotSerializableError: It cannot be written in that format.
    """
    if call.answer == "pickle":
        return dumps(value, what=what)
    if call.answer == "none":
        return Pickled(b"null")
    if call.answer == "repr":
        value = repr(value)
    try:
        return Pickled(json.dumps(value).encode())
    except (TypeError, ValueError) as error:
        msg = (
            f"{what[0].upper()}{what[1:]} cannot be sent: {type(value).__name__} has no form in "
            f"JSON. {error}. Return plain data, or ask for serialization=pickle."
        )
        raise NotSerializableError(msg) from error
