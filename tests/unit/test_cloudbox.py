"""The region in a box, as far as it needs no region: tests/cloud has the rest."""

from __future__ import annotations

import ast
import csv
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.rigs.cloudbox import catalog, home, refusals
from tests.rigs.cloudbox.box import CACHE_VARIABLE, DIR_VARIABLE, HOME, ZONES, Box, BoxError
from tests.rigs.cloudbox.refusals import Refusal

PROJECT = Path(__file__).resolve().parents[2]
SUBNETS = {"subnet-1": "us-east-1a", "subnet-2": "us-east-1b"}


def locked(name: str) -> dict[str, str]:
    """Return the versions in a lock, of distributions that have one version only."""
    text = (PROJECT / f"requirements/{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", text, re.MULTILINE))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class TestCatalog:
    def test_every_type_is_offered_in_every_zone(self, tmp_path: Path) -> None:
        catalog.write(tmp_path)
        offered = {
            (row["InstanceType"], row["AvailabilityZone"]) for row in rows(tmp_path / "aws/vms.csv")
        }
        assert offered == {(offer.name, zone.id) for offer in catalog.OFFERS for zone in ZONES}

    def test_gpus_have_their_memory(self, tmp_path: Path) -> None:
        catalog.write(tmp_path)
        (row, _) = [row for row in rows(tmp_path / "aws/vms.csv") if row["AcceleratorName"] == "T4"]
        assert row["AcceleratorCount"] == "1.0"
        assert ast.literal_eval(row["GpuInfo"])["TotalGpuMemoryInMiB"] == 15360

    def test_spot_costs_less(self, tmp_path: Path) -> None:
        catalog.write(tmp_path)
        for row in rows(tmp_path / "aws/vms.csv"):
            assert 0 < float(row["SpotPrice"]) < float(row["Price"])


class TestRefusal:
    def test_meets_what_it_names(self) -> None:
        full = Refusal("RunInstances", "InsufficientInstanceCapacity", zone="us-east-1a")
        request = {"Action": "RunInstances", "InstanceType": "m6i.large"}
        assert full.meets({**request, "SubnetId": "subnet-1"}, SUBNETS)
        assert full.meets({**request, "NetworkInterface.1.SubnetId": "subnet-1"}, SUBNETS)
        assert full.meets({**request, "Placement.AvailabilityZone": "us-east-1a"}, SUBNETS)
        assert not full.meets({**request, "SubnetId": "subnet-2"}, SUBNETS)
        assert not full.meets(request, SUBNETS)
        assert not full.meets({"Action": "StopInstances", "SubnetId": "subnet-1"}, SUBNETS)

    def test_of_a_type_meets_that_type(self) -> None:
        full = Refusal("RunInstances", "InsufficientInstanceCapacity", instance_type="m6i.large")
        assert full.meets({"Action": "RunInstances", "InstanceType": "m6i.large"}, SUBNETS)
        assert not full.meets({"Action": "RunInstances", "InstanceType": "c6i.large"}, SUBNETS)

    def test_of_all_meets_no_other_request(self) -> None:
        assert not Refusal("RunInstances", "VcpuLimitExceeded").meets({}, SUBNETS)

    def test_answers_in_the_form_of_the_service(self) -> None:
        refusal = Refusal("GetCallerIdentity", "InvalidClientTokenId", "not <this> one")
        assert b"<Message>not &lt;this&gt; one</Message>" in refusal.answer({})
        assert refusal.answer({}).startswith(b"<ErrorResponse>")
        assert refusal.answer({"Version": "2016-11-15"}).startswith(b"<Response><Errors>")

    def test_survives_the_way_to_the_region(self) -> None:
        both = [
            Refusal("RunInstances", "A", zone="us-east-1a"),
            Refusal("StopInstances", "B", "no"),
        ]
        assert refusals.load(refusals.dump(both)) == both


class TestBox:
    def test_is_where_the_environment_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(DIR_VARIABLE, "/run/mine")
        monkeypatch.setenv(CACHE_VARIABLE, "/var/cache/mine")
        assert Box.chosen() == Box(Path("/run/mine"), Path("/var/cache/mine"))

    def test_is_private(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv(DIR_VARIABLE, str(tmp_path / "box"))
        assert Box.private().folder != Box.private().folder
        assert all(folder.name.startswith("box-") for folder in tmp_path.iterdir())

    @pytest.mark.parametrize("folder", ["/tmp/box", HOME / "box"])
    def test_is_nowhere_that_users_cannot_see(self, folder: Path) -> None:
        with pytest.raises(BoxError, match=DIR_VARIABLE):
            Box(Path(folder), Path("/var/cache")).check()


def test_users_have_an_environment_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    real = {"AWS_PROFILE": "real", "PYTHONDONTWRITEBYTECODE": "1", "https_proxy": "http://proxy"}
    for name, value in {**real, "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    given = home.environment(Box(Path("/run/box"), Path("/var/cache/box")))
    assert not real.keys() & given.keys()
    assert given["TERM"] == "xterm"
    assert given[DIR_VARIABLE] == "/run/box"
    assert given["AWS_ENDPOINT_URL"].startswith("http://10.")


def test_both_sides_have_the_same_skypilot() -> None:
    user, machine = locked("cloud"), locked("cloud-machine")
    assert user["skypilot"] == machine["skypilot"]
    differing = {name for name in user.keys() & machine.keys() if user[name] != machine[name]}
    assert not differing


def test_machines_have_what_skypilot_would_install() -> None:
    machine = locked("cloud-machine")
    assert machine["ray"] == "2.9.3"
    assert machine["pydantic-core"] == "2.41.1"
    assert int(machine["setuptools"].split(".")[0]) < 70
    assert machine["click"] < "8.3"


def test_without_root_the_tests_of_clouds_say_why_they_do_not_run(tmp_path: Path) -> None:
    program = tmp_path / "id"
    program.write_text("#!/bin/sh\necho 1000\n")
    program.chmod(0o755)
    done = subprocess.run(
        [PROJECT / "scripts/test-cloud.sh"],
        check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("What needs a region of machines is skipped.")
    assert "root" in done.stdout
