"""Passwords and secrets: in the system's keyring if there is one, else in files of mode 0600."""

from __future__ import annotations

import importlib
import json
import logging
from typing import TYPE_CHECKING, Any

from runhouse import settings
from runhouse.files import write_private
from runhouse.registry.names import check_key, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_SERVICE = "runhouse"
_OF_SECRETS = "secret:"  # before their names; a colon is in no name
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


def _save(key: str, text: str) -> bool:
    """Keep a text under a key, in place of an earlier one; return whether the keyring has it."""
    kept, _ = _ask(lambda keyring: keyring.set_password(_SERVICE, key, text))
    if kept:
        _file(key).unlink(missing_ok=True)  # an older one must not come back later
    else:
        write_private(_file(key), text.encode("utf-8"))
    return kept


def _load(key: str) -> str | None:
    _, kept = _ask(lambda keyring: keyring.get_password(_SERVICE, key))
    if kept is not None:
        return kept
    try:
        return _file(key).read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None


def _delete(key: str) -> None:
    def delete(keyring: Any) -> None:
        if keyring.get_password(_SERVICE, key) is not None:
            keyring.delete_password(_SERVICE, key)

    _ask(delete)
    _file(key).unlink(missing_ok=True)


def save_password(name: str, password: str, *, node: int | None = None) -> None:
    """Keep a password under a resource's name, in place of an earlier one.

    Args:
        name: The resource's name.
        password: The password; kept exactly, in UTF-8.
        node: Which node of the resource it is for; None: for all.

    Raises:
        InvalidNameError: The name has a form that names cannot have.
    """
    _save(_key(name, node), password)


def load_password(name: str, *, node: int | None = None) -> str | None:
    """Return the password kept under a name, or None.

    Args:
        name: The resource's name.
        node: Which node of the resource it is for; None: for all.
    """
    return _load(_key(name, node))


def delete_password(name: str, *, node: int | None = None) -> None:
    """Forget the password of a name; safe to repeat.

    Args:
        name: The resource's name.
        node: Which node of the resource it is for; None: for all.
    """
    _delete(_key(name, node))


# -- secrets that are made of values ------------------------------------------------------------


def save_values(name: str, values: Mapping[str, str]) -> None:
    """Keep the values of a secret under its name, in place of earlier ones.

    Args:
        name: The secret's name.
        values: Variables and their values.

    Raises:
        InvalidNameError: The name has a form that names cannot have.
    """
    key = _OF_SECRETS + check_key(name)
    if _save(key, json.dumps(dict(values))):
        write_private(_file(key), b"")  # a keyring cannot be asked for names


def load_values(name: str) -> dict[str, str] | None:
    """Return the values of the secret that was saved under a name, or None."""
    text = _load(_OF_SECRETS + check_key(name))
    return dict(json.loads(text)) if text else None


def delete_values(name: str) -> None:
    """Forget the values of a secret; safe to repeat."""
    _delete(_OF_SECRETS + check_key(name))


def value_names() -> list[str]:
    """Return the names of the secrets that were saved, sorted."""
    files = (settings.load().home / "credentials").glob(f"{_OF_SECRETS}*")
    return sorted(file.name.removeprefix(_OF_SECRETS) for file in files)
