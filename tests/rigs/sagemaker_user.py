"""Whoever uses SageMaker clusters in tests: a box, a key, an OpenSSH configuration."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse import settings
from runhouse.clusters.accounts import open_account
from tests.rigs import namespaces
from tests.rigs.fixtures import ssh_processes
from tests.rigs.sagemakerbox import life, refusals
from tests.rigs.sagemakerbox.box import PROFILE, Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.clusters.aws import Account
    from tests.rigs.sagemakerbox.refusals import Refusal

OTHERS = "Host other\n    HostName other.invalid\n"


@dataclass(frozen=True, slots=True)
class SageMakerUser:
    """Be signed in to a box's AWS, with files of one's own.

    Attributes:
        box: The box.
        folder: Where the key and the configuration are.
    """

    box: Box
    folder: Path

    @property
    def config(self) -> Path:
        """Return the OpenSSH configuration, which has an entry of another host."""
        return self.folder / "ssh_config"

    @property
    def key(self) -> str:
        """Return the private key's file, which is there after the first use."""
        return str(self.folder / "keys" / "sagemaker")

    @property
    def account(self) -> Account:
        """Return the way to AWS."""
        return open_account("tests", PROFILE)

    def cluster(self, name: str, **options: Any) -> rh.SageMakerCluster:
        """Define a cluster."""
        given = {"profile": PROFILE, "ssh_key_path": self.key, **options}
        return rh.sagemaker_cluster(name, **given)

    def job(self, name: str | None) -> dict[str, Any]:
        """Return what SageMaker says about a job."""
        assert name is not None
        return self.account.ask("sagemaker", "describe_training_job", TrainingJobName=name)

    def running(self) -> list[str]:
        """Return the names of the jobs that go on."""
        answer = self.account.ask("sagemaker", "list_training_jobs", StatusEquals="InProgress")
        return [each["TrainingJobName"] for each in answer["TrainingJobSummaries"]]

    def ask(self, path: str, body: Any) -> Any:
        """Send something to the box itself."""
        headers = {"Content-Type": "application/json"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.box.endpoint + path, data, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    @contextmanager
    def faults(self, **given: float) -> Iterator[None]:
        """Let something go wrong for a while."""
        self.ask("/box/faults", given)
        try:
            yield
        finally:
            self.ask("/box/faults", {})

    @contextmanager
    def refusing(self, *given: Refusal) -> Iterator[None]:
        """Let AWS refuse some requests for a while."""
        self.ask("/box/refusals", refusals.dump(list(given)))
        try:
            yield
        finally:
            self.ask("/box/refusals", [])

    def connections(self, job: str) -> list[int]:
        """Return the ssh processes that are connected to a job."""
        return ssh_processes(job)


@pytest.fixture(scope="session")
def sagemaker_box() -> Iterator[Box]:
    """Give a box; the test is skipped where there can be none."""
    namespaces.require()
    with life.running(Box.private()) as box:
        yield box


@pytest.fixture(scope="module")
def sagemaker_user(sagemaker_box: Box, session_home: Path) -> Iterator[SageMakerUser]:
    """Let this process, and those that it starts, use SageMaker; all jobs have ended afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="rh-sm-"))
    user = SageMakerUser(sagemaker_box, folder)
    user.config.write_text(OTHERS)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            **sagemaker_box.variables(),
            "RH_SSH_CONFIG": str(user.config),
            "RH_HOME": str(session_home),
        }.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        settings.load.cache_clear()
        yield user
        left = user.running()
    settings.load.cache_clear()
    shutil.rmtree(folder)
    assert left == [], "each test ends what it has begun"
