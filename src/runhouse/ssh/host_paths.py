"""Paths on a host, as both rsync and a shell take them."""

from __future__ import annotations


def remote_path(path: str) -> str:
    """Return a path on the host as both rsync and a shell take it, or refuse it."""
    if not isinstance(path, str):
        kind = type(path).__name__
        msg = f"The path on the host cannot be used. It is of type {kind}. Give a text."
        raise TypeError(msg)
    if not path or "\0" in path or (path.startswith("~") and path[1:2] not in ("", "/")):
        msg = (
            f"The path on the host {path!r} cannot be used. It is empty, has a NUL character, or "
            "is in the home of another user. Write it from / or from your home (~/)."
        )
        raise ValueError(msg)
    if path.startswith("~"):
        path = path[1:].lstrip("/") or "."
    return path if path.startswith("/") or path == "." else f"./{path}"


def literal(path: str) -> str:
    """Escape what the sending rsync on the host would take for a wildcard."""
    if not any(character in path for character in "*?["):
        return path
    return "".join(f"\\{character}" if character in "*?[\\" else character for character in path)
