"""What users give as paths, names and contents of folders, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_MODES = ("r", "rb", "w", "wb")


def name_of(given: object, what: str = "name") -> str:
    """Return a path or name.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty, or has a NUL character.
    """
    if not isinstance(given, (str, os.PathLike)) or isinstance(os.fspath(given), bytes):
        kind = type(given).__name__
        msg = f"The {what} cannot be used. It is of type {kind}. Give a text."
        raise TypeError(msg)
    text = str(os.fspath(given))
    if not text.strip() or "\0" in text:
        msg = f"The {what} {text!r} cannot be used. It is empty or has a NUL character. Correct it."
        raise ValueError(msg)
    return text


def mode_of(given: object) -> str:
    """Return a mode of `open`.

    Raises:
        ValueError: It is another one than `r`, `rb`, `w`, `wb`.
    """
    if given not in _MODES:
        modes = ", ".join(_MODES)
        msg = f"The mode {given!r} cannot be used. Files are read or written whole. Give: {modes}."
        raise ValueError(msg)
    return str(given)


def texts_of(given: object) -> dict[str, bytes]:
    """Return names and contents of files.

    Raises:
        TypeError: It is no mapping, or a content is neither bytes nor text.
    """
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        msg = f"The contents cannot be used. They are of type {kind}. Give names and contents."
        raise TypeError(msg)
    checked: dict[str, bytes] = {}
    for name, content in given.items():
        if not isinstance(content, (bytes, bytearray, str)):
            kind = type(content).__name__
            msg = f"{name!r} cannot be written. Its content is of type {kind}. Give bytes or text."
            raise TypeError(msg)
        checked[name_of(name)] = content.encode() if isinstance(content, str) else bytes(content)
    return checked


def checked_path(path: str, verb: str) -> str:
    """Return a path; a home or root directory is never meant as a whole.

    Raises:
        ValueError: It is one.
    """
    plain = path.rstrip("/")
    if plain in ("", ".", "~", str(Path.home()), "/root", "/home"):
        msg = (
            f"{path!r} cannot be {verb} as a whole. It is a home or root directory. Give a folder "
            "of its own."
        )
        raise ValueError(msg)
    return path
