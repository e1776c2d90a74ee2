"""Arguments in JSON or text become what annotations say, or are refused."""

from __future__ import annotations

import datetime
import decimal
import pathlib
import typing
import uuid
from functools import partial
from typing import Any, Literal, Union

import pytest
from hypothesis import given, strategies as st

from runhouse.errors import ArgumentsError, MethodNotFoundError
from runhouse.worker.arguments import fit_json, fit_texts
from tests.unit.test_schema import Alias, Level, Node, Options, Spot, Thing, UserId, takes


def taking(annotation: Any) -> Any:
    """Return a function that takes and returns one value of a type."""

    def function(it: Any) -> Any:
        return it

    function.__annotations__ = {"it": annotation}
    return function


def from_json(annotation: Any, value: Any) -> Any:
    """Return what a JSON value becomes."""
    args, kwargs = fit_json(taking(annotation), [value], {})
    assert not kwargs
    return args[0]


def from_texts(annotation: Any, *texts: str) -> Any:
    """Return what texts of a query become."""
    args, _ = fit_texts(taking(annotation), [], {"it": list(texts)})
    return args[0]


MOMENT = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc)
UUID = "12345678123456781234567812345678"


@pytest.mark.parametrize(
    ("annotation", "value", "made"),
    [
        (Any, {"a": 1}, {"a": 1}),
        (int, 3.0, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (int | None, None, None),
        (str | int, 3, 3),
        (Union[int, datetime.date], "2026-01-31", datetime.date(2026, 1, 31)),  # noqa: UP007 - an older spelling
        (list[Level], ["high", "LOW", 1], [Level.HIGH, Level.LOW, Level.LOW]),
        (set[int], [1, 1], {1}),
        (Alias, 3, 3),
        (Spot, [3], Spot(3)),
        (list[Spot], [[3, "a"]], [Spot(3, "a")]),
        (dict[int, Level], {"1": "high"}, {1: Level.HIGH}),
        (dict[Level, int], {"high": 1}, {Level.HIGH: 1}),
        (dict[datetime.date, int], {"2026-01-31": 1}, {datetime.date(2026, 1, 31): 1}),
        (dict[str, int], {"1": 1}, {"1": 1}),
        (dict[Any, int], {"1": 1}, {"1": 1}),
        (frozenset, [1], frozenset({1})),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], [1, 2], (1, 2)),
        (dict[str, datetime.date], {"a": "2026-01-31"}, {"a": datetime.date(2026, 1, 31)}),
        (Node, {"value": 1, "next": {"value": 2}}, Node(1, Node(2))),
        (Options, {"depth": 1}, {"depth": 1}),
        (datetime.datetime, "2026-01-31T12:00:00Z", MOMENT),
        (datetime.time, "12:00", datetime.time(12)),
        (uuid.UUID, UUID, uuid.UUID(UUID)),
        (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
        (pathlib.Path, "/a", pathlib.Path("/a")),
        (bytes, "YWI=", b"ab"),
        (Literal["a", 1], 1, 1),
        (Literal[Level.HIGH], "high", Level.HIGH),
        (UserId, 4, 4),
        (Thing, "anything", "anything"),
        (typing.Callable[[int], int], 1, 1),
    ],
)
def test_json_becomes_what_is_wanted(annotation: Any, value: Any, made: Any) -> None:
    got = from_json(annotation, value)
    assert got == made
    assert type(got) is type(made)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, "1", "an integer"),
        (int, True, "an integer"),
        (int, 1.5, "an integer"),
        (float, "1", "a number"),
        (float, 10**400, "a number"),
        (bool, 1, "true or false"),
        (str, 1, "a text"),
        (None, 0, "null"),
        (int | None, "x", "an integer or null"),
        (list[int], [1, "2"], "an integer"),
        (list[int], 1, "a list"),
        (set[Any], [[1]], "plain values"),
        (tuple[int, str], [1], "a list of 2"),
        (dict[str, int], [], "an object"),
        (dict[int, int], {"a": 1}, "an integer"),
        (Spot, [], "a list of 1 to 2"),
        (Spot, [1, "a", 2], "a list of 1 to 2"),
        (Spot, ["a"], "an integer"),
        (Node, {"next": None}, "value, next"),
        (Node, {"value": 1, "other": 2}, "value, next"),
        (Level, True, "one of 1, 'high'"),
        (Literal["a"], "b", "one of 'a'"),
        (datetime.date, "yesterday", "2026-01-31"),
        (datetime.date, 1, "a date"),
        (bytes, "?", "base64"),
        (decimal.Decimal, "x", "decimal"),
    ],
)
def test_json_that_does_not_fit_is_refused(annotation: Any, value: Any, expected: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        from_json(annotation, value)
    assert caught.value.parameter == "it"
    assert expected in caught.value.expected
    assert "'it'" in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "texts", "made"),
    [
        (int, ["3"], 3),
        (str, ["3"], "3"),
        (float, ["1e3"], 1000.0),
        (bool, ["No"], False),
        (bool, ["1"], True),
        (Any, ["3"], 3),
        (Any, ["three"], "three"),
        (Any, ['{"a": 1}'], {"a": 1}),
        (int | None, ["null"], None),
        (str | int, ["12"], 12),
        (str | int, ["x"], "x"),
        (list[int], ["1", "2"], [1, 2]),
        (list[int], ["[1, 2]"], [1, 2]),
        (list[int], ["1"], [1]),
        (list, ["1", "a"], [1, "a"]),
        (list[int] | None, ["1", "2"], [1, 2]),
        (tuple[int, str], ["1", "2"], (1, "2")),
        (set[str], ["a", "a"], {"a"}),
        (list[int | None], ["1", "null"], [1, None]),
        (dict[str, int], ['{"a": 1}'], {"a": 1}),
        (Node, ['{"value": 1}'], Node(1)),
        (Level, ["1"], Level.LOW),
        (Level, ["HIGH"], Level.HIGH),
        (Literal["a", 1], ["1"], 1),
        (datetime.date, ["2026-01-31"], datetime.date(2026, 1, 31)),
        (UserId, ["5"], 5),
    ],
)
def test_texts_become_what_is_wanted(annotation: Any, texts: list[str], made: Any) -> None:
    got = from_texts(annotation, *texts)
    assert got == made
    assert type(got) is type(made)


