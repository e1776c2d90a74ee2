"""What all tests need: a home of their own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

import runhouse as rh
from runhouse import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# A machine that is busy with other tests is no reason to fail.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

# Under nohup and in the background of a script, no process that a test starts would notice these.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def session_home() -> Iterator[Path]:
    """Give each test process a home of its own, so that no test touches the real `~/.rh`.

    It is not in pytest's own folder because paths of Unix sockets must be short.
    """
    home = Path(tempfile.mkdtemp(prefix="rh-test-"))
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("RH_")]:
            patch.delenv(variable)
        patch.setenv("RH_HOME", str(home))
        settings.load.cache_clear()
        yield home
    settings.load.cache_clear()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def rh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give one test an empty home, for what it saves and counts, and a `here` of its own in it."""
    home = tmp_path / "rh"
    monkeypatch.setenv("RH_HOME", str(home))
    settings.load.cache_clear()
    here = vars(rh.here)
    known: dict[str, object] = {
        name: here.pop(name) for name in ("_hosts", "calls") if name in here
    }
    yield home
    for name in ("_hosts", "calls"):
        here.pop(name, None)
    here |= known
    settings.load.cache_clear()
