"""What can be called, told as JSON: parameters and results with JSON Schemas from annotations.

Only what an annotation says plainly becomes part of a schema; one that names a class which JSON has
no form for accepts any value. `arguments.py` reads values by the same annotations.
"""

from __future__ import annotations

import base64
import binascii
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import math
import pathlib
import types
import typing
import uuid
from typing import TYPE_CHECKING, Any, Literal, Union, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Schema = dict[str, Any]
# Classes that name themselves inside of themselves are told this deep.
_DEEPEST = 6

_SIMPLE: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"type": "null"},
    None: {"type": "null"},
}


def _read_datetime(text: str) -> datetime.datetime:
    """Read an ISO 8601 time; Python 3.10 does not know the letter Z itself."""
    return datetime.datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)


def _read_bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


# Types that JSON writes as text: how it is read, its schema, and its name for a person.
TEXTS: dict[Any, tuple[Callable[[str], Any], Schema, str]] = {
    datetime.datetime: (
        _read_datetime,
        {"type": "string", "format": "date-time"},
        "a date and time such as 2026-01-31T12:00:00",
    ),
    datetime.date: (
        datetime.date.fromisoformat,
        {"type": "string", "format": "date"},
        "a date such as 2026-01-31",
    ),
    datetime.time: (
        datetime.time.fromisoformat,
        {"type": "string", "format": "time"},
        "a time such as 12:00:00",
    ),
    uuid.UUID: (uuid.UUID, {"type": "string", "format": "uuid"}, "a UUID"),
    decimal.Decimal: (decimal.Decimal, {"type": "string", "format": "decimal"}, "a decimal number"),
    pathlib.Path: (pathlib.Path, {"type": "string"}, "a path"),
    pathlib.PurePath: (pathlib.PurePath, {"type": "string"}, "a path"),
    bytes: (_read_bytes, {"type": "string", "contentEncoding": "base64"}, "bytes as base64"),
}

SEQUENCES: dict[Any, Callable[[Any], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
}
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_STREAMS = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    collections.abc.AsyncIterable,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """Hold one parameter of a function, its annotation resolved.

    Attributes:
        name: Its name.
        kind: How it can be given.
        annotation: Its type; `typing.Any` when none is known.
        default: Its default, or `inspect.Parameter.empty`.
    """

    name: str
    kind: inspect._ParameterKind
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Tell whether it must be given."""
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return self.default is inspect.Parameter.empty and self.kind not in variadic


def parameters_of(code: object) -> list[Parameter] | None:
    """Return the parameters of a callable, or None when nothing is known about them."""
    try:
        signature = inspect.signature(cast("Any", code))
    except (TypeError, ValueError):
        return None
    names = _names_of(code)
    return [
        Parameter(p.name, p.kind, _meant(resolve(p.annotation, names), p.default), p.default)
        for p in signature.parameters.values()
    ]


def _meant(annotation: Any, default: Any) -> Any:
    """Return what an annotation means together with the parameter's default."""
    if annotation is not Any and default is None:
        return Union[annotation, None]  # noqa: UP007 - the annotation is a value
    return annotation


def _names_of(code: Any) -> Mapping[str, Any]:
    """Return the names that the annotations of a callable may use."""
    if isinstance(code, type):
        code = code.__init__  # type: ignore[misc]  # only its globals are looked at
    elif not isinstance(code, (types.FunctionType, types.MethodType)):
        code = getattr(type(code), "__call__", code)  # noqa: B004 - an instance with a method
    plain = inspect.unwrap(getattr(code, "__func__", code))
    return cast("Mapping[str, Any]", getattr(plain, "__globals__", {}))


def resolve(annotation: Any, names: Mapping[str, Any]) -> Any:
    """Return the type that an annotation stands for; one that cannot be found out is `Any`."""
    if annotation is inspect.Parameter.empty:
        return Any
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, globalns=dict(names))["it"]
    except Exception:  # noqa: BLE001 - any name may be missing, and any expression may raise
        return Any


def fields_of(cls: Any) -> dict[str, tuple[Any, bool]] | None:
    """Return the fields of a dataclass or TypedDict: type, and whether it is required."""
    names = vars(inspect.getmodule(cls)) if inspect.getmodule(cls) is not None else {}
    if dataclasses.is_dataclass(cls) and isinstance(cls, type):
        return {
            field.name: (
                resolve(field.type, names),
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING,
            )
            for field in dataclasses.fields(cls)
            if field.init
        }
    if typing.is_typeddict(cls):
        required = cls.__required_keys__
        return {
            name: (resolve(kind, names), name in required)
            for name, kind in cls.__annotations__.items()
        }
    return None


def places_of(annotation: Any) -> list[tuple[Any, bool]] | None:
    """Return the fields of a NamedTuple, a list in JSON: type, and whether it is required."""
    names = getattr(annotation, "_fields", None)
    if not (isinstance(annotation, type) and issubclass(annotation, tuple) and names):
        return None
    known, kinds = vars(inspect.getmodule(annotation) or types), annotation.__annotations__
    defaults = getattr(annotation, "_field_defaults", {})
    return [(resolve(kinds.get(name, Any), known), name not in defaults) for name in names]


