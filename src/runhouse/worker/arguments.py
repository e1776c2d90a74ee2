"""Arguments that came as JSON or as text: read and checked by a function's annotations.

What has no annotation is taken as it is. Values are not guessed: 3 does not become "3", and a text
does not become a number unless it came in a query, where everything is text.
"""

from __future__ import annotations

import enum
import inspect
import json
import typing
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from runhouse.errors import ArgumentsError
from runhouse.worker.schema import (
    MAPPINGS,
    SEQUENCES,
    TEXTS,
    Parameter,
    bare,
    fields_of,
    is_union,
    parameters_of,
    places_of,
    schema_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_KINDS = inspect.Parameter
Given = tuple[tuple[Any, ...], dict[str, Any]]
Read = typing.Callable[[Any, Any], Any]


class _Unfit(Exception):
    """Report a value that does not fit, and what was expected."""


def _refuse(expected: str) -> NoReturn:
    raise _Unfit(expected)


def fit_json(code: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Given:
    """Return arguments that came as JSON as a callable wants them.

    Raises:
        ArgumentsError: They do not fit; the message names the parameter and what it takes.
    """
    return _fit(code, tuple(args), dict(kwargs), from_json)


def fit_texts(
    code: Callable[..., Any], given: Sequence[str], texts: Mapping[str, list[str]]
) -> Given:
    """Return arguments that came as texts, several for a repeated name, as a callable wants them.

    Raises:
        ArgumentsError: They do not fit; the message names the parameter and what it takes.
    """
    args: list[Any] = [[text] for text in given]
    kwargs: dict[str, Any] = dict(texts)
    parameters = [] if given else parameters_of(code) or []
    rest = [p for p in parameters if p.kind is _KINDS.VAR_POSITIONAL and p.name in kwargs]
    by_place = [_KINDS.POSITIONAL_ONLY, *([_KINDS.POSITIONAL_OR_KEYWORD] if rest else [])]
    for parameter in parameters:
        if parameter.kind in by_place and parameter.name in kwargs:
            args.append(kwargs.pop(parameter.name))
        elif parameter in rest:
            args += [[text] for text in kwargs.pop(parameter.name)]
    return _fit(code, tuple(args), kwargs, from_texts)


def _fit(code: Callable[..., Any], args: Any, kwargs: dict[str, Any], read: Read) -> Given:
    parameters = parameters_of(code)
    if parameters is None:
        return tuple(read(Any, arg) for arg in args), {k: read(Any, v) for k, v in kwargs.items()}
    try:
        bound = inspect.signature(code).bind(*args, **kwargs)
    except TypeError as error:
        msg = (
            f"The arguments cannot be used. The call does not fit: {error}. It takes "
            f"{_list(parameters)}."
        )
        raise ArgumentsError(msg, parameter="", expected=_list(parameters)) from error
    by_name = {parameter.name: parameter for parameter in parameters}
    for name, given in bound.arguments.items():
        bound.arguments[name] = _read_parameter(by_name[name], given, read)
    return bound.args, bound.kwargs


def _list(parameters: list[Parameter]) -> str:
    return ", ".join(parameter.name for parameter in parameters) or "no arguments"


def _read_parameter(parameter: Parameter, given: Any, read: Read) -> Any:
    def one(value: Any, name: str = parameter.name) -> Any:
        try:
            return read(parameter.annotation, value)
        except _Unfit as unfit:
            shown = value[0] if read is from_texts and len(value) == 1 else value
            msg = (
                f"The argument {name!r} cannot be used. It must be {unfit}, and {shown!r:.200} was "
                "given. Correct it and call again."
            )
            raise ArgumentsError(msg, parameter=name, expected=str(unfit)) from unfit

    if parameter.kind is _KINDS.VAR_POSITIONAL:
        return tuple(one(value) for value in given)
    if parameter.kind is _KINDS.VAR_KEYWORD:
        return {name: one(value, name) for name, value in given.items()}
    return one(given)


# -- JSON -----------------------------------------------------------------------------------------


def from_json(annotation: Any, value: Any) -> Any:
    """Return a JSON value as an annotation wants it."""
    annotation = bare(annotation)
    try:
        hash(annotation)
    except TypeError:
        return value
    if annotation in (None, type(None)):
        return _checked(value, value is None, "null")
    if annotation in (bool, int, float, str):
        return _number_or_text(annotation, value)
    if annotation in TEXTS:
        return _from_text(annotation, value)
    if is_union(annotation):
        return _from_union(annotation, value, from_json)
    if typing.get_origin(annotation) is Literal:
        return _from_literal(annotation, lambda part: _same(part, value))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _from_enum(annotation, lambda part: _same(part, value))
    return _from_structure(annotation, value)


def _checked(value: Any, fits: bool, expected: str) -> Any:
    if not fits:
        _refuse(expected)
    return value


def _same(one: object, other: object) -> bool:
    """Compare as JSON does: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


def _number_or_text(kind: type, value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and number:
        try:
            return float(value)
        except OverflowError:
            _refuse(_NAMES[kind])
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)  # JSON has one sort of number
    return _checked(value, type(value) is kind, _NAMES[kind])


def _from_text(annotation: Any, value: Any) -> Any:
    read, _, expected = TEXTS[annotation]
    try:
        return read(_checked(value, isinstance(value, str), expected))
    except (ValueError, ArithmeticError):
        _refuse(expected)


def _from_union(annotation: Any, value: Any, read: Read) -> Any:
    expected = []
    # A text fits everything that texts are, so it comes last.
    for part in sorted(typing.get_args(annotation), key=lambda part: part is str):
        try:
            return read(part, value)
        except _Unfit as unfit:  # noqa: PERF203 - each part has one
            expected.append(str(unfit))
    _refuse(" or ".join(expected))


def _from_literal(annotation: Any, fits: Callable[[Any], bool]) -> Any:
    parts = typing.get_args(annotation)
    for part in parts:
        if fits(part.value if isinstance(part, enum.Enum) else part):
            return part
    _refuse(f"one of {', '.join(map(repr, parts))}")


def _from_enum(annotation: Any, fits: Callable[[Any], bool]) -> Any:
    for member in annotation:
        if fits(member.value) or fits(member.name):
            return member
    _refuse(f"one of {', '.join(repr(member.value) for member in annotation)}")


def _from_structure(annotation: Any, value: Any) -> Any:
    """Return a list or an object as an annotation wants it; of other types, any value is taken."""
    parts = typing.get_args(annotation)
    base = typing.get_origin(annotation) or annotation
    if base in SEQUENCES:
        given = _checked(value, isinstance(value, list), "a list")
        try:
            return SEQUENCES[base](_items(base, parts, given))
        except TypeError:  # a set of what cannot be in one
            _refuse("a list of plain values")
    if base in MAPPINGS:
        given = _checked(value, isinstance(value, dict), "an object")
        named, kind = parts if len(parts) == 2 else (str, Any)
        return {_from_key(named, name): from_json(kind, item) for name, item in given.items()}
    places = places_of(annotation)
    if places is not None:
        return annotation(*_from_places(places, value))
    fields = fields_of(annotation)
    if fields is None:
        return value
    given = _checked(value, isinstance(value, dict), f"an object with {', '.join(fields)}")
    needed = {name for name, (_, required) in fields.items() if required}
    if not (needed <= given.keys() <= fields.keys()):
        _refuse(f"an object with {', '.join(fields)}")
    made = {name: from_json(fields[name][0], item) for name, item in given.items()}
    return annotation(**made)


def _from_key(annotation: Any, name: str) -> Any:
    """Return a key, which is always a text in JSON, as an annotation wants it."""
    return _from_one(annotation, name) if schema_of(annotation) else name


def _from_places(places: list[tuple[Any, bool]], value: Any) -> list[Any]:
    least = sum(needed for _, needed in places)
    expected = f"a list of {least}" + (f" to {len(places)}" if least < len(places) else "")
    given = _checked(value, isinstance(value, list), expected)
    _checked(given, least <= len(given) <= len(places), expected)
    return [from_json(kind, item) for (kind, _), item in zip(places, given, strict=False)]


def _items(base: Any, parts: tuple[Any, ...], given: list[Any]) -> list[Any]:
    if base is tuple and parts and parts[-1] is not Ellipsis:
        if len(given) != len(parts):
            _refuse(f"a list of {len(parts)}")
        return [from_json(part, item) for part, item in zip(parts, given, strict=True)]
    return [from_json(parts[0] if parts else Any, item) for item in given]


# -- texts ----------------------------------------------------------------------------------------


def from_texts(annotation: Any, texts: list[str]) -> Any:
    """Return the texts that a query gives for one name as an annotation wants them."""
    annotation = bare(annotation)
    if is_union(annotation):
        return _from_union(annotation, texts, from_texts)
    base = typing.get_origin(annotation) or annotation
    if isinstance(base, Hashable) and base in SEQUENCES:
        return _from_repeated(annotation, texts)
    if len(texts) != 1:
        _refuse("given once")
    return _from_one(annotation, texts[0])


def _from_repeated(annotation: Any, texts: list[str]) -> Any:
    if len(texts) == 1 and texts[0].lstrip().startswith("["):
        return from_json(annotation, _json(texts[0], "a list"))
    base, parts = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if base is tuple and parts and parts[-1] is not Ellipsis:
        if len(texts) != len(parts):
            _refuse(f"given {len(parts)} times")
        return tuple(_from_one(part, text) for part, text in zip(parts, texts, strict=True))
    return SEQUENCES[base](_from_one(parts[0] if parts else Any, text) for text in texts)


def _json(text: str, expected: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        _refuse(f"{expected} as JSON")


def _from_one(annotation: Any, text: str) -> Any:
    annotation = bare(annotation)
    if is_union(annotation):
        return _from_union(annotation, [text], from_texts)
    if annotation is str:
        return text
    if annotation in (None, type(None)):
        return _checked(None, text in ("null", ""), "null")
    if annotation is bool:
        _checked(None, text.lower() in _TRUE + _FALSE, "true or false")
        return text.lower() in _TRUE
    if annotation in (int, float):
        try:
            return annotation(text)
        except ValueError:
            _refuse(_NAMES[annotation])
    if typing.get_origin(annotation) is Literal:
        return _from_literal(annotation, lambda part: str(part) == text)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _from_enum(annotation, lambda part: str(part) == text)
    if isinstance(annotation, Hashable) and annotation in TEXTS:
        return _from_text(annotation, text)
    return _from_other(annotation, text)


def _from_other(annotation: Any, text: str) -> Any:
    """Read what is JSON as JSON; without an annotation, anything else stays a text."""
    base = typing.get_origin(annotation) or annotation
    structured = (*SEQUENCES, *MAPPINGS)
    if base in structured or places_of(base) is not None or fields_of(annotation) is not None:
        return from_json(annotation, _json(text, "a list or an object"))
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text


def _no_number(name: str) -> NoReturn:
    """Take NaN and the like as texts: they are not JSON.

    Raises:
        ValueError: Always.
    """
    raise ValueError(name)
