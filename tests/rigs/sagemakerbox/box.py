"""What is fixed about every box, and where one keeps its files."""

from __future__ import annotations

import os
import pwd
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

REGION = "us-east-1"
ACCOUNT = "123456789012"
ROLE_NAME = "sagemaker-execution"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/{ROLE_NAME}"
BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"
PROFILE = "sagemaker"  # it assumes the role
KEY = "testing"  # id and secret of the access key of whoever has not assumed the role

DIR_VARIABLE = "SAGEMAKERBOX_DIR"
PORT_VARIABLE = "SAGEMAKERBOX_PORT"
_DEFAULT_DIR = "/run/runhouse-sagemakerbox"
_DEFAULT_PORT = "5570"

PROJECT = Path(__file__).resolve().parents[3]
SCRIPTS = Path(__file__).resolve().parent
# OpenSSH takes the home directory from here, and not from $HOME.
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)


class BoxError(Exception):
    """Say why there is no box, and what to do about it."""


class AwsError(Exception):
    """Be what AWS answers to a request that it refuses.

    Attributes:
        code: Its name, as in `ValidationException`.
    """

    def __init__(self, code: str, message: str) -> None:
        """Store name and text."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Box:
    """Tell where a box keeps its files, and at which port AWS is.

    Attributes:
        folder: Its folder, gone when the box is down; short, since sockets are made in it.
        port: The port of AWS on the loopback device.
    """

    folder: Path
    port: int

    @classmethod
    def chosen(cls) -> Box:
        """Return the one that the environment names, or the default."""
        port = int(os.environ.get(PORT_VARIABLE, _DEFAULT_PORT))
        return cls(Path(os.environ.get(DIR_VARIABLE, _DEFAULT_DIR)), port)

    @classmethod
    def private(cls) -> Box:
        """Return one that no other process has, with its folder made."""
        folder = tempfile.mkdtemp(prefix=f"{Path(_DEFAULT_DIR).name}-", dir="/run")
        with socket.create_server(("127.0.0.1", 0)) as free:
            return cls(Path(folder), free.getsockname()[1])

    @property
    def endpoint(self) -> str:
        """Where AWS answers, on the user's machine and in containers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def aws_socket(self) -> Path:
        """Where AWS answers those whose network does not reach the port."""
        return self.folder / "aws.sock"

    @property
    def home(self) -> Path:
        """Where the user has settings and credentials of AWS."""
        return self.folder / "home"

    @property
    def jobs(self) -> Path:
        """Where the containers' files are."""
        return self.folder / "jobs"

    @property
    def log(self) -> Path:
        """Where the box writes what it has to say."""
        return self.folder / "box.log"

    @property
    def pid_file(self) -> Path:
        """Holds the id of the box's process."""
        return self.folder / "pid"

    @property
    def ready_file(self) -> Path:
        """Is there once the box can be used."""
        return self.folder / "ready"

    def variables(self) -> dict[str, str]:
        """Return what leads AWS's tools on the user's machine to the box, and nowhere else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.home / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.home / "credentials"),
            "AWS_DEFAULT_REGION": REGION,
            "NO_PROXY": "*",
        }

    def environment(self) -> dict[str, str]:
        """Return the environment of commands on the user's machine."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**kept, **self.variables()}
