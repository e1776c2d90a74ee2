"""One host: what an instance is, besides an entry in AWS."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.rigs.cloudbox.box import ENDPOINT, HOST_UID, HOST_USER, REGION, SCRIPTS, Box
from tests.rigs.cloudbox.enclosure import Enclosure, connect
from tests.rigs.cloudbox.image import MachineImage
from tests.rigs.machine_spec import with_row

_SSHD_CONFIG = f"""\
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
UsePAM no
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 500
Subsystem sftp internal-sftp
# What an instance learns from its network on AWS.
SetEnv AWS_ENDPOINT_URL={ENDPOINT} AWS_DEFAULT_REGION={REGION}
"""


def _metadata(instance: dict[str, Any], name: str) -> dict[str, dict[str, str]]:
    """Return what the instance may learn about itself at 169.254.169.254."""
    facts = {
        "instance-id": instance["InstanceId"],
        "instance-type": instance["InstanceType"],
        "ami-id": instance["ImageId"],
        "local-ipv4": instance["PrivateIpAddress"],
        "local-hostname": name,
        "hostname": name,
        "placement/region": REGION,
        "placement/availability-zone": instance["Placement"]["AvailabilityZone"],
    }
    document = {
        "instanceId": facts["instance-id"],
        "instanceType": facts["instance-type"],
        "imageId": facts["ami-id"],
        "privateIp": facts["local-ipv4"],
        "region": REGION,
        "availabilityZone": facts["placement/availability-zone"],
    }
    return {"facts": facts, "document": document}


class Host:
    """Run a host for an instance.

    Attributes:
        ip: Its address.
        volumes: Ids of its volumes.
    """

    def __init__(self, box: Box, instance: dict[str, Any]) -> None:
        """Store what it is like; nothing is made.

        Args:
            box: The region.
            instance: The instance, as AWS describes it.
        """
        self._box = box
        self._id: str = instance["InstanceId"]
        self.ip: str = instance["PrivateIpAddress"]
        devices = instance.get("BlockDeviceMappings", [])
        self.volumes: list[str] = [device["Ebs"]["VolumeId"] for device in devices]
        self._name = f"ip-{self.ip.replace('.', '-')}"
        self._disk = box.disk / "hosts" / self._id
        self._enclosure: Enclosure | None = None

    @property
    def has_booted(self) -> bool:
        """Whether it was started and not halted since."""
        return self._enclosure is not None

    @property
    def is_running(self) -> bool:
        """Whether its process 1 is there."""
        return self._enclosure is not None and self._enclosure.is_running

    @property
    def pid(self) -> int:
        """Its process 1, as seen from the region."""
        return 0 if self._enclosure is None else self._enclosure.pid

    # Disk

    def provision(self, user_data: str) -> None:
        """Make the disk, and do at once what cloud-init does at the first boot.

        Args:
            user_data: What the instance was launched with.
        """
        etc, home = self._disk / "upper/etc", self._disk / f"upper/home/{HOST_USER}"
        (home / ".ssh").mkdir(parents=True)
        own = f"{HOST_USER}:x:{HOST_UID}"
        files = {
            "passwd": with_row("passwd", f"{own}:{HOST_UID}::/home/{HOST_USER}:/bin/bash"),
            "group": with_row("group", f"{own}:"),
            "shadow": with_row("shadow", f"{HOST_USER}:*:19000:0:99999:7:::"),
            "sudoers.d/cloudbox": f"{HOST_USER} ALL=(ALL) NOPASSWD:ALL\n",
            "hostname": f"{self._name}\n",
            "resolv.conf": "",
            "ssh/sshd_config": _SSHD_CONFIG,
            "uv/uv.toml": "offline = true\n",
            "pip.conf": "[global]\nno-index = true\n",
            "metadata.py": (SCRIPTS / "metadata.py").read_text(),
        }
        if user_data.lstrip().startswith("#cloud-config"):
            config = yaml.safe_load(user_data)
            for entry in config.get("write_files", []):
                path = Path(entry["path"])
                if path.is_relative_to("/etc"):
                    files[str(path.relative_to("/etc"))] = entry["content"]
            keys = [
                key.strip()
                for user in config.get("users", [])
                if isinstance(user, dict) and user.get("name") == HOST_USER
                for key in user.get("ssh_authorized_keys", [])
            ]
            (home / ".ssh/authorized_keys").write_text("\n".join([*keys, ""]))
        for name, text in files.items():
            path = etc / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (etc / "shadow").chmod(0o600)
        (etc / "sudoers.d/cloudbox").chmod(0o440)
        (home / ".ssh").chmod(0o700)
        for owned in (home, *home.rglob("*")):
            os.chown(owned, HOST_UID, HOST_UID)

    def move(self, instance: dict[str, Any]) -> None:
        """Take the address that the instance has now, which may be another one than before.

        Args:
            instance: The instance, as AWS describes it.
        """
        self.ip = instance["PrivateIpAddress"]
        etc = self._disk / "upper/etc"
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{self.ip} {self._name}\n")
        (etc / "metadata.json").write_text(json.dumps(_metadata(instance, self._name)))

    def destroy(self) -> None:
        """End the host and drop its disk."""
        self.halt()
        shutil.rmtree(self._disk)

    # Life

    def boot(self) -> None:
        """Start the host; its sshd answers soon after."""
        variables = {
            "H_DISK": str(self._disk),
            "H_IMAGE": str(MachineImage.current(self._box).home),
            "H_USER": HOST_USER,
            "H_NAME": self._name,
            "H_IP": self.ip,
            "H_PYTHON": sys.base_prefix,
        }
        log = self._box.logs / f"host-{self._id}.log"
        self._enclosure = Enclosure("host_init.sh", variables, log)
        self._enclosure.start()
        connect(self._enclosure.pid, f"h{self._id[-12:]}")

    def halt(self) -> None:
        """End the host; its disk stays."""
        if self._enclosure is not None:
            self._enclosure.stop()
            self._enclosure = None
