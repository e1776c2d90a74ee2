"""What AWS checks in a request: lengths, patterns, enumerations and ranges of its public API model.

boto3 itself checks few of them.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import botocore.session

from tests.rigs.sagemakerbox.box import AwsError

_NUMBERS = ("integer", "long", "float", "double")
_SHOWN = 60


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def check(service: str, operation: str, request: dict[str, Any]) -> None:
    """Refuse a request that AWS refuses.

    Raises:
        AwsError: It breaks a limit.
    """
    wrong: list[str] = []
    _walk(_model(service).operation_model(operation).input_shape, request, "", wrong)
    if wrong:
        count = f"{len(wrong)} validation error{'s' * (len(wrong) > 1)} detected"
        raise AwsError("ValidationException", f"{count}: {'; '.join(wrong)}")


def _walk(shape: Any, value: Any, path: str, wrong: list[str]) -> None:
    kind, at = shape.type_name, path.rstrip(".")
    if kind == "structure":
        wrong += [
            f"Value null at '{path}{name}' failed to satisfy constraint: Member must not be null"
            for name in shape.required_members
            if name not in value
        ]
        for name in value.keys() & shape.members.keys():
            _walk(shape.members[name], value[name], f"{path}{name}.", wrong)
        return
    size = value if kind in _NUMBERS else len(value) if hasattr(value, "__len__") else None
    least, most = shape.metadata.get("min", size), shape.metadata.get("max", size)
    if size is not None and not least <= size <= most:
        what = "value" if kind in _NUMBERS else "length"
        limits = f"between {shape.metadata.get('min', 0)} and {shape.metadata.get('max', 'any')}"
        wrong.append(
            f"Value at '{at}' failed to satisfy constraint: "
            f"Member must have {what} {limits}, has {size}"
        )
    if kind == "list":
        for index, each in enumerate(value):
            _walk(shape.member, each, f"{path}{index + 1}.", wrong)
    elif kind == "map":
        for name, each in value.items():
            _walk(shape.key, name, path, wrong)
            _walk(shape.value, each, f"{path}{name}.", wrong)
    elif kind == "string":
        _text(shape, value, at, wrong)


def _text(shape: Any, value: str, at: str, wrong: list[str]) -> None:
    pattern = shape.metadata.get("pattern")
    # Python's patterns have no classes of Unicode such as \p{L}.
    if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, value):
        wrong.append(
            f"Value '{value[:_SHOWN]}' at '{at}' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {pattern}"
        )
    if shape.enum and value not in shape.enum:
        wrong.append(
            f"Value '{value}' at '{at}' failed to satisfy constraint: "
            "Member must satisfy enum value set"
        )
