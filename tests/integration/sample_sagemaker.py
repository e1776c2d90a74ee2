"""Functions and objects that tests give to SageMaker."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

ROLE = "sagemaker-execution"
PORT = 8797

FAILS = """\
import os, sys
print("training", *sys.argv[1:], flush=True)
print("warned", file=sys.stderr)
open("/opt/ml/output/failure", "w").write("the disk is on fire")
sys.exit(3)
"""

FAILS_IN_SECOND = """\
import os
if os.environ["SM_CURRENT_HOST"] == "algo-2":
    raise ValueError("loss is nan")
print("trained")
"""


def total(numbers: list[int]) -> int:
    """Add numbers with a library that is there."""
    return int(np.asarray(numbers).sum())


def compute(seconds: float) -> float:
    """Compute for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
    return seconds


def sleep(seconds: float, mark: str) -> str:
    """Say that it has begun, and sleep."""
    path = Path(mark)
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    time.sleep(seconds)
    return path.read_text()


def reach(host: str, port: int) -> str:
    """Connect to another container of the job, and tell from which one."""
    while socket.socket().connect_ex((host, port)):
        time.sleep(0.1)
    return os.environ["SM_CURRENT_HOST"]


def serve() -> None:
    """Answer one request at a port of the container's loopback device."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from the container")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            del format, args

    with HTTPServer(("127.0.0.1", PORT), Handler) as server:
        server.handle_request()


@dataclass
class Estimator:
    """Have what an estimator of version 2 of SageMaker's SDK has."""

    entry_point: str
    source_dir: str | None = None
    role: str = ROLE
    image_uri: str | None = "123456789012.dkr.ecr.us-east-1.amazonaws.com/any:latest"
    instance_type: str = "ml.m5.large"
    instance_count: int = 1
    volume_size: int = 40
    max_run: int = 3600
    environment: dict[str, str] = field(default_factory=lambda: {"MODE": "fast"})
    tags: list[dict[str, str]] = field(default_factory=list)

    def hyperparameters(self) -> dict[str, object]:
        """Return them as they were given."""
        return {"epochs": 3, "name": "a b"}

    def enable_network_isolation(self) -> bool:
        """Return whether the container has no network; a method there, too."""
        return False


def trainer(directory: Path, command: str) -> Any:
    """Return what has what a `ModelTrainer` of version 3 has."""
    return SimpleNamespace(
        role=ROLE,
        training_image="any:latest",
        compute=SimpleNamespace(instance_type="ml.m5.large", instance_count=1),
        source_code=SimpleNamespace(source_dir=str(directory), command=command),
        environment={"GREETING": "hello"},
        hyperparameters={},
    )
