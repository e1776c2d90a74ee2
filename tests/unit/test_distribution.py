"""What the distribution brings with it."""

from __future__ import annotations

import re
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import runhouse

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
UNWANTED = {"ray", "skypilot", "boto3", "pydantic", "paramiko", "httptools", "uvloop"}


def _pins(lock: Path) -> dict[str, str]:
    """Return what a lock file installs here: name -> version, without what Windows adds."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([a-z0-9][a-z0-9._-]*)==(\S+)(.*)", line) for line in lines]
    return {pin[1]: pin[2] for pin in found if pin and "win32" not in pin[3]}


def test_base_install_is_small() -> None:
    base = _pins(ROOT / "requirements" / "base.txt")
    assert len(base) <= 20
    assert not UNWANTED & set(base)


@pytest.mark.parametrize("name", ["dev", "bench"])
def test_lock_files_agree_with_the_base(name: str) -> None:
    pins = _pins(ROOT / "requirements" / f"{name}.txt")
    assert _pins(ROOT / "requirements" / "base.txt").items() <= pins.items()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_files_name_no_host_and_have_hashes(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    pins = [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    assert pins
    assert all(line.endswith("\\") for line in pins)


def test_version_is_written_once() -> None:
    assert version("runhouse") == runhouse.__version__


def test_commands() -> None:
    scripts = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert scripts["rh"] == scripts["runhouse"] == "runhouse.cli.main:main"
