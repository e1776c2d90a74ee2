"""Passwords: 0600 from the start, kept exactly, and in the keyring when one can be used."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from runhouse.errors import InvalidNameError
from runhouse.registry.credentials import (
    delete_password,
    delete_values,
    load_password,
    load_values,
    save_password,
    save_values,
    value_names,
)

if TYPE_CHECKING:
    from pathlib import Path

_KEYRING = """
import pathlib, types

FILE = pathlib.Path(__file__).with_name("kept")
PRIORITY, LOCKED = {priority}, {locked}

class errors:
    class KeyringError(Exception): ...

def get_keyring():
    class Backend:
        @property
        def priority(self):
            if PRIORITY is None:
                raise RuntimeError("no backend")
            return PRIORITY
    return Backend()

def _all():
    if LOCKED:
        raise errors.KeyringError("locked")
    return dict(eval(FILE.read_text())) if FILE.exists() else {{}}

def get_password(service, key):
    return _all().get((service, key))

def set_password(service, key, password):
    FILE.write_text(repr({{**_all(), (service, key): password}}))

def delete_password(service, key):
    kept = _all()
    del kept[(service, key)]
    FILE.write_text(repr(kept))
"""


def _install_keyring(
    folder: Path, patch: pytest.MonkeyPatch, *, priority: int | None = 5, locked: bool = False
) -> Path:
    """Put a keyring module in the import path; return the file in which it keeps things."""
    folder.mkdir(exist_ok=True)
    (folder / "keyring.py").write_text(_KEYRING.format(priority=priority, locked=locked))
    patch.syspath_prepend(folder)
    patch.delitem(sys.modules, "keyring", raising=False)
    return folder / "kept"


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch, rh_home: Path) -> None:
    """Make sure that no test talks to a real keyring, or to the real home."""
    monkeypatch.setitem(sys.modules, "keyring", None)


def test_a_password_is_kept_and_forgotten(rh_home: Path) -> None:
    assert load_password("box") is None
    save_password("box", "one")
    save_password("box", "two")
    assert load_password("box") == "two"
    assert [path.name for path in (rh_home / "credentials").iterdir()] == ["box"]
    delete_password("box")
    delete_password("box")
    assert load_password("box") is None


@given(password=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
def test_a_password_is_kept_exactly(password: str) -> None:
    save_password("box", password)
    assert load_password("box") == password


def test_only_this_user_can_read_from_the_start(
    rh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    original = os.open

    def watch(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = original(path, flags, mode)
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr("os.open", watch)
    old = os.umask(0)
    try:
        save_password("box", "hunter2")
    finally:
        os.umask(old)
    assert modes == [0o600]
    for path, mode in ((rh_home, 0o700), (rh_home / "credentials", 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE((rh_home / "credentials" / "box").stat().st_mode) == 0o600


def test_nodes_have_their_own(rh_home: Path) -> None:
    longest = "b" * 63
    save_password(longest, "all")
    save_password(longest, "zero", node=0)
    save_password(longest, "one", node=1)
    assert load_password(longest) == "all"
    assert load_password(longest, node=0) == "zero"
    delete_password(longest, node=0)
    assert load_password(longest, node=0) is None
    assert load_password(longest, node=1) == "one"


@pytest.mark.parametrize("name", ["../box", "", "a/b"])
def test_names_are_checked(name: str) -> None:
    with pytest.raises(InvalidNameError):
        save_password(name, "x")
    with pytest.raises(InvalidNameError):
        load_password(name)
    with pytest.raises(InvalidNameError):
        delete_password(name)


def test_a_usable_keyring_is_preferred(
    rh_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_password("box", "old")
    kept = _install_keyring(tmp_path / "lib", monkeypatch)
    assert load_password("box") == "old"  # what was saved before there was a keyring
    save_password("box", "new")
    assert "new" in kept.read_text()
    assert not (rh_home / "credentials" / "box").exists()
    assert load_password("box") == "new"
    delete_password("box")
    delete_password("box")
    assert load_password("box") is None


@pytest.mark.parametrize(
    ("priority", "locked"), [(0, False), (-1, False), (None, False), (5, True)]
)
def test_a_keyring_that_cannot_be_used_is_none(
    priority: int | None,
    locked: bool,
    rh_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = _install_keyring(tmp_path / "lib", monkeypatch, priority=priority, locked=locked)
    save_password("box", "hunter2")
    assert load_password("box") == "hunter2"
    assert (rh_home / "credentials" / "box").exists()
    delete_password("box")
    assert load_password("box") is None
    assert not kept.exists()


def test_values_of_secrets_are_in_the_keyring_and_their_names_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rh_home: Path
) -> None:
    save_values("database", {"A": "in a file"})
    kept = _install_keyring(tmp_path / "lib", monkeypatch)
    save_values("database", {"A": "sesame", "B": "x"})
    file = rh_home / "credentials" / "secret:database"
    assert file.read_bytes() == b"", "an older value must not come back later"
    assert "sesame" in kept.read_text()
    assert value_names() == ["database"]
    assert load_values("database") == {"A": "sesame", "B": "x"}
    delete_values("database")
    delete_values("database")
    assert value_names() == []
    assert load_values("database") is None


def test_values_and_passwords_of_one_name_do_not_meet(rh_home: Path) -> None:
    save_password("box", "password")
    save_values("box", {"A": "value"})
    assert stat.S_IMODE((rh_home / "credentials" / "secret:box").stat().st_mode) == 0o600
    delete_password("box")
    assert load_values("box") == {"A": "value"}
    with pytest.raises(InvalidNameError):
        save_values("../box", {"A": "value"})
