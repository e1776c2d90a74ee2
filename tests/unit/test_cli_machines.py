"""The command line defines clusters of cloud machines, and says what needs SkyPilot.

What happens in a cloud is tested with SkyPilot in tests/cloud; here it is not installed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import runhouse
from runhouse.cli.main import app
from tests.rigs.cli import record

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

without_skypilot = pytest.mark.skipif(
    find_spec("sky") is not None, reason="SkyPilot is installed, and would look for clouds"
)

PIP = "pip install 'runhouse[sky]'"


@dataclass
class Cli:
    """Run commands in this process."""

    home: Path

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(app, words, prog_name="rh")

    def json(self, *words: str, code: int = 0) -> Any:
        """Return the one document that a command prints."""
        done = self(*words, "--json")
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)


@pytest.fixture
def rh(rh_home: Path) -> Cli:
    """Give a command line that has saved `gpu`, and `box`, a host that is never connected to."""
    rh_home.mkdir(mode=0o700)
    record(rh_home, "gpu", "on-demand", instance_type="A100:1", autostop_mins=30)
    record(rh_home, "box", host=["box.invalid"])
    return Cli(rh_home)


def saved(rh: Cli, name: str) -> dict[str, Any] | None:
    """Return what is saved under a name: kind and fields."""
    file = rh.home / "clusters" / f"{name}.json"
    if not file.exists():
        return None
    found = json.loads(file.read_text())
    return {key: value for key, value in found.items() if key != "version"}


# -- up with options -----------------------------------------------------------------------------


@without_skypilot
def test_all_options_are_saved_before_anything_is_launched(rh: Cli) -> None:
    options = [
        *("--instance-type", "A100:8", "--num-instances", "2", "--provider", "gcp"),
        *("--region", "us-central1", "--num-cpus", "16+", "--memory", "64", "--disk-size", "500"),
        *("--image-id", "docker:nvidia/cuda", "--use-spot", "--open-port", "8080"),
        *("--open-port", "9000-9010", "--label", "team=vision", "--label", "note=a=b"),
        *("--autostop-mins", "45", "--autostop", "stop"),
    ]
    done = rh("up", "train", *options)
    assert (done.exit_code, done.stdout, PIP in done.stderr) == (2, "", True)
    made = runhouse.ondemand_cluster(
        "train",
        "A100:8",
        num_instances=2,
        provider="gcp",
        region="us-central1",
        num_cpus="16+",
        memory="64",
        disk_size=500,
        image_id="docker:nvidia/cuda",
        use_spot=True,
        open_ports=[8080, "9000-9010"],
        labels={"team": "vision", "note": "a=b"},
        autostop_mins=45,
        autostop="stop",
    )
    assert saved(rh, "train") == made.config()


@without_skypilot
def test_the_same_options_again_change_nothing(rh: Cli) -> None:
    before = saved(rh, "gpu")
    done = rh("up", "gpu", "--instance-type", "A100:1", "--autostop-mins", "30")
    assert (done.exit_code, "replaced" in done.stderr, PIP in done.stderr) == (2, False, True)
    assert saved(rh, "gpu") == before
    assert rh("up", "gpu").exit_code == 2, "and so does the name alone"
    assert saved(rh, "gpu") == before


@without_skypilot
def test_other_options_are_another_definition_and_the_old_one_is_told(rh: Cli) -> None:
    done = rh("up", "gpu", "--gpus", "T4:1", "--autostop-mins", "-1")
    assert "definition of gpu was replaced. It was: 1x accelerators=A100:1." in done.stderr
    assert saved(rh, "gpu") == {
        "name": "gpu",
        "kind": "on-demand",
        "gpus": "T4:1",
        "autostop_mins": -1,
    }


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        (["new", "--num-instances", "0"], "ValueError", "num_instances cannot be 0"),
        (["new", "--num-cpus", "many"], "ValueError", "It is no amount"),
        (["new", "--memory", "-1"], "ValueError", "memory cannot be '-1'"),
        (["new", "--disk-size", "0"], "ValueError", "disk_size cannot be 0"),
        (["new", "--open-port", "http"], "ValueError", "It is no port"),
        (["new", "--open-port", "70000"], "ValueError", "open_ports cannot be 70000"),
        (["new", "--label", "team"], "ValueError", "Write --label team=vision"),
        (["new", "--label", "=vision"], "ValueError", "no pair of a name and a value"),
        (["new", "--autostop-mins", "0"], "ValueError", "autostop_mins cannot be 0"),
        (["new", "--instance-type", "T4:1", "--gpus", "T4:2"], "ValueError", "Leave one of them"),
        (["a b", "--gpus", "T4:1"], "InvalidNameError", "'a b' cannot be used as a name"),
        (["s3", "--gpus", "T4:1"], "InvalidNameError", "reserved"),
        (["local", "--gpus", "T4:1"], "InvalidNameError", "reserved"),
        (["ada@host", "--gpus", "T4:1"], "InvalidNameError", "cannot be used as a name"),
        (["box", "--gpus", "T4:1"], "InvalidNameError", "is of kind byo. Choose another name"),
    ],
)
def test_what_cannot_be_defined_is_not_saved(
    rh: Cli, words: list[str], error: str, text: str
) -> None:
    before = saved(rh, "box")
    told = rh.json("up", *words, code=2)
    assert (told["name"], told["up"], told["error"]) == (words[0], False, error)
    assert text in told["message"]
    assert saved(rh, "new") is None
    assert saved(rh, "box") == before


@pytest.mark.parametrize(
    "words", [["--num-instances", "two"], ["--autostop", "sleep"], ["--instance-typ", "m5.large"]]
)
def test_options_that_do_not_exist_are_wrong_use(rh: Cli, words: list[str]) -> None:
    done = rh("up", "new", *words)
    assert (done.exit_code, done.stdout, saved(rh, "new")) == (2, "", None)


def test_a_record_that_cannot_be_read_is_not_replaced(rh: Cli) -> None:
    file = rh.home / "clusters" / "gpu.json"
    file.write_text("{")
    assert rh("up", "gpu", "--gpus", "T4:1").exit_code == 1
    assert file.read_text() == "{"


# -- without SkyPilot ----------------------------------------------------------------------------


@without_skypilot
@pytest.mark.parametrize(
    "words",
    [
        ["up", "gpu"],
        ["start", "gpu"],
        ["status", "gpu"],
        ["stop", "gpu"],
        ["down", "gpu", "--yes"],
        ["down", "gpu", "--forget", "--yes"],
        ["keep-warm", "gpu"],
        ["list", "--all"],
        ["cost"],
        ["runs", "gpu"],
        ["logs", "gpu"],
        ["keys", "gpu"],
        ["call", "gpu", "train"],
    ],
)
def test_without_skypilot_it_is_told_how_to_get_it(rh: Cli, words: list[str]) -> None:
    before = saved(rh, "gpu")
    done = rh(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert PIP in done.stderr
    assert "Traceback" not in done.stderr
    told = rh.json(*words, code=2)
    assert (told["error"], PIP in told["message"]) == ("ImportError", True)
    assert saved(rh, "gpu") == before, "nothing was forgotten"


@without_skypilot
def test_who_has_no_machines_of_skypilot_needs_none(rh: Cli) -> None:
    (rh.home / "clusters" / "gpu.json").unlink()
    told = rh.json("list", "--all")
    assert "box" in [each["name"] for each in told]


@without_skypilot
@pytest.mark.parametrize("words", [["run", "gpu", "ls"], ["ssh", "gpu"]])
def test_what_passes_on_codes_says_that_it_did_not_run(rh: Cli, words: list[str]) -> None:
    done = rh(*words)
    assert (done.exit_code, PIP in done.stderr) == (255, True)


@without_skypilot
@pytest.mark.parametrize("verb", ["up", "start", "status", "stop", "keep-warm", "runs", "keys"])
def test_an_unknown_name_is_an_unknown_cluster(rh: Cli, verb: str) -> None:
    told = rh.json(verb, "gp", code=4)
    assert (told["error"], told["name"]) == ("ClusterNotFoundError", "gp")
    assert "Did you mean 'gpu'?" in told["message"]


def test_the_list_needs_no_skypilot(rh: Cli) -> None:
    found = {each["name"]: each for each in rh.json("list")}
    assert found["gpu"]["instance_type"] == "A100:1"
    assert "saved" not in found["gpu"]
    lines = rh("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "HOSTS"]
    assert [line.split() for line in lines if line.startswith("gpu")] == [
        ["gpu", "on-demand", "1x", "accelerators=A100:1"]
    ]


def test_forgetting_tells_that_machines_go_on(rh: Cli) -> None:
    assert "rh down" not in rh("forget", "box", "--yes").stdout
    shown = rh("forget", "gpu", "--yes").stdout
    assert shown.startswith("gpu is forgotten.\n")
    assert "Remove them with: rh down gpu" in shown
    assert saved(rh, "gpu") is None


# -- down ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("box", "box is of hosts of your own, and there is nothing to tear down. `rh stop box`"),
        ("local", "local is this machine, and there is nothing to tear down. `rh stop local`"),
        ("ada@box.invalid", "ada@box.invalid is of hosts of your own"),
    ],
)
def test_nobody_takes_back_hosts_of_your_own(rh: Cli, name: str, text: str) -> None:
    told = rh.json("down", name, "--yes", "--forget", code=2)
    assert (told["names"], told["error"]) == ([name], "ValueError")
    assert text in told["message"]
    assert saved(rh, "box") is not None


@pytest.mark.parametrize(("other", "code"), [("box", 2), ("nobody", 4), ("a b", 2)])
def test_nothing_is_removed_when_one_of_several_cannot_be(rh: Cli, other: str, code: int) -> None:
    done = rh("down", "gpu", other, "--yes")
    assert (done.exit_code, PIP in done.stderr) == (code, False)


def test_without_a_terminal_removing_needs_a_yes(rh: Cli) -> None:
    done = rh("down", "gpu", "gpu")
    assert (done.exit_code, done.stdout) == (2, "")
    reason = "There is no terminal on which to ask first. Add --yes."
    assert done.stderr == f"Error: gpu: nothing was removed. {reason}\n"
    told = rh.json("down", "gpu", code=2)
    assert told["message"].endswith("--json cannot ask first. Add --yes.")
    assert rh("down").exit_code == 2


@pytest.mark.parametrize("days", ["0", "-1", "many"])
def test_costs_are_of_some_days(rh: Cli, days: str) -> None:
    done = rh("cost", "--days", days)
    assert (done.exit_code, done.stdout) == (2, "")
