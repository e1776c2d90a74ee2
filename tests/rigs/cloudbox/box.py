"""What is fixed about every region, and where one keeps its files."""

from __future__ import annotations

import os
import pwd
import tempfile
from dataclasses import dataclass
from pathlib import Path

REGION = "us-east-1"
NETWORK = "10.231"  # of the VPC; no region has a route to another one, or out
GATEWAY = f"{NETWORK}.0.1"
BRIDGE = "br0"
PORT = 5555
ENDPOINT = f"http://{GATEWAY}:{PORT}"
VPC_NAME = "cloudbox"
IMAGE_ID = "ami-0c10db0c10db0c10d"
ROLE = "skypilot-v1"  # the name that SkyPilot gives to the role of its machines
HOST_USER = "ubuntu"
HOST_UID = 1000

DIR_VARIABLE = "CLOUDBOX_DIR"
CACHE_VARIABLE = "CLOUDBOX_CACHE"
_DEFAULT_DIR = "/run/runhouse-cloudbox"
_DEFAULT_CACHE = "/var/cache/runhouse-cloudbox"

PROJECT = Path(__file__).resolve().parents[3]
SCRIPTS = Path(__file__).resolve().parent
# OpenSSH takes the home directory from here, and not from $HOME.
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)


class BoxError(Exception):
    """Say why there is no region, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Zone:
    """Describe an availability zone.

    Attributes:
        name: Its name, as in `us-east-1a`.
        id: The name that is the same for all accounts; SkyPilot's catalog has this one.
        subnet: First three numbers of the addresses of its hosts.
    """

    name: str
    id: str
    subnet: str


ZONES = (
    Zone("us-east-1a", "use1-az6", f"{NETWORK}.1"),
    Zone("us-east-1b", "use1-az1", f"{NETWORK}.2"),
)


@dataclass(frozen=True, slots=True)
class Box:
    """Tell where a region keeps its files.

    Attributes:
        folder: Its folder, gone when the region is down.
        cache: Where machine images stay.
    """

    folder: Path
    cache: Path

    @classmethod
    def chosen(cls) -> Box:
        """Return the one that the environment names, or the default."""
        return cls(Path(os.environ.get(DIR_VARIABLE, _DEFAULT_DIR)), cls._chosen_cache())

    @classmethod
    def private(cls) -> Box:
        """Return one that no other process has, with its folder made."""
        named = Path(os.environ.get(DIR_VARIABLE, _DEFAULT_DIR))
        named.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=f"{named.name}-", dir=named.parent)
        return cls(Path(folder), cls._chosen_cache())

    @staticmethod
    def _chosen_cache() -> Path:
        return Path(os.environ.get(CACHE_VARIABLE, _DEFAULT_CACHE))

    @property
    def logs(self) -> Path:
        """Where the region's processes write what they have to say."""
        return self.folder / "log"

    @property
    def disk(self) -> Path:
        """Where the region has a file system of its own in memory, seen from the inside only."""
        return self.folder / "disk"

    @property
    def pid_file(self) -> Path:
        """Holds the id of the region's process 1, as seen from the outside."""
        return self.folder / "pid"

    @property
    def ready_file(self) -> Path:
        """Is there once the region can be used."""
        return self.folder / "ready"

    @property
    def hosts_file(self) -> Path:
        """Holds the hosts that run, as JSON."""
        return self.folder / "hosts.json"

    def check(self) -> None:
        """Refuse a folder that users' machines could not see."""
        for hidden in (HOME, Path("/tmp")):
            if self.folder.resolve().is_relative_to(hidden):
                message = (
                    f"The region cannot be kept in {self.folder}. "
                    f"Users' machines have a {hidden} of their own. "
                    f"Let {DIR_VARIABLE} name a folder elsewhere."
                )
                raise BoxError(message)
