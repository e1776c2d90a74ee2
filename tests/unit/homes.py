"""Users and hosts that are folders, for tests of secrets; a test module imports the fixtures."""

from __future__ import annotations

import dataclasses
import json
import resource
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runhouse.specs.keeping import answer
from runhouse.specs.providers import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALUE = "s3same-0pen"
AWS = f"# work\n[default]\naws_access_key_id = AK\naws_secret_access_key = {VALUE}\n[b]\nrole = x\n"


@dataclasses.dataclass(frozen=True)
class Done:
    stdout: str
    exit_code: int = 0
    stderr: str = ""


class HomeHost:
    """Be a host whose home is a folder; what a host's program does is done in this process."""

    host = "box"

    def __init__(self, home: Path) -> None:
        self.home = home
        self.asked: list[dict[str, Any]] = []

    def server_root(self) -> str:
        return str(self.home / "server")

    def run_program(self, program: str, data: bytes) -> Done:
        assert VALUE not in program
        request = json.loads(data)
        self.asked.append(request)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(self.home))
            return Done(json.dumps(answer(request)))


class Box:
    """Be a cluster of one host."""

    ips = ("box",)

    def __init__(self, home: Path) -> None:
        self.only = HomeHost(home)

    def host_of(self, node: int = 0) -> HomeHost:
        assert node == 0
        return self.only


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rh_home: Path) -> Iterator[Path]:
    """Give a user without any secret, who may write cores again afterwards."""
    del rh_home
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setitem(sys.modules, "keyring", None)  # no real one
    for provider in PROVIDERS.values():
        moved = [kept.moved_by for kept in provider.files if kept.moved_by]
        for name in (*provider.known_variables(), *moved, "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    yield here
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture
def box(tmp_path: Path) -> Any:
    there = tmp_path / "there"
    there.mkdir()
    return Box(there)


def put(home: Path, place: str, text: str) -> Path:
    path = home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
