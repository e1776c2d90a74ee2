"""A cluster that another user's machine takes over: what it needs comes from SkyPilot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from tests.cloud import sample
from tests.cloud.fleet import script
from tests.rigs.cloudbox.box import GATEWAY
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.cloudbox.inside import Region
    from tests.rigs.cloudbox.user import UserMachine

SERVER = {"SKYPILOT_API_SERVER_ENDPOINT": f"http://{GATEWAY}:46580"}


@pytest.fixture(scope="module")
def there(region: Region) -> Iterator[UserMachine]:
    """Give another machine, with credentials of the same account."""
    with region.other_home() as machine:
        yield machine


def ask(there: UserMachine, lines: str, **environ: str) -> Any:
    """Run lines of Python there, which print JSON."""
    return json.loads(there.run(*script(lines), env=there.environment(environ)))


def test_it_is_found_by_its_name(life: rh.OnDemandCluster, there: UserMachine) -> None:
    lines = """
import json, pathlib
cluster = rh.ondemand_cluster("life")
remote = rh.function(sample.host).to(cluster)
key = pathlib.Path(cluster.ssh_creds()["ssh_private_key"])
print(json.dumps([remote(), cluster.ips, oct(key.stat().st_mode), list(cluster.config())]))
"""
    host, ips, mode, known = ask(there, lines, **SERVER)
    assert host == rh.function(sample.host).to(life)()
    assert ips == life.ips
    assert mode == "0o100600"
    assert "ssh_private_key" not in known


def test_a_run_of_one_is_read_by_the_other(life: rh.OnDemandCluster, there: UserMachine) -> None:
    rh.function(sample.host).to(life).options(run_name="shared").run().result()
    lines = """
import json
print(json.dumps(rh.run.attach("shared", rh.ondemand_cluster("life")).result()))
"""
    assert ask(there, lines, **SERVER) == life.get_run("shared").result()


def test_what_is_saved_here_is_loaded_there(life: rh.OnDemandCluster, there: UserMachine) -> None:
    record = json.dumps(life.config())
    assert "PRIVATE" not in record
    lines = f"""
import json
cluster = rh.OnDemandCluster.from_config(json.loads({record!r}))
cluster.save()
print(json.dumps([rh.cluster("life").is_up(), rh.cluster("life").config() == cluster.config()]))
"""
    assert ask(there, lines, **SERVER) == [True, True]


def test_no_credentials_are_told_in_sky_check_s_words(region: Region) -> None:
    """Show it on a machine whose own API server finds no cloud that lets it in."""
    with region.other_home() as machine:
        machine.run("sh", "-c", "rm ~/.aws/credentials")
        lines = """
import json
try:
    rh.ondemand_cluster("never", instance_type="CPU:2").up()
except rh.errors.LaunchError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
        kind, told = ask(machine, lines)
        assert kind == "CloudCredentialsError"
        assert "sky check" in told
        machine.run("sky", "api", "stop")
        wait_until(lambda: "sky.server" not in machine.run("ps", "-ef"), timeout_s=30)
