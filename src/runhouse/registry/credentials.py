"""Passwords: in the system's keyring when there is one, else in files that only this user reads."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from runhouse import settings
from runhouse.registry.names import check_name

if TYPE_CHECKING:
    from pathlib import Path

_SERVICE = "runhouse"


def _keyring() -> Any:
    """Return the keyring module when it is installed and has somewhere to store, else None."""
    try:
        keyring: Any = importlib.import_module("keyring")
    except ImportError:
        return None
    return keyring if getattr(keyring.get_keyring(), "priority", 0) > 0 else None


def _file(name: str) -> Path:
    return settings.load().home / "credentials" / check_name(name)


def save_password(name: str, password: str) -> None:
    """Keep a password under a resource's name, in place of an earlier one."""
    keyring = _keyring()
    if keyring is not None:
        keyring.set_password(_SERVICE, check_name(name), password)
        return
    file = _file(name)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        writer.write(password)
    beside.replace(file)


def load_password(name: str) -> str | None:
    """Return the password kept under a name, or None."""
    keyring = _keyring()
    kept: str | None = keyring.get_password(_SERVICE, check_name(name)) if keyring else None
    if kept is not None:
        return kept
    try:
        return _file(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def delete_password(name: str) -> None:
    """Forget the password of a name; safe to repeat."""
    keyring = _keyring()
    if keyring is not None and keyring.get_password(_SERVICE, check_name(name)) is not None:
        keyring.delete_password(_SERVICE, name)
    _file(name).unlink(missing_ok=True)
