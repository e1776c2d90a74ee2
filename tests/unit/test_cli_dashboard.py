"""The page is opened where there is a desktop, by a file; and a port that is taken is told."""

from __future__ import annotations

import re
import socket
import stat
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from runhouse.cli import dashboard
from runhouse.cli.main import app
from runhouse.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://127.0.0.1:1/#token=a&b"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give what browsers are asked to open, on a machine without a desktop."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    found: list[str] = []
    monkeypatch.setattr("webbrowser.open", found.append)
    return found


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_browser_is_given_a_file_that_only_this_user_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str], variable: str
) -> None:
    monkeypatch.setenv(variable, ":0")
    entrance = tmp_path / "entrance.html"
    dashboard._open(URL, entrance)
    assert opened == [entrance.as_uri()]
    assert "url=http://127.0.0.1:1/#token=a&amp;b" in entrance.read_text()
    assert stat.S_IMODE(entrance.stat().st_mode) == 0o600


def test_without_a_desktop_nothing_is_opened(tmp_path: Path, opened: list[str]) -> None:
    dashboard._open(URL, tmp_path / "entrance.html")
    assert opened == []
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told() -> None:
    with dashboard._listen(0) as first:
        address, port = first.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(
            SettingsError, match=rf"The port {port} cannot be used\. Address already"
        ):
            dashboard._listen(port)
    assert isinstance(first, socket.socket)


def test_help_has_an_example() -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(app, ["dashboard", "--help"]).stdout)
    assert "rh dashboard box" in shown
    assert "--no-browser" in shown
    assert CliRunner().invoke(app, ["dashboard", "--port", "70000"]).exit_code == 2
