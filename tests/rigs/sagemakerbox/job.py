"""A training job: how its status goes on, its containers, and its warm pool."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.rigs.sagemakerbox.box import ACCOUNT, REGION
from tests.rigs.sagemakerbox.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rigs.sagemakerbox.container import Container

_GRACE_S = 10.0
_KILL_S = 5.0
_LIMIT_S = 86400
_SHAPE = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
_PLACE = ("RoleArn", "VpcConfig", "EnableNetworkIsolation")
_NO_TIME = 0.001


@dataclass(frozen=True, slots=True)
class Transition:
    """Hold a secondary status, when it began, and what was said."""

    status: str
    at: float
    message: str


class Job:
    """Go through the statuses of a training job.

    Attributes:
        request: What `CreateTrainingJob` was given.
        network: What connects its containers.
        containers: Those that run.
    """

    def __init__(self, request: dict[str, Any], make: Callable[[Job, str], Container]) -> None:
        """Begin in status Starting.

        Args:
            request: What was asked for.
            make: Makes the container of a host.
        """
        self.request = request
        self.name = str(request["TrainingJobName"])
        self.arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{self.name}"
        self.status, self.secondary, self.reason = "InProgress", "Starting", ""
        self.created = time.time()
        self.reused_by = ""
        self.network = Network(self.hosts)
        self.containers: dict[str, Container] = {}
        self._make = make
        self._stopping = False
        self._told_to_stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._had_pool = bool(request["ResourceConfig"].get("KeepAlivePeriodInSeconds"))
        first = Transition("Starting", self.created, "Preparing the instances for training")
        self._transitions = [first]

    @property
    def hosts(self) -> list[str]:
        """Return the names of its hosts."""
        return [
            f"algo-{n + 1}" for n in range(self.request["ResourceConfig"].get("InstanceCount", 1))
        ]

    @property
    def shown_status(self) -> str:
        """Return the status as AWS tells it."""
        return "Stopping" if self._stopping and self.status == "InProgress" else self.status

    def move(self, secondary: str, message: str = "") -> None:
        """Go on to another secondary status."""
        self.secondary = secondary
        self._transitions.append(Transition(secondary, time.time(), message))

    def describe(self) -> dict[str, Any]:
        """Return what `DescribeTrainingJob` answers."""
        ended = self._transitions[-1].at
        told = {name: value for name, value in self.request.items() if name != "Tags"}
        told |= {
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": self.shown_status,
            "SecondaryStatus": self.secondary,
            "CreationTime": self.created,
            "LastModifiedTime": ended,
            "SecondaryStatusTransitions": [
                {"Status": each.status, "StartTime": each.at, "StatusMessage": each.message}
                for each in self._transitions
            ],
        }
        started = next((each.at for each in self._transitions if each.status == "Training"), None)
        if started is not None:
            told["TrainingStartTime"] = started
        if self.status != "InProgress":
            told["TrainingEndTime"] = ended
        if self.reason:
            told["FailureReason"] = self.reason
        if pool := self.pool():
            reused = {"ReusedByJob": self.reused_by} if self.reused_by else {}
            told["WarmPoolStatus"] = {"Status": pool, **reused}
            if self.status != "InProgress":
                billed = int(min(time.time(), self._pool_end()) - ended)
                told["WarmPoolStatus"]["ResourceRetainedBillableTimeInSeconds"] = billed
        return told

    # A warm pool stays, billed, after a job has completed, was stopped or has failed by itself:
    # https://docs.aws.amazon.com/sagemaker/latest/dg/train-warm-pools.html
    def _pool_end(self) -> float:
        kept_s: float = self.request["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0)
        if not kept_s:
            kept_s = _NO_TIME if self._had_pool else 0
        return self._transitions[-1].at + kept_s if kept_s else 0.0

    def pool(self) -> str | None:
        """Return the status of its warm pool, or None when it has none."""
        if not self._had_pool:
            return None
        if self.status == "InProgress":
            return "InUse"
        if self.reused_by:
            return "Reused"
        return "Available" if time.time() < self._pool_end() else "Terminated"

    def fits(self, other: Job) -> bool:
        """Tell whether it may go on in the warm pool of another job."""
        mine, theirs = (each.request["ResourceConfig"] for each in (self, other))
        return all(mine.get(key) == theirs.get(key) for key in _SHAPE) and all(
            self.request.get(key) == other.request.get(key) for key in _PLACE
        )

    def start(self, startup_s: float) -> None:
        """Begin to go through the statuses.

        Args:
            startup_s: Seconds from Starting to Training.
        """
        self._task = asyncio.create_task(self._run_told(startup_s))

    async def _run_told(self, startup_s: float) -> None:
        try:
            await self._run(startup_s)
        except Exception as error:  # noqa: BLE001 - a fault of the box, told as SageMaker would
            self._end("Failed", f"InternalServerError: {error!r}")

    def _end(self, status: str, reason: str = "", message: str = "") -> None:
        self.status, self.reason = status, reason
        self.move(status, reason or message)

    async def _run(self, startup_s: float) -> None:
        for secondary, message in (
            ("Downloading", "Downloading the training image"),
            ("Training", "Training image download completed. Training in progress."),
        ):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._told_to_stop.wait(), startup_s / 2)
            if self._stopping:
                self._end("Stopped")
                return
            self.move(secondary, message)
        stamp = int(self.created)
        self.containers = {host: self._make(self, host) for host in self.hosts}
        running = [
            asyncio.create_task(each.run(self.arn, f"{self.name}/{host}-{stamp}"))
            for host, each in self.containers.items()
        ]
        limit_s = self.request["StoppingCondition"].get("MaxRuntimeInSeconds", _LIMIT_S)
        _, late = await asyncio.wait(running, timeout=limit_s)
        if late:
            self.move("MaxRuntimeExceeded", "Exceeded MaxRuntimeInSeconds")
            await self.stop()
        codes = [await each for each in running]
        code = next((code for code in codes if code), 0)
        made, self.containers = self.containers, {}
        if self._stopping:
            self._end("Stopped")
        elif code:
            failure = next((each.failure for each in made.values() if each.failure), "exit code")
            self._end("Failed", f"AlgorithmError: {failure}, exit code: {code}")
        else:
            self._end("Completed", message="Training job completed")

    def begin_stop(self) -> None:
        """Begin to stop it, as `StopTrainingJob` does."""
        self._stopping = True
        self._told_to_stop.set()
        self.move("Stopping")
        self._stopper = asyncio.create_task(self.stop())

    async def stop(self, grace_s: float = _GRACE_S) -> None:
        """End its containers: SIGTERM, and SIGKILL after a while."""
        self._stopping = True
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _KILL_S)):
            signalled = [each.signal(number) for each in list(self.containers.values())]
            ends = [asyncio.create_task(each.wait()) for each in signalled if each is not None]
            if ends:
                await asyncio.wait(ends, timeout=wait_s)
