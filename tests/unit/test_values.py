"""Arguments and answers have the form that a call asks for."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
from typing import Any

import numpy as np
import pytest

from runhouse.errors import ArgumentsError, NotSerializableError
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call
from runhouse.wire.pickling import Pickled, loads
from runhouse.worker.values import dump_value, load_arguments, load_whole


def json_call(**fields: Any) -> Call:
    """Return a call of somebody who speaks JSON."""
    return Call("id", "call", "key", arguments="json", answer="json", **fields)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ((), {})),
        (b"{}", ((), {})),
        (b'{"args": [1, "a", null]}', ((1, "a", None), {})),
        (b'{"args": [], "kwargs": {"a": [1.5]}}', ((), {"a": [1.5]})),
    ],
)
def test_arguments_may_be_json(body: bytes, expected: object) -> None:
    assert load_arguments(json_call(), Frame(1, {}, body)) == expected


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b'"text"', b'{"args": 5}', b"\xff"] + [b'{"more": 1}', b"[" * 100_000, b"NaN"],
)
def test_arguments_that_are_no_json_object_are_an_error(body: bytes) -> None:
    with pytest.raises(ArgumentsError):
        load_arguments(json_call(), Frame(1, {}, body))


@pytest.mark.parametrize("value", [None, 1, 2.5, "ü", [1, [2]], {"a": None}, True])
def test_answers_have_the_form_that_was_asked_for(value: object) -> None:
    assert json.loads(bytes(dump_value(json_call(), value, "the result").body)) == value
    pickled = dump_value(Call("id", "call", "key"), value, "the result")
    assert loads(pickled.body, pickled.buffers) == value
    nothing = dump_value(Call("id", "call", "key", answer="none"), value, "the result")
    assert nothing == Pickled(b"null")


@pytest.mark.parametrize("value", [object(), [{1}, 1j], math.inf, {(1, 2): 3}, int])
def test_an_answer_without_a_form_in_json_is_told(value: object) -> None:
    with pytest.raises(NotSerializableError, match="The result cannot be sent: .* has no form in"):
        dump_value(json_call(), value, "the result")
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(NotSerializableError):
        dump_value(json_call(), endless, "the result")


class Color(enum.Enum):
    """Be a color."""

    RED = "red"


@dataclasses.dataclass
class Box:
    """Hold something."""

    content: object


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (Color.RED, "red"),
        (Box([Box(1)]), {"content": [{"content": 1}]}),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (datetime.time(12), "12:00:00"),
        (pathlib.Path("/a"), "/a"),
        (decimal.Decimal("1.50"), "1.50"),
        ({1}, [1]),
        ([b"raw", bytearray(b"raw")], ["cmF3", "cmF3"]),
        ((1, 2), [1, 2]),
        (np.arange(3), [0, 1, 2]),
        (np.float64(0.5), 0.5),
        (np.int32(7), 7),
    ],
)
def test_what_json_lacks_has_a_form_where_it_is_plain(value: object, form: object) -> None:
    assert json.loads(bytes(dump_value(json_call(), value, "the result").body)) == form


def test_a_whole_pickle_has_no_buffers_apart() -> None:
    value = np.arange(100_000)
    pickled = dump_value(Call("id", "call", "key", answer="whole"), value, "the result")
    assert not pickled.buffers
    assert np.array_equal(load_whole(Frame(1, {}, pickled.body)), value)


@pytest.mark.parametrize("body", [b"", b"garbage", b"\x80\x05cnowhere\nnothing\n."])
def test_a_body_that_is_no_pickle_is_told(body: bytes) -> None:
    with pytest.raises(ArgumentsError, match="no pickle"):
        load_whole(Frame(1, {}, body))


def test_texts_are_kept_by_place_and_by_name() -> None:
    call = Call("id", "call", "key", arguments="text")
    body = b'{"args": ["3"], "kwargs": {"a": ["1", "2"]}}'
    assert load_arguments(call, Frame(1, {}, body)) == (("3",), {"a": ["1", "2"]})
