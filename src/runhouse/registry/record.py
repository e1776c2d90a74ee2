"""Records: what is saved about a named resource, never a credential."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runhouse.errors import RecordError

VERSION = 1
HEAD = ("version", "kind", "name")
_SECRET_KEY = re.compile(
    r"password|passwd|passphrase|token(?!i[sz])|secret|credential|(api|access)[_-]?key|key_content",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]+:[^/\s@]+@")


def _copy(path: str, value: object) -> Any:
    """Return a copy as JSON would give it back; refuse what it cannot hold, and credentials."""
    if isinstance(value, Mapping):
        return {key: _copy(f"{path}.{key}", _check_key(path, key, value)) for key in value}
    if isinstance(value, (list, tuple)):
        return [_copy(f"{path}[{index}]", inner) for index, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise _unfit(path, f"the number {value}", "Give a finite number")
    if isinstance(value, str):
        return _check_text(path, value)
    if value is not None and not isinstance(value, (int, float)):
        raise _unfit(path, f"a {type(value).__name__}", "Convert it")
    return value


def _check_key(path: str, key: object, mapping: Mapping[Any, object]) -> object:
    """Return the value of a key that may be saved."""
    if not isinstance(key, str):
        raise _unfit(path, f"the key {key!r}", "Make it a text")
    if _SECRET_KEY.search(_check_text(path, key)):
        raise _credential(f"{path}.{key}")
    return mapping[key]


def _check_text(path: str, text: str) -> str:
    """Return a text that may be saved."""
    if _SECRET_VALUE.search(text):
        raise _credential(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _unfit(path, "a text that is not Unicode", "Correct it") from error
    return text


def _credential(path: str) -> RecordError:
    return RecordError(
        f"The record field {path} was not saved. It looks like a credential, and records hold "
        "none. Leave it out: passwords are kept apart by save(), keys are given by their path."
    )


def _unfit(path: str, what: str, advice: str) -> RecordError:
    return RecordError(
        f"The record field {path} cannot be saved. It holds {what}, and records hold texts, finite "
        f"numbers, lists and dicts with texts as keys. {advice}."
    )


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one record.

    Attributes:
        kind: What it describes, a key of `registry.kinds`.
        name: The resource's name.
        fields: What the kind needs: a copy, as JSON values only.
    """

    kind: str
    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Copy the fields, and refuse those that must not be saved."""
        taken = [key for key in HEAD if key in self.fields]
        if taken:
            raise _unfit("fields", f"the reserved key {taken[0]!r}", "Choose another one")
        object.__setattr__(self, "fields", _copy("fields", self.fields))

    @classmethod
    def from_mapping(cls, values: object) -> Record:
        """Make a record of a flat mapping with `kind`, `name` and the fields.

        Raises:
            RecordError: `kind` or `name` is missing or no text.
        """
        if not isinstance(values, Mapping):
            msg = (
                f"This is not the definition of a resource. A dict is expected, not a "
                f"{type(values).__name__}. Pass what config() returned."
            )
            raise RecordError(msg)
        rest = dict(values)
        kind, name = rest.pop("kind", None), rest.pop("name", None)
        if not isinstance(kind, str) or not isinstance(name, str):
            msg = (
                "This is not the definition of a resource. It needs the texts 'kind' and 'name', "
                f"and has {sorted(map(str, values))}. Pass what config() returned."
            )
            raise RecordError(msg)
        return cls(kind, name, rest)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read a record.

        Raises:
            RecordError: The text is not a record, or was written by a newer version.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            msg = f"The record cannot be read. It is not valid JSON: {error}. Correct or delete it."
            raise RecordError(msg) from error
        version = values.pop("version", None) if isinstance(values, dict) else None
        if version != VERSION:
            msg = (
                f"The record cannot be read. Its version is {version!r}, and this runhouse reads "
                f"version {VERSION}. Upgrade runhouse, or correct or delete the record."
            )
            raise RecordError(msg)
        return cls.from_mapping(values)

    def to_json(self) -> str:
        """Return the record as readable JSON."""
        head = {"version": VERSION, "kind": self.kind, "name": self.name}
        return json.dumps({**head, **self.fields}, indent=2, ensure_ascii=False) + "\n"

    def take(self, *known: str) -> dict[str, Any]:
        """Return the fields, all of which the kind must know.

        Raises:
            RecordError: There is another one.
        """
        unknown = sorted(set(self.fields) - set(known))
        if unknown:
            msg = (
                f"The definition of {self.name!r} cannot be used. A {self.kind!r} cluster has no "
                f"{', '.join(unknown)}; it has {', '.join(known)}. Correct or remove them."
            )
            raise RecordError(msg)
        return dict(self.fields)
