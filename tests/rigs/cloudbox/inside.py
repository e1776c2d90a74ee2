"""A region, from the inside: what tests see of it, and what they do to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from tests.rigs import namespaces
from tests.rigs.cloudbox import refusals
from tests.rigs.cloudbox.box import ENDPOINT, GATEWAY, HOST_USER, PORT, REGION, Box, BoxError
from tests.rigs.cloudbox.enclosure import entered
from tests.rigs.cloudbox.refusals import Refusal
from tests.rigs.cloudbox.user import UserMachine
from tests.rigs.namespaces import SYSTEM_PATH
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDED = {"shutting-down", "terminated"}
_HOST_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Instance:
    """Describe an EC2 instance, as AWS did when it was asked.

    Attributes:
        id: Its id.
        state: `running`, `stopped`, `terminated` and the states between.
        type: Its instance type.
        zone: Its availability zone.
        ip: Its private address, the only one that it has; empty once it is terminated.
        is_spot: Whether it is a spot instance.
        tags: Its tags.
    """

    id: str
    state: str
    type: str
    zone: str
    ip: str
    is_spot: bool
    tags: dict[str, str]

    @property
    def cluster(self) -> str:
        """Name of its cluster on the cloud, which begins with the name of the cluster."""
        return self.tags.get("skypilot-cluster-name", "")


class ApiServer:
    """SkyPilot's API server on the first user's machine, which SkyPilot starts when it needs it."""

    _MODULE = "sky.server.server"

    def pids(self) -> list[int]:
        """Return its process id and those of all that it has started; none when it is down."""
        here = namespaces.members(namespaces.inode(os.getpid()))
        found = [process.pid for process in here if self._MODULE in process.command]
        for pid in found:  # which grows
            with suppress(OSError):
                found.extend(child for child in namespaces.children(pid) if child not in found)
        return found

    @property
    def is_running(self) -> bool:
        """Whether it is there."""
        return bool(self.pids())

    def kill(self) -> None:
        """End it at once, with all that it was doing, as when its machine loses power."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.is_running)


class Region:
    """See and change what is in the region."""

    def __init__(self, box: Box) -> None:
        """Look at the region in which this process runs."""
        self.box = box
        self.ec2 = boto3.client(
            "ec2",
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            endpoint_url=ENDPOINT,
        )
        self.api_server = ApiServer()
        self._refusals: list[Refusal] = []
        self._users = 0

    # Instances

    def instances(self, cluster: str = "") -> list[Instance]:
        """Return the instances that are not terminated, the oldest first.

        Args:
            cluster: Only those of this cluster; empty for all.
        """
        found = []
        for reservation in self.ec2.describe_instances()["Reservations"]:
            for entry in reservation["Instances"]:
                tags = {tag["Key"]: tag["Value"] for tag in entry.get("Tags", [])}
                instance = Instance(
                    id=entry["InstanceId"],
                    state=entry["State"]["Name"],
                    type=entry["InstanceType"],
                    zone=entry["Placement"]["AvailabilityZone"],
                    ip=entry.get("PrivateIpAddress", ""),
                    is_spot=entry.get("InstanceLifecycle") == "spot",
                    tags=tags,
                )
                if instance.state not in _ENDED and instance.cluster.startswith(cluster):
                    found.append(instance)
        return found

    def terminate(self, *instances: Instance) -> None:
        """Terminate instances behind the back of whoever launched them."""
        self.ec2.terminate_instances(InstanceIds=[instance.id for instance in instances])
        wait_until(lambda: not {one.id for one in instances} & self._hosts().keys())

    def stop(self, *instances: Instance) -> None:
        """Stop instances behind the back of whoever launched them."""
        self.ec2.stop_instances(InstanceIds=[instance.id for instance in instances])
        wait_until(lambda: not {one.id for one in instances} & self._hosts().keys())

    # Hosts

    def _hosts(self) -> dict[str, dict[str, object]]:
        known: dict[str, dict[str, object]] = json.loads(self.box.hosts_file.read_text())
        return known

    def host_pid(self, instance: Instance) -> int:
        """Return process 1 of an instance's host, as seen from here.

        Raises:
            BoxError: The instance has no host: it does not run.
        """
        host = self._hosts().get(instance.id)
        if host is None:
            message = f"{instance.id} has no host. It does not run. Look at region.instances()."
            raise BoxError(message)
        return int(str(host["pid"]))

    def on_host(self, instance: Instance, *command: str, timeout_s: float = _HOST_TIMEOUT_S) -> str:
        """Run a command on an instance's host as root, without SSH, and return what it writes.

        Args:
            instance: The instance, which must be running.
            command: The words of the command.
            timeout_s: Longest time that it may run.
        """
        done = subprocess.run(
            entered(self.host_pid(instance), list(command)),
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout_s,
            env={"PATH": SYSTEM_PATH, "HOME": "/root"},
        )
        return done.stdout

    def path(self, instance: Instance, inside: str) -> Path:
        """Return where a path of an instance's host is seen from here."""
        return Path(f"/proc/{self.host_pid(instance)}/root") / inside.lstrip("/")

    def home(self, instance: Instance) -> Path:
        """Return where the home directory of the host's user is seen from here."""
        return self.path(instance, f"/home/{HOST_USER}")

    # What the cloud refuses

    @contextmanager
    def refusing(self, *more: Refusal) -> Iterator[None]:
        """Have AWS refuse some requests for as long as the block lasts."""
        before = self._refusals
        self._refuse([*before, *more])
        try:
            yield
        finally:
            self._refuse(before)

    @staticmethod
    def full(instance_type: str | None = None, zone: str | None = None) -> Refusal:
        """Return the refusal of a cloud that has no machine left; for `refusing`.

        Args:
            instance_type: Only of this type; None for all.
            zone: Only in this zone; None for all.
        """
        message = "We currently do not have sufficient capacity in the Availability Zone"
        code = "InsufficientInstanceCapacity"
        return Refusal("RunInstances", code, message, instance_type, zone)

    def _refuse(self, wanted: list[Refusal]) -> None:
        connection = http.client.HTTPConnection(GATEWAY, PORT, timeout=10)
        connection.request("PUT", refusals.PATH, refusals.dump(wanted))
        connection.getresponse().read()
        connection.close()
        self._refusals = wanted

    # Users

    @contextmanager
    def other_home(self) -> Iterator[UserMachine]:
        """Give one more user's machine, with the same account of the cloud and an empty home."""
        self._users += 1
        with UserMachine(self.box, self._users) as machine:
            yield machine

    # The end

    def leftovers(self) -> list[str]:
        """Return what costs money or runs, one line for each."""
        lines = [f"{one.id}: {one.state}, {one.cluster}" for one in self.instances()]
        lines.extend(f"host of {name}" for name in self._hosts())
        volumes = self.ec2.describe_volumes()["Volumes"]
        lines.extend(f"{volume['VolumeId']}: {volume['State']}" for volume in volumes)
        addresses = self.ec2.describe_addresses()["Addresses"]
        lines.extend(f"address {address['PublicIp']}" for address in addresses)
        return lines
