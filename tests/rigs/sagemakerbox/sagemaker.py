"""SageMaker's control plane: training jobs, each played by containers of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.rigs.sagemakerbox.box import AwsError, Box
from tests.rigs.sagemakerbox.container import Container
from tests.rigs.sagemakerbox.job import Job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.rigs.sagemakerbox.account import Account

Request = dict[str, Any]
Answer = dict[str, Any]
_PAGE = 10


class SageMaker:
    """Answer SageMaker's requests; each method in capitals is one.

    Attributes:
        jobs: All jobs there ever were, by name.
    """

    def __init__(self, box: Box, account: Account, faults: Mapping[str, float]) -> None:
        """Have no jobs."""
        self.jobs: dict[str, Job] = {}
        self._box = box
        self._account = account
        self._faults = faults
        self._containers = 0

    def _make(self, job: Job, host: str) -> Container:
        self._containers += 1
        return Container(self._box, self._account, job.request, host, job.network, self._containers)

    def container(self, name: str, host: str) -> Container | None:
        """Return the container of a job and host while it runs."""
        job = self.jobs.get(name)
        return job.containers.get(host) if job is not None else None

    def CreateTrainingJob(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Begin a job, or say why the account may not have it."""
        resources = request["ResourceConfig"]
        kind, role = resources.get("InstanceType", ""), request["RoleArn"]
        if request["TrainingJobName"] in self.jobs:
            message = f"Training job names must be unique: {request['TrainingJobName']}"
            raise AwsError("ResourceInUse", message)
        if resources.get("KeepAlivePeriodInSeconds") and self._faults.get("no_warm_pools"):
            raise _over_quota(kind, "training warm pool usage")
        if "missing" in role:
            message = (
                f"Could not assume role {role}. Please ensure that the role exists and allows "
                "principal 'sagemaker.amazonaws.com' to assume the role."
            )
            raise AwsError("ValidationException", message)
        if kind.startswith("ml.p5"):
            raise _over_quota(kind, "training job usage")
        debugged = request.get("RemoteDebugConfig", {}).get("EnableRemoteDebug")
        if debugged and (
            self._faults.get("no_remote_debug") or request.get("EnableNetworkIsolation")
        ):
            message = "RemoteDebugConfig is not supported for this training job."
            raise AwsError("ValidationException", message)
        job = self.jobs[request["TrainingJobName"]] = Job(request, self._make)
        warm = next(
            (each for each in self.jobs.values() if each.pool() == "Available" and job.fits(each)),
            None,
        )
        if warm is not None:
            warm.reused_by = job.name
        job.start(0.0 if warm is not None else self._faults.get("startup_s", 0.0))
        return {"TrainingJobArn": job.arn}

    def _job(self, request: Request) -> Job:
        if request["TrainingJobName"] not in self.jobs:
            raise AwsError("ValidationException", "Requested resource not found.")
        return self.jobs[request["TrainingJobName"]]

    def DescribeTrainingJob(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Tell all about a job."""
        return self._job(request).describe()

    def UpdateTrainingJob(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Change what may be changed: remote debugging, and how long a warm pool stays."""
        job = self._job(request)
        if "RemoteDebugConfig" in request:
            if job.secondary not in ("Downloading", "Training"):
                message = (
                    "RemoteDebugConfig cannot be updated when the secondary status is "
                    f"{job.secondary}."
                )
                raise AwsError("ValidationException", message)
            job.request["RemoteDebugConfig"] = request["RemoteDebugConfig"]
        if "ResourceConfig" in request:
            if job.pool() != "Available":
                message = (
                    f"The warm pool of training job {job.name} cannot be updated in status "
                    f"{job.pool()}."
                )
                raise AwsError("ValidationException", message)
            kept_s = request["ResourceConfig"]["KeepAlivePeriodInSeconds"]
            job.request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = kept_s
        return {"TrainingJobArn": job.arn}

    def StopTrainingJob(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Begin to stop a job."""
        job = self._job(request)
        if job.status != "InProgress":
            message = f"The request was rejected because the training job is in status {job.status}"
            raise AwsError("ValidationException", f"{message}.")
        job.begin_stop()
        return {}

    def ListTrainingJobs(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """List jobs, the newest first unless asked otherwise, a page at a time."""
        found = [
            job
            for job in reversed(self.jobs.values())
            if request.get("NameContains", "") in job.name
            and request.get("StatusEquals", job.shown_status) == job.shown_status
            and job.created >= request.get("CreationTimeAfter", 0)
            and request.get("WarmPoolStatusEquals") in (None, job.pool())
        ]
        start, size = int(request.get("NextToken") or 0), request.get("MaxResults", _PAGE)
        shown = [
            {
                "TrainingJobName": job.name,
                "TrainingJobArn": job.arn,
                "CreationTime": job.created,
                "TrainingJobStatus": job.shown_status,
            }
            for job in found[start : start + size]
        ]
        more = {"NextToken": str(start + size)} if len(found) > start + size else {}
        return {"TrainingJobSummaries": shown, **more}

    def ListTags(self, request: Request) -> Answer:  # noqa: N802 - AWS's name
        """Return the tags of a job."""
        tagged = (each for each in self.jobs.values() if each.arn == request["ResourceArn"])
        job = next(tagged, None)
        return {"Tags": job.request.get("Tags", []) if job is not None else []}


def _over_quota(kind: str, use: str) -> AwsError:
    message = (
        f"The account-level service limit '{kind} for {use}' is 0 Instances, with current "
        "utilization of 0 Instances and a request delta of 1 Instances. Please use AWS "
        "Service Quotas to request an increase for this quota."
    )
    return AwsError("ResourceLimitExceeded", message)
