"""Annotations become JSON Schemas."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import json
import math
import operator
import typing
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union

import pytest
from typing_extensions import TypeAliasType

from runhouse.worker.schema import describe, describe_methods, schema_of

if typing.TYPE_CHECKING:
    from tests.nowhere import Unknown  # type: ignore[import-not-found]

UserId = NewType("UserId", int)
T = TypeVar("T")


class Level(enum.Enum):
    """Have values of two types."""

    LOW = 1
    HIGH = "high"


@dataclasses.dataclass
class Node:
    """Name itself inside of itself."""

    value: int
    next: Optional[Node] = None  # noqa: UP045 - both spellings are to work
    made: int = dataclasses.field(default=0, init=False)


class Options(TypedDict, total=False):
    """Be a dictionary of known keys."""

    depth: int
    names: list[str]


class Spot(NamedTuple):
    """Be a tuple whose places have names."""

    x: int
    name: str = ""


class Odd(enum.Enum):
    """Have values that JSON does not have."""

    LARGE = math.inf
    RAW = b"raw"


Alias = TypeAliasType("Alias", int)
INTEGER = {"type": "integer"}
TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (int, INTEGER),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (T, {}),
        (complex, {}),
        (UserId, INTEGER),
        (Annotated[int, "positive"], INTEGER),
        (int | None, {"anyOf": [INTEGER, {"type": "null"}]}),
        (Union[int, str], {"anyOf": [INTEGER, TEXT]}),  # noqa: UP007 - an older spelling
        (Union[int, complex], {}),  # noqa: UP007 - an older spelling
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": INTEGER}),
        (collections.abc.Sequence[str], {"type": "array", "items": TEXT}),
        (set[int], {"type": "array", "items": INTEGER, "uniqueItems": True}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [INTEGER, TEXT], "minItems": 2, "maxItems": 2},
        ),
        (tuple[int, ...], {"type": "array", "items": INTEGER}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": INTEGER}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Literal["a", b"b"], {}),
        (Level, {"enum": [1, "high"]}),
        (Odd, {"enum": ["LARGE", "RAW"]}),
        (Alias, INTEGER),
        (
            Spot,
            {"type": "array", "prefixItems": [INTEGER, TEXT], "minItems": 1, "maxItems": 2},
        ),
        (datetime.date, {"type": "string", "format": "date"}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (collections.abc.Iterator[int], {"type": "array", "items": INTEGER}),
        (
            Options,
            {
                "type": "object",
                "properties": {"depth": INTEGER, "names": {"type": "array", "items": TEXT}},
                "additionalProperties": False,
            },
        ),
        ([1], {}),
    ],
)
def test_what_annotations_say(annotation: Any, schema: dict[str, Any]) -> None:
    assert schema_of(annotation) == schema


def test_a_class_that_names_itself_ends_somewhere() -> None:
    schema = schema_of(Node)
    assert schema["required"] == ["value"]
    assert schema["properties"].keys() == {"value", "next"}
    assert len(json.dumps(schema)) < 2000


def takes(
    a: int,
    /,
    b: str = "x",
    *rest: float,
    c: Level = Level.LOW,
    d: Unknown = None,
    **more: bool,
) -> list[int]:
    """Take arguments of every kind.

    And say more.
    """
    raise NotImplementedError


def test_a_function_is_described() -> None:
    told = describe(takes)
    json.dumps(told)
    assert told["doc"].startswith("Take arguments of every kind.")
    assert told["returns"] == {"type": "array", "items": INTEGER}
    assert not told["streams"]
    assert [(p["name"], p["kind"], p["required"], p["schema"]) for p in told["parameters"]] == [
        ("a", "POSITIONAL_ONLY", True, INTEGER),
        ("b", "POSITIONAL_OR_KEYWORD", False, TEXT | {"default": "x"}),
        ("rest", "VAR_POSITIONAL", False, {"type": "number"}),
        ("c", "KEYWORD_ONLY", False, {"enum": [1, "high"]}),
        ("d", "KEYWORD_ONLY", False, {}),
        ("more", "VAR_KEYWORD", False, {"type": "boolean"}),
    ]


def numbers() -> collections.abc.Iterator[int]:
    """Yield a number."""
    yield 1


class Thing:
    """Have methods of every kind."""

    def __init__(self, size: int = 1) -> None:
        """Store the size."""
        self.size = size

    def grow(self, by: int) -> int:
        """Grow."""
        return self.size + by

    def __call__(self, x: int) -> int:
        """Add."""
        return self.size + x

    @classmethod
    def named(cls, name: str) -> str:
        """Return a name."""
        return name

    @staticmethod
    def twice(x: int) -> int:
        """Double."""
        return 2 * x

    @property
    def broken(self) -> int:
        """Raise when it is looked at."""
        raise ValueError

    def _hidden(self) -> None:
        """Be nobody's business."""


@pytest.mark.parametrize(
    "code",
    [math.factorial, print, max, operator.itemgetter(0), partial(takes, 1), Thing, Thing(), len]
    + [Thing().grow, dict, lambda x, y=float("nan"): x, lambda x=math.inf: x, numbers, type],
)
def test_everything_that_can_be_called_can_be_described(code: Any) -> None:
    assert json.loads(json.dumps(describe(code), allow_nan=False)).keys() == {
        "doc",
        "streams",
        "returns",
        "parameters",
    }


def test_methods_are_those_that_python_code_defines() -> None:
    assert describe(numbers)["streams"]
    assert describe(numbers)["returns"] == {"type": "array", "items": INTEGER}
    assert describe_methods(Thing()).keys() == {"grow", "named", "twice"}
    assert describe_methods(Thing).keys() == {"named", "twice"}
    assert describe_methods([1]) == {}
    assert [p["name"] for p in describe_methods(Thing())["grow"]["parameters"]] == ["by"]
    assert describe(Thing)["parameters"][0]["schema"] == INTEGER | {"default": 1}
