"""A SageMaker training job: found, created, waited for, stopped."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import sha256
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal

from runhouse.clusters.accounts import AnswerError
from runhouse.errors import JobStoppedError, LaunchError, TrainingJobFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runhouse.clusters.aws import Account
    from runhouse.clusters.key_pair import KeyPair

State = Literal["launching", "up", "stopping", "down"]

_SLUG = 30
_PAUSE_S = 1.0
_CODE = re.compile(r"exit code: (\d+)")
_ENDED = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True, slots=True)
class Job:
    """Hold what SageMaker says about a job.

    Attributes:
        name: Its name.
        status: `InProgress`, `Stopping`, or how it ended.
        secondary: What it does just now, in more detail.
        reason: Why it failed; empty when it did not.
        kind: Type of its machines.
        count: How many.
        created_at: When it was created, in seconds since the epoch.
        began_at: When training began; None: not yet.
        ended_at: When it ended; None: not yet.
        longest_s: After how many seconds of training SageMaker ends it.
        is_debugged: Whether it can be reached by remote debugging.
        pool: State of its warm pool; empty when it has none.
        billed_s: Seconds that are billed, for each machine; None while it runs.
    """

    name: str
    status: str
    secondary: str = ""
    reason: str = ""
    kind: str = ""
    count: int = 1
    created_at: float = 0.0
    began_at: float | None = None
    ended_at: float | None = None
    longest_s: int = 0
    is_debugged: bool = False
    pool: str = ""
    billed_s: float | None = None

    @classmethod
    def of(cls, told: dict[str, Any]) -> Job:
        """Read what `DescribeTrainingJob` answers."""
        resources = told.get("ResourceConfig", {})
        return cls(
            name=told["TrainingJobName"],
            status=told["TrainingJobStatus"],
            secondary=told.get("SecondaryStatus", ""),
            reason=told.get("FailureReason", ""),
            kind=resources.get("InstanceType", ""),
            count=resources.get("InstanceCount", 1),
            created_at=_seconds(told.get("CreationTime")) or 0.0,
            began_at=_seconds(told.get("TrainingStartTime")),
            ended_at=_seconds(told.get("TrainingEndTime")),
            longest_s=told.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 0),
            is_debugged=bool(told.get("RemoteDebugConfig", {}).get("EnableRemoteDebug")),
            pool=told.get("WarmPoolStatus", {}).get("Status", ""),
            billed_s=told.get("BillableTimeInSeconds"),
        )

    @property
    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        return self.status in _ENDED

    @property
    def state(self) -> State:
        """Return how a cluster of it stands."""
        if self.has_ended:
            return "down"
        if self.status == "Stopping":
            return "stopping"
        return "up" if self.secondary == "Training" else "launching"

    @property
    def up_s(self) -> float:
        """Return for how long its machines have been there, in seconds."""
        begin = self.created_at if self.began_at is None else self.began_at
        return max(0.0, (self.ended_at or time.time()) - begin)

    @property
    def cost_s(self) -> float:
        """Return for how many seconds its machines cost until now, all of them together."""
        each = self.up_s if self.billed_s is None else self.billed_s
        return each * self.count

    def facts(self) -> dict[str, Any]:
        """Return what a user wants to know of it, as JSON values."""
        return {
            "name": self.name,
            "status": self.status,
            "secondary": self.secondary,
            "reason": self.reason,
            "instance_type": self.kind,
            "instance_count": self.count,
            "longest_s": self.longest_s,
            "left_s": 0.0 if self.has_ended else max(0.0, self.longest_s - self.up_s),
        }

    def ended_error(self, cluster: str, log_tail: str = "") -> JobStoppedError:
        """Return the error that tells of its end."""
        hint = f"Bring it up again with cluster.up(), or `rh up {cluster}`."
        if self.status == "Failed":
            found = _CODE.findall(self.reason)
            said = f" Its last lines:\n{log_tail}\n" if log_tail else " "
            return TrainingJobFailedError(
                f"The job {self.name} of {cluster!r} has failed. {self.reason.rstrip('.')}.{said}"
                f"Correct the program, and start it again.",
                cluster=cluster,
                job=self.name,
                exit_code=int(found[-1]) if found else None,
                reason=self.reason,
                log_tail=log_tail,
            )
        how = {
            "Completed": "It has come to its end by itself, as it does after idle minutes",
            "Stopped": "Somebody has stopped it, or it has run for as long as it may",
        }.get(self.status, f"It is {self.status.lower()}")
        return JobStoppedError(
            f"The job {self.name} of {cluster!r} does not run any more. {how}; what ran or was "
            f"kept there is lost. {hint}",
            cluster=cluster,
            job=self.name,
            status=self.status,
        )


def _seconds(moment: Any) -> float | None:
    return None if moment is None else float(moment.timestamp())


def prefix_of(cluster: str, key: KeyPair) -> str:
    """Return how the names of a cluster's jobs begin: they are those of its name and key.

    Who has the key finds the job from anywhere; who has another one could not log in.
    """
    slug = re.sub(r"[^a-zA-Z0-9]+", "-", cluster).strip("-")[:_SLUG].strip("-") or "cluster"
    mark = sha256(f"{cluster}\0{key.authorized}".encode()).hexdigest()[:8]
    return f"rh-{slug}-{mark}-"


def new_name(prefix: str, now: datetime | None = None) -> str:
    """Return a name that no job has yet."""
    moment = now or datetime.now(timezone.utc)
    return f"{prefix}{moment:%Y%m%d%H%M%S}-{token_hex(2)}"


@dataclass(frozen=True, slots=True)
class Jobs:
    """Ask SageMaker about jobs, for a cluster.

    Attributes:
        account: The way to AWS.
        cluster: The cluster's name, for messages.
    """

    account: Account
    cluster: str

    def find(self, name: str) -> Job | None:
        """Return a job, or None when there is none of the name."""
        try:
            told = self.account.try_to_ask(
                "sagemaker", "describe_training_job", TrainingJobName=name
            )
        except AnswerError as error:
            if "not found" in error.reason:
                return None
            raise self.account.told(error, "Looking for the job") from error
        return Job.of(told)

    def newest(self, prefix: str) -> Job | None:
        """Return the newest job that goes on and whose name begins so, or None."""
        for each in self.summaries(prefix, StatusEquals="InProgress"):
            job = self.find(each["TrainingJobName"])
            if job is not None and not job.has_ended:
                return job
        return None

    def summaries(self, prefix: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """Give summaries of the jobs whose names begin so, the newest first."""
        asked = {"NameContains": prefix, "SortBy": "CreationTime", "SortOrder": "Descending"}
        page: dict[str, Any] = {}
        while True:
            answer = self.account.ask("sagemaker", "list_training_jobs", **asked, **filters, **page)
            for each in answer["TrainingJobSummaries"]:
                if each["TrainingJobName"].startswith(prefix):
                    yield each
            if not answer.get("NextToken"):
                return
            page = {"NextToken": answer["NextToken"]}

    def of_instance(self, instance: str) -> Job | None:
        """Return the job in which a managed instance runs, as AWS's helper has tagged it."""
        try:
            told = self.account.try_to_ask(
                "ssm",
                "list_tags_for_resource",
                ResourceType="ManagedInstance",
                ResourceId=instance,
            )
        except AnswerError as error:
            if error.code == "InvalidResourceId":
                return None
            raise self.account.told(error, f"Looking for {instance}") from error
        tags = {each["Key"]: each["Value"] for each in told["TagList"]}
        name = tags.get("SSHResourceName")
        return self.find(name) if name is not None else None

    def instances(self, job: Job, *, online: bool = True) -> list[str]:
        """Return the managed instances of a job, the head first.

        Args:
            job: The job.
            online: Leave out those that are not heard of any more.
        """
        wanted = [{"Key": "tag:SSHResourceName", "Values": [job.name]}]
        if online:
            wanted.append({"Key": "PingStatus", "Values": ["Online"]})
        answer = self.account.ask("ssm", "describe_instance_information", Filters=wanted)
        found = sorted(
            answer["InstanceInformationList"], key=lambda each: str(each.get("ComputerName"))
        )
        return [each["InstanceId"] for each in found]

    def await_training(self, job: Job, timeout_s: float, on_change: Callable[[Job], None]) -> Job:
        """Wait until a job's containers have been started.

        Raises:
            JobStoppedError: It ended before.
            LaunchError: It took too long.
        """
        deadline, seen = time.monotonic() + timeout_s, ""
        while True:
            found = self.find(job.name) or replace(job, status="Stopped")
            if found.secondary != seen:
                seen = found.secondary
                on_change(found)
            if found.has_ended or found.state == "stopping":
                raise found.ended_error(self.cluster)
            if found.state == "up":
                return found
            if time.monotonic() > deadline:
                msg = (
                    f"The job {job.name} of {self.cluster!r} took too long. After {timeout_s:g} s "
                    f"it is still {found.secondary}. It goes on, and may cost: stop it with "
                    f"`rh down {self.cluster}`, or allow more time with RH_LAUNCH_TIMEOUT_S."
                )
                raise LaunchError(msg, cluster=self.cluster, reason="timeout")
            time.sleep(_PAUSE_S)

    def stop(self, job: Job, timeout_s: float) -> bool:
        """Stop a job, and wait for its end; safe to repeat.

        Returns:
            Whether it was running.

        Raises:
            LaunchError: It did not end in time.
        """
        try:
            self.account.try_to_ask("sagemaker", "stop_training_job", TrainingJobName=job.name)
            stopped = True
        except AnswerError as error:
            found = self.find(job.name)
            if found is not None and not found.has_ended and found.state != "stopping":
                raise self.account.told(error, "Stopping the job") from error
            stopped = found is not None and not found.has_ended
        self._await_end(job, timeout_s)
        return stopped

    def _await_end(self, job: Job, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while (found := self.find(job.name)) is not None and not found.has_ended:
            if time.monotonic() > deadline:
                msg = (
                    f"The job {job.name} of {self.cluster!r} has not stopped yet. It was told to, "
                    f"and is still {found.secondary} after {timeout_s:g} s. Look at it with "
                    f"`aws sagemaker describe-training-job --training-job-name {job.name}`."
                )
                raise LaunchError(msg, cluster=self.cluster, reason="timeout")
            time.sleep(_PAUSE_S / 2)

    def end_pool(self, name: str) -> None:
        """Let go of the machines that are kept, and cost, although the job has ended."""
        self.account.ask(
            "sagemaker",
            "update_training_job",
            TrainingJobName=name,
            ResourceConfig={"KeepAlivePeriodInSeconds": 0},
        )
