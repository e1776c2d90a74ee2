"""The command line, with machines of a cloud: from `rh up` to `rh down`, on one cluster.

Each command is a process of its own, so that each finds by itself what the others have left.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.rigs.cli import Cli, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "cli"
TYPE, PRICE = "m6i.large", 0.096
_LONGEST_COMMAND_S = 400.0

pytestmark = pytest.mark.timeout(900)


class User:
    """Run `rh` with records of one's own."""

    def __init__(self, home: Path, region: Any) -> None:
        self.home = home
        self.region = region
        self.rh = Cli(home, environ=environment(home), timeout_s=_LONGEST_COMMAND_S)

    def json(self, *words: str, code: int = 0) -> Any:
        """Return what a command prints: one document and nothing else, whatever SkyPilot says."""
        done = self.rh(*words, "--json")
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def instances(self) -> list[tuple[str, str]]:
        """Return type and state of the machines that the cloud has for the cluster."""
        return [(one.type, one.state) for one in self.region.instances(NAME)]

    def listed(self) -> dict[str, Any] | None:
        """Return what the list tells about the cluster."""
        found = {each["name"]: each for each in self.json("list", "--all")}
        return found.get(NAME)


@pytest.fixture
def user(request: pytest.FixtureRequest) -> Iterator[User]:
    """Give a user who leaves no machine behind."""
    region = request.getfixturevalue("region")
    home = Path(tempfile.mkdtemp(prefix="rh-c"))  # short, as sockets are made in it
    user = User(home, region)
    yield user
    user.rh("down", NAME, "--forget", "--yes")
    shutil.rmtree(home, ignore_errors=True)


def test_a_cluster_s_life(user: User, tmp_path: Path) -> None:
    launched = user.rh("up", NAME, "--instance-type", TYPE, "--autostop-mins", "60", "--json")
    assert launched.returncode == 0, launched.stderr
    assert json.loads(launched.stdout) == {"name": NAME, "up": True}
    assert f"${PRICE} an hour; it goes down after 60 idle minutes" in launched.stderr
    it_is_up_and_costs(user)
    others_find_it(User(tmp_path, user.region))
    what_is_there_is_not_defined_anew(user)
    it_is_kept_warm(user)
    assert user.rh("run", NAME, "--", "echo kept >kept").returncode == 0
    it_stops_and_starts(user)
    assert user.rh("run", NAME, "--", "cat kept").stdout == "kept\n"
    what_it_has_cost_is_told(user)
    it_goes_down(user)


def it_is_up_and_costs(user: User) -> None:
    assert user.instances() == [(TYPE, "running")]
    status = user.json("status", NAME)
    assert (status["up"], status["state"], status["autostop_mins"]) == (True, "up", 60)
    assert (len(status["nodes"]), status["pid"] > 0) == (1, True)
    assert status["cloud"]["resources"].startswith(f"1x {TYPE} in ")
    assert status["cloud"]["price_per_hour"] == pytest.approx(PRICE)
    assert 0 < status["cloud"]["cost"] < PRICE
    shown = user.rh("status", NAME).stdout
    assert f"Machines: 1x {TYPE} in " in shown
    assert f"${PRICE} an hour" in shown
    listed = user.listed()
    assert listed is not None
    assert (listed["saved"], listed["state"]) == (True, "up")
    assert (listed["instance_type"], listed["price_per_hour"]) == (TYPE, pytest.approx(PRICE))
    assert user.json("up", NAME) == {"name": NAME, "up": True}


def others_find_it(other: User) -> None:
    """Show that who has saved nothing sees the cluster, and uses it by its name."""
    listed = other.listed()
    assert listed is not None
    assert (listed["saved"], listed["state"]) == (False, "up")
    assert f"Not saved here, but usable by name: {NAME}" in other.rh("list", "--all").stdout
    hello = other.rh("run", NAME, "--", "echo hello")
    assert (hello.returncode, hello.stdout) == (0, "hello\n")
    told = other.json("status", f"{NAME}-2", code=4)
    assert told["error"] == "ClusterNotFoundError"
    taken = other.json("up", NAME, "--num-cpus", "4+", code=2)
    assert "machines that were launched otherwise" in taken["message"]
    assert not (other.home / "clusters").exists()


def what_is_there_is_not_defined_anew(user: User) -> None:
    record = user.home / "clusters" / f"{NAME}.json"
    before = record.read_text()
    told = user.json("up", NAME, "--instance-type", "m6i.xlarge", code=2)
    assert told["error"] == "InvalidNameError"
    assert f"1x {TYPE}" in told["message"]
    assert record.read_text() == before


def it_is_kept_warm(user: User) -> None:
    assert user.json("keep-warm", NAME) == {"name": NAME, "autostop_mins": -1}
    assert user.json("keep-warm", NAME, "--mins", "120") == {"name": NAME, "autostop_mins": 120}
    assert user.json("status", NAME)["autostop_mins"] == 120
    record = json.loads((user.home / "clusters" / f"{NAME}.json").read_text())
    assert record["autostop_mins"] == 120, "it holds for the next launch too"


def it_stops_and_starts(user: User) -> None:
    assert user.json("stop", NAME) == {"name": NAME, "stopped": True}
    assert user.json("stop", NAME) == {"name": NAME, "stopped": False}
    status = user.json("status", NAME, code=3)
    assert (status["up"], status["state"]) == (False, "stopped")
    assert f"Start it with: rh start {NAME}" in user.rh("status", NAME).stdout
    for words in (["keys", NAME], ["runs", NAME], ["logs", NAME], ["keep-warm", NAME]):
        assert user.json(*words, code=3)["error"] == "ClusterNotUpError"
    listed = user.listed()
    assert listed is not None
    assert listed["state"] == "stopped"
    assert user.instances() == [(TYPE, "stopped")], "looking has started nothing"
    assert user.json("start", NAME) == {"name": NAME, "up": True}
    assert user.json("status", NAME)["state"] == "up"


def what_it_has_cost_is_told(user: User) -> None:
    told = user.json("cost", "--days", "1")
    (own,) = [each for each in told["clusters"] if each["name"] == NAME]
    assert 0 < own["cost"] <= told["total"]
    assert told["days"] == 1
    lines = user.rh("cost").stdout.splitlines()
    assert any(line.split()[0] == NAME for line in lines)
    assert lines[-1].startswith("Total: ")


def it_goes_down(user: User) -> None:
    assert "Add --yes" in user.json("down", NAME, code=2)["message"]
    assert user.json("status", NAME)["state"] == "up"
    for _ in range(2):
        removed = user.json("down", NAME, "--yes")
        assert removed == [{"name": NAME, "down": True, "forgotten": False}]
    assert user.instances() == []
    assert user.json("status", NAME, code=3)["state"] == "down"
    listed = user.listed()
    assert listed is not None
    assert (listed["state"], listed["saved"]) == ("down", True)
    assert user.rh("down", NAME, "--forget", "--yes").stdout == f"{NAME} is down, and forgotten.\n"
    assert user.listed() is None
    assert user.json("down", NAME, "--yes", code=4)["error"] == "ClusterNotFoundError"
