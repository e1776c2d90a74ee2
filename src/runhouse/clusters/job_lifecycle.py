"""Bring a SageMaker job up, and its containers within reach."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from runhouse import settings
from runhouse.clusters import ssm_proxy
from runhouse.clusters.accounts import AnswerError
from runhouse.clusters.boot import BOOT, ENTRYPOINT, Boot
from runhouse.clusters.images import default_image
from runhouse.clusters.key_pair import KeyPair
from runhouse.clusters.launching import say
from runhouse.clusters.prices import price_per_hour
from runhouse.clusters.roles import find_role
from runhouse.clusters.ssh_entry import Node, SshEntry
from runhouse.clusters.training_job import Job, Jobs, new_name, prefix_of
from runhouse.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionWaitExpiredError,
    HostKeyChangedError,
    LaunchError,
    SSMUnavailableError,
)
from runhouse.specs.progress import working
from runhouse.ssh.session import Session
from runhouse.ssh.target import Target

if TYPE_CHECKING:
    from runhouse.clusters.aws import Account
    from runhouse.clusters.job_definition import JobDefinition

_USER = "root"
_WAIT_S = 300.0
_PAUSE_S = 0.5
# Of what Session Manager says, what is not yet so rather than not at all.
_NOT_YET = {"", "TargetNotConnected"}


@dataclass(slots=True)
class Lifecycle:
    """Find or make the job of a cluster, and say how its nodes are logged in to.

    Attributes:
        account: The way to AWS.
        name: The cluster's name.
        wanted: What is asked for.
        autostop_mins: Idle minutes after which a new job ends; -1: never.
        bucket: The bucket to use; None for SageMaker's own of the account and region.
        asked_for: The job that was asked for last; empty when none was.
    """

    account: Account
    name: str
    wanted: JobDefinition
    autostop_mins: int
    bucket: str | None = None
    asked_for: str = ""

    @property
    def jobs(self) -> Jobs:
        """Return the way to SageMaker's jobs."""
        return Jobs(self.account, self.name)

    @property
    def key(self) -> KeyPair:
        """Return the key with which containers are logged in to, made if need be."""
        return KeyPair.at(self.wanted.key_path).made()

    @property
    def default_bucket(self) -> str:
        """Return the bucket for what containers are started with."""
        return self.bucket or f"sagemaker-{self.account.region}-{self.account.number}"

    # -- finding --------------------------------------------------------------------------------

    def find(self) -> Job | None:
        """Return the job that goes on for the cluster, or None; nothing is launched."""
        if self.wanted.instance_id is not None:
            job = self.jobs.of_instance(self.wanted.instance_id)
        elif self.wanted.job_name is not None:
            job = self.jobs.find(self.wanted.job_name)
        else:
            job = self.jobs.newest(prefix_of(self.name, self.key))
        return None if job is None or job.has_ended else job

    def price(self, job: Job | None = None) -> float | None:
        """Return what the machines cost in US dollars an hour; None when unknown."""
        kind, count = (
            (self.wanted.kind, self.wanted.count) if job is None else (job.kind, job.count)
        )
        each = price_per_hour(self.account, kind)
        return None if each is None else each * count

    def costs(self, days: int) -> list[dict[str, Any]]:
        """Return what the cluster's jobs of so many days have cost, the newest first."""
        since = datetime.now(timezone.utc) - timedelta(days=days)
        if self.wanted.job_name is not None:
            names = [self.wanted.job_name]
        else:
            prefix = prefix_of(self.name, self.key)
            listed = self.jobs.summaries(prefix, CreationTimeAfter=since)
            names = [each["TrainingJobName"] for each in listed]
        jobs = [job for name in names if (job := self.jobs.find(name)) is not None]
        return [self._cost(job) for job in jobs if job.created_at >= since.timestamp()]

    def _cost(self, job: Job) -> dict[str, Any]:
        price = self.price(job)
        return {
            "name": self.name,
            "job": job.name,
            "seconds": int(job.cost_s / job.count),
            "machines": f"{job.count}x {job.kind}",
            "cost": None if price is None else price * job.cost_s / job.count / 3600,
            "state": "gone" if job.has_ended else job.state,
        }

    # -- launching ------------------------------------------------------------------------------

    def bring_up(self) -> Job:
        """Find or create the job, and wait until its containers can be connected to.

        Raises:
            LaunchError: It did not come up; subclasses say why.
            JobStoppedError: It has ended.
            ConnectionWaitExpiredError: It runs, but cannot be connected to.
            ConnectError: It runs, but will not be connected to; which job that is was told.
            KeyboardInterrupt: The user pressed Ctrl-C; the job was told.
        """
        job = self.find()
        try:
            job = job or self._create()
            with working(f"Waiting for {self.name}"):
                job = self.jobs.await_training(job, settings.load().launch_timeout_s, self._say)
                self._await_connections(job)
        except (KeyboardInterrupt, ConnectError) as error:
            name = self.asked_for if job is None else job.name
            if name:
                interrupted = "Interrupted. " if isinstance(error, KeyboardInterrupt) else ""
                say(
                    f"{interrupted}The job {name} of {self.name} goes on, and costs. "
                    f"Stop it with: rh down {self.name}"
                )
            raise
        return job

    def _say(self, job: Job) -> None:
        say(f"{self.name}: job {job.name} is {job.secondary}.")

    def _create(self) -> Job:
        if self.wanted.instance_id is not None:
            # It cannot be made again: SageMaker and Systems Manager give new names to each.
            job = self.jobs.of_instance(self.wanted.instance_id)
            name = self.wanted.instance_id
            raise (job or Job(name, "Gone")).ended_error(self.name)
        role = find_role(self.account, self.name, self.wanted.wanted_role)
        name = self.wanted.job_name or new_name(prefix_of(self.name, self.key))
        say(f"Launching {self.name}: {self.described()}.")
        if self.wanted.connect_by == "activation":
            return self._request(name, role, activate=True)
        try:
            return self._request(name, role, activate=False)
        except AnswerError as error:
            if "RemoteDebug" not in error.reason or self.wanted.connect_by is not None:
                raise self.account.told(error, "Starting the job") from error
            say("The account allows no remote debugging; a hybrid activation is made instead.")
        return self._request(name, role, activate=True)

    def described(self) -> str:
        """Return what is launched, what it costs, and when it goes, as people say it."""
        price = self.price()
        cost = "of unknown price" if price is None else f"${price:.3g} an hour"
        idle = self.autostop_mins
        when = f"after {idle} idle minutes, and " if idle >= 0 else ""
        hours = self.wanted.longest_s / 3600
        return (
            f"{self.wanted} in {self.account.region}, {cost}; it ends {when}after {hours:.3g} h at "
            "the latest"
        )

    def _request(self, name: str, role: str, *, activate: bool) -> Job:
        """Ask for the job.

        Raises:
            AnswerError: SageMaker refuses remote debugging.
            LaunchError: It refuses the job for another reason.
        """
        boot = Boot(self.account, self.default_bucket, name)
        told = boot.send(self.wanted, self.key, role, self.autostop_mins, activate=activate)
        request = self._arguments(name, role, boot, told, activate=activate)
        self.asked_for = name
        try:
            self.account.try_to_ask("sagemaker", "create_training_job", **request)
        except (AnswerError, LaunchError) as error:
            self.asked_for = ""
            with suppress(LaunchError):  # the reason why we are here is told instead
                boot.remove()
            if isinstance(error, LaunchError) or "RemoteDebug" in error.reason:
                raise
            raise self.account.told(error, "Starting the job") from error
        return Job(name, "InProgress", is_debugged=not activate)

    def _arguments(
        self, name: str, role: str, boot: Boot, told: dict[str, str], *, activate: bool
    ) -> dict[str, Any]:
        """Return the arguments of `CreateTrainingJob`."""
        asked: dict[str, Any] = dict((self.wanted.estimator or {}).get("request", {}))
        algorithm = dict(asked.get("AlgorithmSpecification") or {})
        image = self.wanted.image_uri or algorithm.get("TrainingImage")
        algorithm["TrainingImage"] = image or default_image(self.account.region, self.wanted.kind)
        algorithm.setdefault("TrainingInputMode", "File")
        algorithm["ContainerEntrypoint"] = ENTRYPOINT
        algorithm.pop("ContainerArguments", None)
        stopping = dict(asked.get("StoppingCondition") or {})
        stopping["MaxRuntimeInSeconds"] = self.wanted.longest_s
        output = dict(asked.get("OutputDataConfig") or {})
        output.setdefault("S3OutputPath", f"s3://{self.default_bucket}/{BOOT}-output/")
        hyperparameters = {**(asked.get("HyperParameters") or {}), **told}
        made = {
            **asked,
            "TrainingJobName": name,
            "RoleArn": role,
            "AlgorithmSpecification": algorithm,
            "InputDataConfig": [
                *(asked.get("InputDataConfig") or []),
                *boot.channels(self.key),
            ],
            "OutputDataConfig": output,
            "ResourceConfig": self.wanted.resources(),
            "StoppingCondition": stopping,
            "Tags": [
                *(asked.get("Tags") or []),
                {"Key": "runhouse:cluster", "Value": self.name},
            ],
        }
        if hyperparameters:
            made["HyperParameters"] = hyperparameters
        if not activate:
            made["RemoteDebugConfig"] = {"EnableRemoteDebug": True}
        return made

    # -- connecting -----------------------------------------------------------------------------

    def target(self, job: Job, node: int) -> Target:
        """Return how to log in to a node.

        Raises:
            SSMUnavailableError: It is not registered with Systems Manager, or not yet.
        """
        region, profile = self.account.region, self.account.profile
        command = ssm_proxy.proxy_command(self._ssm_target(job, node), region, profile)
        host = f"algo-{node + 1}.{job.name}"
        return Target(
            host=host,
            user=_USER,
            private_key=self.key.private,
            proxy_command=command,
            known_as=host,
        )

    def _ssm_target(self, job: Job, node: int) -> str:
        if job.is_debugged:
            return ssm_proxy.debug_target(job.name, node)
        if self.wanted.instance_id is not None and node == 0:
            return self.wanted.instance_id
        known = self.jobs.instances(job)
        if node >= len(known):
            msg = (
                f"Node {node} of {self.name!r} cannot be reached. It has not registered itself "
                "with Systems Manager. Look at the job's log in CloudWatch, or try again."
            )
            raise SSMUnavailableError(msg, host=f"algo-{node + 1}.{job.name}")
        return known[node]

    def _await_connections(self, job: Job) -> None:
        """Wait until all nodes let us in.

        Raises:
            ConnectionWaitExpiredError: They did not, in time.
            JobStoppedError: The job has ended meanwhile.
        """
        allowed_s = float(self.wanted.wait_s or _WAIT_S)
        deadline = time.monotonic() + allowed_s
        for node in range(job.count):
            while (error := self._connect(job, node)) is not None:
                found = self.jobs.find(job.name)
                if found is None or found.has_ended or found.state == "stopping":
                    raise (found or job).ended_error(self.name) from error
                if time.monotonic() > deadline:
                    msg = (
                        f"The job {job.name} of {self.name!r} cannot be connected to. It runs, but "
                        f"nothing let us in within {allowed_s:g} s: {error} The job goes on, and "
                        f"costs: try again with cluster.up(), look at its log in CloudWatch, or "
                        f"stop it with `rh down {self.name}`."
                    )
                    raise ConnectionWaitExpiredError(
                        msg, cluster=self.name, reason=str(error)
                    ) from error
                time.sleep(_PAUSE_S)

    def _connect(self, job: Job, node: int) -> ConnectError | None:
        """Connect to a node; return why that is not possible yet.

        Raises:
            ConnectError: It will not be possible.
        """
        try:
            Session.shared(self.target(job, node)).connect()
        except (AuthenticationError, HostKeyChangedError):
            raise
        except SSMUnavailableError as error:
            if error.code not in _NOT_YET:
                raise
            return error
        except ConnectError as error:
            self._check_ssm(job, node, error)
            return error
        return None

    def _check_ssm(self, job: Job, node: int, error: ConnectError) -> None:
        """Ask Systems Manager itself why it does not lead to a node; ssh keeps that to itself.

        Raises:
            SSMUnavailableError: It will not.
        """
        target = self._ssm_target(job, node)
        try:
            made = self.account.try_to_ask(
                "ssm", "start_session", Target=target, DocumentName="AWS-StartSSHSession"
            )
            self.account.ask("ssm", "terminate_session", SessionId=made["SessionId"])
        except (AnswerError, LaunchError) as refused:
            code = refused.code if isinstance(refused, AnswerError) else "AccessDenied"
            if code in _NOT_YET:
                return
            msg = (
                f"{self.name!r} cannot be reached through Systems Manager. {refused} "
                "`rh sagemaker doctor` tells what is missing."
            )
            raise SSMUnavailableError(msg, host=error.host, code=code) from error

    def write_entry(self, job: Job, entry: SshEntry) -> None:
        """Let OpenSSH know the nodes: the head by the cluster's name, the others with a number."""
        nodes = []
        for node in range(job.count):
            target = self.target(job, node)
            nodes.append(
                Node(
                    alias=self.name if node == 0 else f"{self.name}-algo-{node + 1}",
                    host=target.host,
                    user=_USER,
                    key=str(target.private_key),
                    known_as=target.host,
                    known_hosts=str(settings.load().home / "known_hosts"),
                    proxy_command=str(target.proxy_command),
                )
            )
        entry.write(nodes)

    # -- ending ---------------------------------------------------------------------------------

    def stop(self, job: Job) -> bool:
        """Stop the job, and wait for its end.

        Returns:
            Whether it was running.

        Raises:
            LaunchError: It did not end in time.
        """
        with working(f"Stopping {self.name}"):
            return self.jobs.stop(job, settings.load().launch_timeout_s)

    def clean(self, job: Job | None) -> None:
        """Remove what an ended job, and warm pools of earlier ones, leave in the account."""
        if job is not None:
            if not job.is_debugged:
                for instance in self.jobs.instances(job, online=False):
                    self.account.ask("ssm", "deregister_managed_instance", InstanceId=instance)
            Boot(self.account, self.default_bucket, job.name).remove()
        if self.wanted.resources().get("KeepAlivePeriodInSeconds"):
            begin = self.wanted.job_name or prefix_of(self.name, self.key)
            for each in self.jobs.summaries(begin, WarmPoolStatusEquals="Available"):
                self.jobs.end_pool(each["TrainingJobName"])
