"""The region's own process: its AWS, and a host for every instance that AWS says is running.

    python -m tests.rigs.cloudbox.hypervisor      # inside a region, by region_init.sh

Stopping an instance keeps its disk, terminating drops it. A host that ends by itself is stopped.
"""

from __future__ import annotations

import base64
import json
import os
from contextlib import suppress
from subprocess import SubprocessError
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.rigs.cloudbox import account
from tests.rigs.cloudbox.box import NETWORK, REGION, Box, BoxError
from tests.rigs.cloudbox.control_plane import ControlPlane
from tests.rigs.cloudbox.host import Host

if TYPE_CHECKING:
    from pathlib import Path

# How long a host that has ended by itself goes unnoticed, and how long an instance stays as it is
# that is on its way to another state.
_ROUND_S, _SHORT_ROUND_S = 1.0, 0.05
_PASSING = {"pending", "stopping", "shutting-down"}


def write(path: Path, text: str) -> None:
    """Replace a file at once."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


class Hypervisor:
    """Keep hosts in step with the instances of the region."""

    def __init__(self, box: Box) -> None:
        """Start with no hosts."""
        self._box = box
        self._ec2 = boto3.client("ec2", region_name=REGION)
        self._hosts: dict[str, Host] = {}

    def follow(self) -> bool:
        """Do once what the instances ask for, and return whether they will soon ask for more."""
        instances = {
            instance["InstanceId"]: instance
            for reservation in self._ec2.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
        }
        for name, instance in instances.items():
            self._try_to_follow(name, instance)
        hosts = {
            name: {"ip": host.ip, "pid": host.pid}
            for name, host in self._hosts.items()
            if host.is_running
        }
        write(self._box.hosts_file, json.dumps(hosts, indent=1))
        return any(instance["State"]["Name"] in _PASSING for instance in instances.values())

    def _try_to_follow(self, name: str, instance: dict[str, Any]) -> None:
        """Let trouble with one instance be no trouble for the others."""
        try:
            self._follow(name, instance)
        except (BoxError, OSError, SubprocessError, ValueError) as error:
            print(f"{name}: {error!r}", flush=True)

    def _follow(self, name: str, instance: dict[str, Any]) -> None:
        state, host = instance["State"]["Name"], self._hosts.get(name)
        if state == "running":
            if not instance.get("PrivateIpAddress", "").startswith(f"{NETWORK}."):
                return
            if host is None:
                host = self._hosts[name] = Host(self._box, instance)
                host.provision(self._user_data(name))
            if not host.has_booted:
                host.move(instance)
                host.boot()
                print(f"{name}: boot, {host.ip}", flush=True)
            elif not host.is_running:
                print(f"{name}: has ended by itself", flush=True)
                host.halt()
                self._ec2.stop_instances(InstanceIds=[name])
        elif host is not None and state in {"stopping", "stopped"}:
            host.halt()
        elif host is not None and state in {"shutting-down", "terminated"}:
            self._hosts.pop(name).destroy()
            self._drop_volumes(host)
            print(f"{name}: gone", flush=True)

    def _drop_volumes(self, host: Host) -> None:
        """Delete the root volume, which AWS does unless it is told to keep it."""
        for volume in host.volumes:
            with suppress(ClientError):  # it is gone
                self._ec2.delete_volume(VolumeId=volume)

    def _user_data(self, name: str) -> str:
        found = self._ec2.describe_instance_attribute(InstanceId=name, Attribute="userData")
        return base64.b64decode(found["UserData"].get("Value", "")).decode()


def main() -> None:
    """Run until the region ends."""
    box = Box.chosen()
    plane = ControlPlane()
    plane.start()
    plane.zones = account.set_up()
    hypervisor = Hypervisor(box)
    hypervisor.follow()
    box.ready_file.touch()
    is_passing = False
    while True:
        plane.changed.wait(_SHORT_ROUND_S if is_passing else _ROUND_S)
        plane.changed.clear()
        try:
            is_passing = hypervisor.follow()
        except (BotoCoreError, ClientError) as error:  # refused, or too busy to answer
            print(f"not followed: {error}", flush=True)


if __name__ == "__main__":
    os.environ.update(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing")
    main()
