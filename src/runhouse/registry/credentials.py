"""Passwords: in the system's keyring when there is one, else in files that only this user reads."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from runhouse import settings
from runhouse.files import write_private
from runhouse.registry.names import check_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SERVICE = "runhouse"
_LOG = logging.getLogger(__name__)


def _keyring() -> Any:
    """Return the keyring module when it is installed and has somewhere to store, else None."""
    try:
        keyring: Any = importlib.import_module("keyring")
    except ImportError:
        return None
    try:
        usable = getattr(keyring.get_keyring(), "priority", 0) > 0
    except RuntimeError:  # how a backend's priority says that it cannot work here
        return None
    return keyring if usable else None


def _ask(act: Callable[[Any], str | None]) -> tuple[bool, str | None]:
    """Do something with the keyring; return whether there is one that did it, and its answer.

    A keyring that is there but cannot be used now (locked, or no session to ask the user in) is
    as good as none.
    """
    keyring = _keyring()
    if keyring is None:
        return False, None
    try:
        return True, act(keyring)
    except keyring.errors.KeyringError as error:
        _LOG.debug("the keyring cannot be used: %s", error)
        return False, None


def _key(name: str, node: int | None) -> str:
    """Return the key of a node's password; a colon is in no name, so none can meet another."""
    return check_name(name) if node is None else f"{check_name(name)}:{node}"


def _file(key: str) -> Path:
    return settings.load().home / "credentials" / key


def save_password(name: str, password: str, *, node: int | None = None) -> None:
    """Keep a password under a resource's name, in place of an earlier one.

    Args:
        name: The resource's name.
        password: The password; kept exactly, in UTF-8.
        node: Which node of the resource it is for; None: for all.

    Raises:
        InvalidNameError: The name has a form that names cannot have.
    """
    key = _key(name, node)
    kept, _ = _ask(lambda keyring: keyring.set_password(_SERVICE, key, password))
    if kept:
        _file(key).unlink(missing_ok=True)  # an older one must not come back later
        return
    write_private(_file(key), password.encode("utf-8"))


def load_password(name: str, *, node: int | None = None) -> str | None:
    """Return the password kept under a name, or None.

    Args:
        name: The resource's name.
        node: Which node of the resource it is for; None: for all.
    """
    key = _key(name, node)
    _, kept = _ask(lambda keyring: keyring.get_password(_SERVICE, key))
    if kept is not None:
        return kept
    try:
        return _file(key).read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None


def delete_password(name: str, *, node: int | None = None) -> None:
    """Forget the password of a name; safe to repeat.

    Args:
        name: The resource's name.
        node: Which node of the resource it is for; None: for all.
    """
    key = _key(name, node)

    def delete(keyring: Any) -> None:
        if keyring.get_password(_SERVICE, key) is not None:
            keyring.delete_password(_SERVICE, key)

    _ask(delete)
    _file(key).unlink(missing_ok=True)
