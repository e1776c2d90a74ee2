"""Arguments and answers in the format that a call asks for: pickles for Python, JSON for others."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import uuid
from typing import TYPE_CHECKING, Any

from runhouse.errors import ArgumentsError, NotSerializableError
from runhouse.wire.pickling import Pickled, dumps, dumps_whole, loads_frame
from runhouse.worker import inside
from runhouse.worker.arguments import fit_json, fit_texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.wire.frames import Frame
    from runhouse.wire.messages import Call

_AS_TEXT = (pathlib.PurePath, uuid.UUID, decimal.Decimal)
_TIMES = (datetime.date, datetime.time)  # a datetime is a date


def load_arguments(call: Call, frame: Frame) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments of a call; `fit` makes JSON and texts fit.

    Raises:
        ArgumentsError: They are not what the call says that they are.
    """
    if call.arguments in ("json", "text"):
        return _parts(load_json(frame) if len(frame.body) else {})
    args, kwargs = inside.receive(loads_frame, frame)
    return args, kwargs


def _parts(given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(given, dict) and given.keys() <= {"args", "kwargs"}:
        args, kwargs = given.get("args", []), given.get("kwargs", {})
        if isinstance(args, list) and isinstance(kwargs, dict):
            return tuple(args), kwargs
    msg = (
        "The arguments cannot be used. They are not of the form "
        '{"args": [...], "kwargs": {...}}. Send a JSON object with one or both of these.'
    )
    raise ArgumentsError(msg)


def load_json(frame: Frame) -> Any:
    """Return the JSON value that a frame holds.

    Raises:
        ArgumentsError: It holds something else.
    """
    try:
        return json.loads(bytes(frame.body), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        msg = f"The body cannot be read. It is not JSON: {error}. Send a JSON value in UTF-8."
        raise ArgumentsError(msg) from error


def load_whole(frame: Frame) -> Any:
    """Return the value of a pickle that did not come from this package.

    Raises:
        ArgumentsError: It cannot be loaded here.
    """
    try:
        return loads_frame(frame)
    except Exception as error:
        msg = (
            f"The body cannot be loaded. It is no pickle, or needs what is not here: "
            f"{type(error).__name__}: {error}. Send what pickle.dumps() returns."
        )
        raise ArgumentsError(msg) from error


def _refuse(name: str) -> None:
    msg = f"{name} is no number of JSON"
    raise ValueError(msg)


def fit(
    call: Call, code: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments as what is called wants them; those of Python callers are as they are.

    Raises:
        ArgumentsError: They do not fit its signature and annotations.
    """
    if call.arguments == "json":
        return fit_json(code, args, kwargs)
    if call.arguments == "text":
        return fit_texts(code, args, kwargs)
    return args, kwargs


def dump_value(call: Call, value: object, what: str) -> Pickled:
    """Write a result or an item as the call wants it.

    Raises:
        NotSerializableError: It cannot be written in that format.
    """
    if call.answer == "pickle":
        return dumps(value, what=what)
    if call.answer == "whole":
        return Pickled(dumps_whole(value, what=what))
    if call.answer == "none":
        return Pickled(b"null")
    if call.answer == "repr":
        value = repr(value)
    try:
        text = json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        msg = (
            f"{what[0].upper()}{what[1:]} cannot be sent: {type(value).__name__} has no form in "
            f"JSON. {error}. Return plain data, or ask for serialization=pickle."
        )
        raise NotSerializableError(msg) from error
    return Pickled(text.encode())


def _plain(value: Any) -> Any:
    """Return what stands in JSON for a value that has no form of its own there.

    Raises:
        NotSerializableError: Nothing does.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, _TIMES):
        return value.isoformat()
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    if hasattr(value, "dtype") and callable(getattr(value, "tolist", None)):
        return value.tolist()  # arrays and their numbers
    msg = f"{type(value).__module__}.{type(value).__qualname__} is no plain data"
    raise NotSerializableError(msg)