def is_union(annotation: Any) -> bool:
    """Tell whether an annotation allows several types."""
    return typing.get_origin(annotation) in (Union, types.UnionType)


def bare(annotation: Any) -> Any:
    """Return an annotation without what does not matter here: Annotated, NewType, aliases."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif type(annotation).__name__ == "TypeAliasType":  # Python 3.12, or typing_extensions
            annotation = annotation.__value__
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return annotation


def schema_of(annotation: Any, depth: int = 0) -> Schema:
    """Return the JSON Schema of the values that an annotation allows; empty for any value."""
    annotation = bare(annotation)
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if depth > _DEEPEST or not _is_hashable(annotation):
        return {}
    if annotation in _SIMPLE:
        return dict(_SIMPLE[annotation])
    if annotation in TEXTS:
        return dict(TEXTS[annotation][1])
    if is_union(annotation):
        return _schema_of_any([schema_of(part, depth + 1) for part in parts])
    if origin is Literal:
        allowed = [part.value if isinstance(part, enum.Enum) else part for part in parts]
        return {"enum": allowed} if all(map(_is_plain, allowed)) else {}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"enum": [_plain(member) for member in annotation]}
    base = origin or annotation
    if base in SEQUENCES:
        return _schema_of_sequence(base, parts, depth)
    if base in MAPPINGS:
        values = schema_of(parts[1], depth + 1) if len(parts) == 2 else {}
        return {"type": "object", **({"additionalProperties": values} if values else {})}
    if base in _STREAMS and parts:
        return {"type": "array", "items": schema_of(parts[0], depth + 1)}
    places = places_of(annotation)
    if places is not None:
        return _schema_of_places(places, depth)
    fields = fields_of(annotation)
    return _schema_of_fields(fields, depth) if fields is not None else {}


def _is_hashable(annotation: Any) -> bool:
    return isinstance(annotation, collections.abc.Hashable)


def _plain(member: enum.Enum) -> Any:
    """Return what stands for an enum's member in JSON: its value, or its name."""
    plain = member.value is not None and _is_plain(member.value)
    return member.value if plain else member.name


def _is_plain(value: object) -> bool:
    """Tell whether JSON has a form of its own for a value that holds no others."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int))


def _schema_of_any(schemas: list[Schema]) -> Schema:
    return {} if {} in schemas else {"anyOf": schemas}


def _schema_of_sequence(base: Any, parts: tuple[Any, ...], depth: int) -> Schema:
    schema: Schema = {"type": "array"}
    if base is tuple and parts and parts[-1] is not Ellipsis:
        schema["prefixItems"] = [schema_of(part, depth + 1) for part in parts]
        schema |= {"minItems": len(parts), "maxItems": len(parts)}
    elif parts:
        schema["items"] = schema_of(parts[0], depth + 1)
    if SEQUENCES[base] in (set, frozenset):
        schema["uniqueItems"] = True
    return schema


def _schema_of_places(places: list[tuple[Any, bool]], depth: int) -> Schema:
    return {
        "type": "array",
        "prefixItems": [schema_of(kind, depth + 1) for kind, _ in places],
        "minItems": sum(needed for _, needed in places),
        "maxItems": len(places),
    }


def _schema_of_fields(fields: Mapping[str, tuple[Any, bool]], depth: int) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {name: schema_of(kind, depth + 1) for name, (kind, _) in fields.items()},
        "additionalProperties": False,
    }
    required = [name for name, (_, needed) in fields.items() if needed]
    return schema | ({"required": required} if required else {})


# -- descriptions ---------------------------------------------------------------------------------


def describe(code: object) -> dict[str, Any]:
    """Describe something that can be called, as a JSON object.

    Returns:
        `doc`, `returns` (a schema), `streams` (whether it makes a generator), and `parameters`: for
        each one `name`, `kind`, `required`, `schema`; None when nothing is known about them.
    """
    parameters = parameters_of(code)
    return {
        "doc": inspect.getdoc(code) or "",
        "streams": inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code),
        "returns": _returns(code),
        "parameters": None if parameters is None else [_described(p) for p in parameters],
    }


def _described(parameter: Parameter) -> dict[str, Any]:
    schema = schema_of(parameter.annotation)
    if type(parameter.default) in (bool, int, float, str) and _is_plain(parameter.default):
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "kind": parameter.kind.name,
        "required": parameter.required,
        "schema": schema,
    }


def _returns(code: Any) -> Schema:
    if isinstance(code, type):
        return {}
    try:
        annotation = inspect.signature(code).return_annotation
    except (TypeError, ValueError):
        return {}
    return schema_of(resolve(annotation, _names_of(code)))


def describe_methods(value: object) -> dict[str, dict[str, Any]]:
    """Describe the public methods of an object, or of a class itself, that Python code defines."""
    return {name: describe(getattr(value, name)) for name in _methods(value)}


def _methods(value: object) -> Iterator[str]:
    owner = value if isinstance(value, type) else type(value)
    for name in dir(owner):
        found = inspect.getattr_static(owner, name, None)
        is_static = isinstance(found, (staticmethod, classmethod))
        is_own = isinstance(found, types.FunctionType) and not isinstance(value, type)
        if not name.startswith("_") and (is_static or is_own):
            yield name
