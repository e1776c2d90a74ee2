"""Settings come from the environment, then the file, then the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from runhouse import settings
from runhouse.errors import SettingsError


def test_defaults(tmp_path: Path) -> None:
    made = settings.read({"RH_HOME": str(tmp_path)})
    assert made.home == tmp_path
    assert made.connect_timeout_s == 10
    assert made.orphan_grace_s == 30


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("orphan_grace_s = 5\nssh_persist_s = 7\n")
    made = settings.read({"RH_HOME": str(tmp_path), "RH_ORPHAN_GRACE_S": "2.5"})
    assert made.orphan_grace_s == 2.5
    assert made.ssh_persist_s == 7


@pytest.mark.parametrize("value", ["soon", "-1", "nan?"])
def test_a_value_that_cannot_be_used_names_its_source(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="RH_SSH_PERSIST_S gives") as caught:
        settings.read({"RH_HOME": str(tmp_path), "RH_SSH_PERSIST_S": value})
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("unknown = 1", "unknown key 'unknown'"),
        ("= 1", "not valid TOML"),
        ("registry = 3", "a text is expected"),
        ("local_idle_s = true", "a number of at least 0"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(SettingsError, match=reason) as caught:
        settings.read({"RH_HOME": str(tmp_path)})
    assert "config.toml" in str(caught.value)


def test_relative_and_home_paths_become_absolute() -> None:
    assert settings.read({"RH_HOME": "~/x"}).home == Path.home() / "x"
    assert settings.read({"RH_HOME": "x"}).home == Path.cwd() / "x"
