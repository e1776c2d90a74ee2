"""A target of Session Manager for tests and measurements: a job in a box, and its proxy command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.rigs.sagemakerbox.box import BUCKET, REGION, ROLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.rigs.sagemakerbox.box import Box

PORT = 9000
NAIVE = "tests.rigs.sagemakerbox.ssm_client"
SERVICE = Path(__file__).with_name("ssm_port.py")
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """Name a job in a box that serves `ssm_port.py`.

    Attributes:
        box: The box.
        name: What sessions are started with.
    """

    box: Box
    name: str

    def command(self, *options: str, port: int = PORT) -> list[str]:
        """Return our proxy command."""
        base = [sys.executable, "-m", "runhouse.ssh.ssm", self.name, "--port", str(port)]
        return [*base, *options]

    def naive_command(self, port: int = PORT) -> list[str]:
        """Return the rig's own proxy command."""
        return [sys.executable, "-m", NAIVE, self.name, str(port)]

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a proxy command with pipes."""
        environment = self.box.environment() | options.pop("env", {})
        pipe = subprocess.PIPE
        streams: dict[str, Any] = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "bufsize": 0}
        made: subprocess.Popen[bytes] = subprocess.Popen(
            command, env=environment, **streams | options
        )
        return made

    def ask(self, path: str, body: Any = None) -> Any:
        """Ask the box: GET without a body, else POST."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.box.endpoint + path, data, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def aws(self, service: str, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the box's AWS as its SDK does, without the SDK."""
        return _aws(self.box, f"{service}.{operation}", body)

    def fail(self, **faults: float) -> None:
        """Set what goes wrong, in place of what did."""
        self.ask("/box/faults", faults)

    def sessions(self) -> list[dict[str, Any]]:
        """Return what the box tells of the open sessions."""
        found: list[dict[str, Any]] = self.ask("/box/sessions")
        return found


def start_target(box: Box, name: str = "channel", environment: Mapping[str, str] = {}) -> Target:  # noqa: B006
    """Start a job in a box and wait until sessions with it can be had."""
    target = Target(box, f"sagemaker-training-job:{name}_algo-1")
    made = target.aws("SageMaker", "CreateTrainingJob", _request(name, environment))
    assert "TrainingJobArn" in made, made
    deadline = time.monotonic() + _START_S
    while True:
        with target.start(target.command()) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"up 1\nx")
            if process.stdout.read(1):
                return target
            assert process.stderr is not None
            said = process.stderr.read()
        assert time.monotonic() < deadline, said


def _request(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {
            "TrainingImage": "any:latest",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": [sys.executable, str(SERVICE)],
        },
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {
            "InstanceCount": 1,
            "InstanceType": "ml.m5.large",
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "RemoteDebugConfig": {"EnableRemoteDebug": True},
        "Environment": dict(environment),
    }


def _aws(box: Box, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
    scope = f"Credential=testing/20260101/{REGION}/sagemaker/aws4_request"
    headers = {
        "X-Amz-Target": operation,
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 {scope}",
    }
    data = json.dumps(body).encode()
    request = urllib.request.Request(box.endpoint, data, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found
