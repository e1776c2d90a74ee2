"""How clusters stand, as the dashboard lists them: from what is saved and what clouds say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runhouse.cli import fleet
from runhouse.cli.fleet import Fleet
from runhouse.clusters import saved
from runhouse.clusters.cloud import Machines
from runhouse.errors import LaunchError, RunhouseError
from tests.rigs.cli import record

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(rh_home: Path) -> Path:
    """Give a home with a host, machines of a cloud, and a record that cannot be used."""
    rh_home.mkdir(mode=0o700)
    record(rh_home, "box", host=["box.invalid", "box2.invalid"])
    record(rh_home, "gpu", "on-demand", instance_type="A100:1", autostop_mins=30)
    record(rh_home, "odd", host=7)
    return rh_home


class Sky:
    """Say what SkyPilot would."""

    def __init__(self, *machines: Machines, error: Exception | None = None) -> None:
        """Store what to say."""
        self.machines = machines
        self.error = error
        self.asked = 0

    def find_all(self) -> list[Machines]:
        """Return all machines."""
        self.asked += 1
        if self.error is not None:
            raise self.error
        return list(self.machines)


def entries(monkeypatch: pytest.MonkeyPatch, sky: Sky, first: str = "local") -> dict[str, Any]:
    """Return the entries by name."""
    monkeypatch.setattr(saved.launching, "skypilot", lambda: sky)  # type: ignore[attr-defined]
    made = Fleet(first)
    found = {each["name"]: each for each in made.entries()}
    assert made.entries()  # the second time, from memory
    assert sky.asked == 1
    return found


@pytest.mark.usefixtures("home")
def test_machines_have_state_price_and_autostop(monkeypatch: pytest.MonkeyPatch) -> None:
    up = Machines("gpu", "i", "up", resources="1x A100", price_per_hour=3.67, autostop_mins=30)
    stranger = Machines("other", "j", "stopped", resources="1x T4", price_per_hour=0.5)
    found = entries(monkeypatch, Sky(up, stranger))
    assert list(found) == ["local", "box", "gpu", "odd", "other"]
    gpu = found["gpu"]
    assert (gpu["kind"], gpu["launched"], gpu["state"]) == ("on-demand", True, "up")
    assert (gpu["price_per_hour"], gpu["autostop_mins"], gpu["hosts"]) == (3.67, 30, "1x A100")
    assert (found["other"]["state"], found["other"]["launched"]) == ("stopped", True)


@pytest.mark.usefixtures("home")
def test_what_is_not_known_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = entries(monkeypatch, Sky())
    assert (found["gpu"]["state"], found["gpu"]["price_per_hour"]) == ("down", None)
    assert "A100" in found["gpu"]["hosts"]
    assert (found["box"]["state"], found["box"]["launched"]) == ("unknown", False)
    assert found["box"]["hosts"] == "box.invalid, box2.invalid"
    assert found["odd"]["state"] == "unusable"
    assert "host" in found["odd"]["error"]
    assert found["local"]["state"] == "down"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "error", [LaunchError("no answer", cluster="gpu"), ImportError("no SkyPilot")]
)
def test_clouds_that_do_not_answer_are_told_and_the_others_shown(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    found = entries(monkeypatch, Sky(error=error))
    assert (found["gpu"]["state"], found["gpu"]["error"]) == ("unusable", str(error))
    assert found["box"]["state"] == "unknown"


def test_clouds_are_not_asked_when_nothing_is_launched_there(
    rh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rh_home.mkdir(mode=0o700)
    record(rh_home, "box", host=["box.invalid"])
    sky = Sky()
    monkeypatch.setattr(saved.launching, "skypilot", lambda: sky)  # type: ignore[attr-defined]
    assert [each["name"] for each in Fleet("local").entries()] == ["local", "box"]
    assert sky.asked == 0


@pytest.mark.usefixtures("home")
def test_one_that_is_not_saved_is_there_too() -> None:
    made = Fleet("ada@elsewhere")
    assert made.names() == ["ada@elsewhere", "local", "box", "gpu"]
    assert made.cluster("ada@elsewhere") is made.cluster("ada@elsewhere")
    with pytest.raises(RunhouseError, match="nothing"):
        made.cluster("nothing")
    assert fleet._FRESH_S > 1
