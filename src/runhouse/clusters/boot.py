"""What a container is started with: `boot.sh`, its settings, the user's key and program, by S3."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runhouse.clusters.accounts import AnswerError
from runhouse.clusters.roles import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runhouse.clusters.aws import Account
    from runhouse.clusters.job_definition import JobDefinition
    from runhouse.clusters.key_pair import KeyPair

BOOT, KEYS = "runhouse", "runhouse-keys"
STATE = "/tmp/runhouse"  # noqa: S108 - in the container, whose only user is root
ENTRYPOINT = ["sh", f"/opt/ml/input/data/{BOOT}/start.sh"]
ENDED = "runhouse: the program ended with code "
AUTOSTOP_FILE = f"{STATE}/autostop_mins"
PULSE = ["touch", f"{STATE}/active"]
_KEY_FOLDER = "ssh-authorized-keys"
_MINUTE_S = 60
_LOOK_S = 5
_NOT_THERE = {"404", "NoSuchBucket", "NotFound"}
_TRAIN = """\
command -v train >/dev/null || {
    echo "There is no program 'train' in the image, so it is not known how it trains." >&2
    echo "Give container_entry_point (an estimator), or command (a trainer's source_code)." >&2
    exit 127
}
exec train
"""
_UNPACK = """\
mkdir -p /opt/ml/code && cd /opt/ml/code || exit 1
[ ! -f {boot}/source.tar.gz ] || tar xzf {boot}/source.tar.gz || exit 1
{command}
"""


@dataclass(frozen=True, slots=True)
class Boot:
    """Bring what a job's containers are started with to S3.

    Attributes:
        account: The way to S3.
        bucket: The bucket.
        job: The job's name.
    """

    account: Account
    bucket: str
    job: str

    @property
    def _prefix(self) -> str:
        return f"runhouse/{self.job}/"

    def channels(self, key: KeyPair) -> list[dict[str, Any]]:
        """Return the input channels by which a container gets it."""
        return [
            _channel(BOOT, f"s3://{self.bucket}/{self._prefix}"),
            _channel(KEYS, f"s3://{self.bucket}/{_key_object(key)}"),
        ]

    def send(
        self, wanted: JobDefinition, key: KeyPair, role: str, autostop_mins: int, *, activate: bool
    ) -> dict[str, str]:
        """Put everything there, and return further hyperparameters of the job.

        Raises:
            LaunchError: S3 does not take it.
        """
        self._make_bucket()
        settings = {
            "AUTOSTOP_MINS": autostop_mins,
            "MINUTE_S": _MINUTE_S,
            "LOOK_S": _LOOK_S,
            "WAIT_S": wanted.wait_s,
            "HOSTS": wanted.count,
            "ACTIVATE": "yes" if activate else "",
            "SSM_ROLE": name_of(role),
            "OWNER": self.account.caller.rpartition("/")[2],
        }
        lines = [f"{name}={shlex.quote(str(value))}\n" for name, value in settings.items()]
        self._put(f"{self._prefix}settings.sh", "".join(lines).encode())
        script = (files("runhouse.clusters") / "boot.sh").read_bytes()
        self._put(f"{self._prefix}start.sh", script)
        self._put(_key_object(key), f"{key.authorized}\n".encode())
        return self._send_program(wanted) if wanted.trains else {}

    def _send_program(self, wanted: JobDefinition) -> dict[str, str]:
        """Put the user's program there: what is run, and its source."""
        estimator = wanted.estimator or {}
        source = estimator.get("source", {})
        request = estimator.get("request", {})
        asked = request.get("AlgorithmSpecification") or {}
        given = [*asked.get("ContainerEntrypoint", []), *asked.get("ContainerArguments", [])]
        uri = self._send_source(source) if source else None
        program = _TRAIN
        if given:
            program = f"exec {shlex.join(given)}\n"
        elif source.get("command"):
            boot = f"/opt/ml/input/data/{BOOT}"
            program = _UNPACK.format(boot=boot, command=source["command"])
            uri = None
        self._put(f"{self._prefix}program.sh", program.encode())
        if uri is None or not source.get("program"):
            return {}
        told = {
            "sagemaker_submit_directory": uri,
            "sagemaker_program": source["program"],
            "sagemaker_region": self.account.region,
            "sagemaker_job_name": self.job,
        }
        return {key: json.dumps(value) for key, value in told.items()}

    def _send_source(self, source: Mapping[str, Any]) -> str:
        directory = source.get("directory")
        if directory is not None and directory.startswith("s3://"):
            return str(directory)
        name = f"{self._prefix}source.tar.gz"
        self._put(name, packed(directory, source.get("dependencies", [])))
        return f"s3://{self.bucket}/{name}"

    def _put(self, name: str, content: bytes) -> None:
        self.account.ask("s3", "put_object", Bucket=self.bucket, Key=name, Body=content)

    def _make_bucket(self) -> None:
        """Make the bucket unless it is there."""
        try:
            self.account.try_to_ask("s3", "head_bucket", Bucket=self.bucket)
        except AnswerError as error:
            if error.code not in _NOT_THERE:
                raise self.account.told(error, "Looking for the bucket") from error
            region = self.account.region
            place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
            more: dict[str, Any] = place if region != "us-east-1" else {}
            self.account.ask("s3", "create_bucket", Bucket=self.bucket, **more)

    def remove(self) -> None:
        """Remove what is of no use after the job: all but the key.

        Raises:
            LaunchError: S3 does not let us.
        """
        listed = self.account.ask(
            "s3", "list_objects_v2", Bucket=self.bucket, Prefix=self._prefix
        ).get("Contents", [])
        for each in listed:
            self.account.ask("s3", "delete_object", Bucket=self.bucket, Key=each["Key"])


def _key_object(key: KeyPair) -> str:
    return f"{_KEY_FOLDER}/{key.digest}.pub"


def _channel(name: str, uri: str) -> dict[str, Any]:
    place = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": place}, "InputMode": "File"}


def packed(directory: str | None, dependencies: list[str]) -> bytes:
    """Return a directory's content, and dependencies beside it, as a `.tar.gz`."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for each in sorted(Path(directory).iterdir()) if directory is not None else []:
            archive.add(each, each.name, filter=_kept)
        for dependency in dependencies:
            archive.add(dependency, Path(dependency).name, filter=_kept)
    return written.getvalue()


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(entry.name).name
    return None if name in {".git", "__pycache__"} else entry