@pytest.mark.parametrize(
    ("annotation", "texts", "expected"),
    [
        (int, ["x"], "an integer"),
        (int, ["1", "2"], "given once"),
        (int, ["9" * 5000], "an integer"),
        (float, [""], "a number"),
        (bool, ["maybe"], "true or false"),
        (list[int], ["1", "x"], "an integer"),
        (list[int], ["[1"], "as JSON"),
        (dict[str, int], ["[" * 100_000], "as JSON"),
        (dict[str, int], ['{"a": "b"}'], "an integer"),
        (tuple[int, str], ["1"], "given 2 times"),
        (Level, ["2"], "one of"),
        (type(None), ["1"], "null"),
    ],
)
def test_texts_that_do_not_fit_are_refused(
    annotation: Any, texts: list[str], expected: str
) -> None:
    with pytest.raises(ArgumentsError) as caught:
        from_texts(annotation, *texts)
    assert expected in caught.value.expected


def test_arguments_go_where_the_signature_says() -> None:
    assert fit_json(takes, [1, "b", 2], {"c": "high", "e": True}) == (
        (1, "b", 2.0),
        {"c": Level.HIGH, "e": True},
    )
    texts = {"a": ["1"], "b": ["z"], "rest": ["2", "3"], "c": ["1"], "e": ["yes"]}
    args, kwargs = fit_texts(takes, [], {name: texts[name] for name in ("a", "c", "e")})
    assert (args, kwargs) == ((1,), {"c": Level.LOW, "e": True})
    args, kwargs = fit_texts(takes, [], {name: texts[name] for name in ("a", "b", "rest")})
    assert args == (1, "z", 2.0, 3.0)
    assert fit_texts(Thing, [], {"size": ["3"]}) == ((3,), {})
    assert fit_json(partial(takes, 1), ["b"], {}) == (("b",), {})
    assert fit_json(max, [1, 2], {}) == ((1, 2), {})
    assert fit_texts(max, [], {"key": ["1"]}) == ((), {"key": 1})
    assert fit_texts(takes, ["1", "2", "3", "4"], {"e": ["no"]}) == (
        (1, "2", 3.0, 4.0),
        {"e": False},
    )
    assert fit_texts(max, ["1", "x"], {}) == ((1, "x"), {})
    assert from_texts(Any, "NaN") == "NaN"


@pytest.mark.parametrize(
    ("args", "kwargs"), [([], {}), ([1], {"a": 1}), ([1, "b"], {"b": "c"}), ([1], {"e": 1})]
)
def test_arguments_that_do_not_bind_are_refused(args: list[Any], kwargs: dict[str, Any]) -> None:
    with pytest.raises(ArgumentsError, match=r"cannot be used\."):
        fit_json(takes, args, kwargs)
    texts = {name: ["neither"] for name in kwargs}
    with pytest.raises(ArgumentsError, match=r"cannot be used\."):
        fit_texts(takes, list(map(str, args)), texts)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
ANNOTATIONS: list[Any] = [int, str, float, bool, None, Level, Node, Options, bytes, datetime.date]
ANNOTATIONS += [list[int], set[Any], tuple[int, str], dict[str, Node], int | None, Literal[1, "a"]]
ANNOTATIONS += [Alias, Spot, dict[int, Spot], dict[Level | None, int]]
ANNOTATIONS += [datetime.datetime, uuid.UUID, decimal.Decimal, list[Level | None], Any]


@given(st.sampled_from(ANNOTATIONS), VALUES)
def test_any_value_is_taken_or_refused(annotation: Any, value: Any) -> None:
    try:
        from_json(annotation, value)
    except ArgumentsError as error:
        assert error.expected  # noqa: PT017 - most values are refused, some are taken


@given(st.sampled_from(ANNOTATIONS), st.lists(st.text(max_size=8), min_size=1, max_size=3))
def test_any_text_is_taken_or_refused(annotation: Any, texts: list[str]) -> None:
    try:
        from_texts(annotation, *texts)
    except ArgumentsError as error:
        assert error.expected  # noqa: PT017 - most values are refused, some are taken


def test_the_errors_are_those_that_python_would_raise() -> None:
    assert issubclass(ArgumentsError, TypeError)
    assert issubclass(MethodNotFoundError, AttributeError)
