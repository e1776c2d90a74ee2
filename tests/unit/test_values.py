"""Arguments and answers have the form that a call asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runhouse.errors import NotSerializableError
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call
from runhouse.wire.pickling import Pickled, loads
from runhouse.worker.values import dump_value, load_arguments


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


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"text"', b'{"args": 5}', b"\xff"])
def test_arguments_that_are_no_json_object_are_an_error(body: bytes) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        load_arguments(json_call(), Frame(1, {}, body))


@pytest.mark.parametrize("value", [None, 1, 2.5, "ü", [1, [2]], {"a": None}, True])
def test_answers_have_the_form_that_was_asked_for(value: object) -> None:
    assert json.loads(bytes(dump_value(json_call(), value, "the result").body)) == value
    pickled = dump_value(Call("id", "call", "key"), value, "the result")
    assert loads(pickled.body, pickled.buffers) == value
    nothing = dump_value(Call("id", "call", "key", answer="none"), value, "the result")
    assert nothing == Pickled(b"null")


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {(1, 2): 3}])
def test_an_answer_without_a_form_in_json_is_told(value: object) -> None:
    with pytest.raises(NotSerializableError, match="The result cannot be sent: .* has no form in"):
        dump_value(json_call(), value, "the result")
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(NotSerializableError):
        dump_value(json_call(), endless, "the result")
