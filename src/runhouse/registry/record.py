"""Records: what is saved about a named resource, never a credential."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runhouse.errors import RecordError

VERSION = 1
_SECRET = re.compile(r"password|passphrase|token|secret|credential|api_?key|key_content", re.I)


def _check_value(path: str, value: object) -> None:
    """Refuse what JSON cannot hold, and what looks like a credential."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                msg = (
                    f"The record field {path} has the key {key!r}. Keys must be texts. Correct it."
                )
                raise RecordError(msg)
            if _SECRET.search(key):
                msg = (
                    f"The record field {path}.{key} was not saved. It looks like a credential, and "
                    "records hold none. Keep it in the credentials store or in an SSH key."
                )
                raise RecordError(msg)
            _check_value(f"{path}.{key}", inner)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            _check_value(f"{path}[{index}]", inner)
    elif value is not None and not isinstance(value, (str, int, float, bool)):
        msg = (
            f"The record field {path} cannot be saved. It holds a {type(value).__name__}, and "
            "records hold only texts, numbers, lists and dicts. Convert it."
        )
        raise RecordError(msg)


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one record.

    Attributes:
        kind: What it describes, a key of `registry.kinds`.
        name: The resource's name.
        fields: What the kind needs: JSON values only.
    """

    kind: str
    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse fields that must not be saved."""
        _check_value("fields", self.fields)

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
                f"This is not the definition of a resource. It needs the texts 'kind' and 'name', and "
                f"has {sorted(map(str, values))}. Pass what config() returned."
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
        except ValueError as error:
            msg = f"The record is not valid JSON: {error}. Correct or delete it."
            raise RecordError(msg) from error
        version = values.pop("version", None) if isinstance(values, dict) else None
        if version != VERSION:
            msg = (
                f"The record cannot be read. Its version is {version!r}, and this version of runhouse "
                f"reads {VERSION}. Upgrade runhouse, or delete the record."
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
