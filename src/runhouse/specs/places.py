"""Where folders are: this machine, a cluster's head, or an object store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, Any, Protocol

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)
HERE = ("here", "file", "local")
# Our words for object stores, where fsspec has others.
PROTOCOLS = {"gs": "gs", "azure": "abfs"}


@dataclass(frozen=True, slots=True)
class Entry:
    """Describe one entry of a folder.

    Attributes:
        name: Its name in the folder.
        kind: `file` or `folder`.
        size_bytes: Its size; 0 for folders.
    """

    name: str
    kind: str
    size_bytes: int = 0


class Place(Protocol):
    """Be where files are; paths are texts as the place has them."""

    @property
    def system(self) -> str:
        """Return its name: `here`, a cluster's, `s3`."""

    def entries(self, path: str) -> list[Entry]:
        """List a folder.

        Raises:
            FileNotFoundError: There is none.
        """

    def kind(self, path: str) -> str:
        """Tell what is at a path: `folder`, `file`, or nothing (empty)."""

    def make(self, path: str) -> None:
        """Make a folder, and those above it; safe to repeat."""

    def remove(self, path: str, *, recursive: bool) -> None:
        """Remove a file or folder; one that is not there is no error."""

    def open(self, path: str, mode: str, encoding: str | None) -> IO[Any]:
        """Open a file."""


def split_url(path: str) -> tuple[str | None, str]:
    """Take `s3://bucket/folder` apart into system and path; other paths have no system.

    Example:
        >>> split_url("s3://data/train")
        ('s3', 'data/train')
    """
    found = _URL.fullmatch(path)
    return (found[1], found[2]) if found is not None else (None, path)


def below(path: str, name: str) -> str:
    """Return the path of something in a folder.

    Raises:
        TypeError: The name is no text.
        ValueError: It leads out of the folder.
    """
    if not isinstance(name, str):
        msg = f"The name cannot be used. It is of type {type(name).__name__}. Give a text."
        raise TypeError(msg)
    parts = name.split("/")
    if "\0" in name or name.startswith(("/", "~")) or ".." in parts:
        msg = f"The name {name!r} cannot be used. It leads out of the folder. Give a name in it."
        raise ValueError(msg)
    inside = "/".join(part for part in parts if part not in ("", "."))
    return f"{path.rstrip('/') or '/'}/{inside}".replace("//", "/") if inside else path
