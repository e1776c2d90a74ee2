"""A SageMaker cluster as a definition: what can be asked of it, read, and set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from runhouse import settings
from runhouse.clusters import arguments
from runhouse.clusters.accounts import open_account
from runhouse.clusters.job_definition import JobDefinition
from runhouse.clusters.job_lifecycle import Lifecycle
from runhouse.clusters.launched import LaunchedCluster
from runhouse.errors import ClusterNotUpError
from runhouse.registry.names import check_name

if TYPE_CHECKING:
    from runhouse.clusters.aws import Account
    from runhouse.clusters.training_job import Job
    from runhouse.registry.record import Record
    from runhouse.settings import Settings

Self = TypeVar("Self", bound="JobCluster")
_OWN = ("env", "python")


class JobCluster(LaunchedCluster):
    """Hold what a SageMaker cluster is, and which job it has."""

    kind: ClassVar[str] = "sagemaker"
    wanted: JobDefinition

    def __init__(
        self,
        name: str,
        wanted: JobDefinition,
        *,
        env: str | None = None,
        python: str | None = None,
    ) -> None:
        """Check and store the definition; use `runhouse.sagemaker_cluster` instead."""
        super().__init__(check_name(name), env=env, python=python)
        self.wanted = wanted
        self._bucket: str | None = None
        self._config_file: str | None = None
        self._opened: tuple[tuple[str | None, ...], Account] | None = None
        self._job: Job | None = None
        self._lost: Job | None = None

    # -- the definition -------------------------------------------------------------------------

    @property
    def autostop_mins(self) -> int:
        """Return after how many idle minutes the job ends, or -1 for SageMaker's own limit."""
        chosen = self.wanted.autostop_mins
        return settings.load().autostop_mins if chosen is None else chosen

    @property
    def ssh_key_path(self) -> str:
        """Return the private key's file, absolute; the key is made there with the first use.

        Can be set; a job that runs has the key with which it was created.
        """
        return str(Path(self.wanted.key_path).expanduser().absolute())

    @ssh_key_path.setter
    def ssh_key_path(self, path: str) -> None:
        self._change(ssh_key_path=path)

    @property
    def connection_wait_time(self) -> float:
        """Return for how many seconds a container waits for a connection before it trains.

        It is also how long `up()` tries to connect to a job that runs; 0: not at all, and 300 s.
        Can be set, for jobs that are created afterwards.
        """
        return self.wanted.connection_wait_time or 0

    @connection_wait_time.setter
    def connection_wait_time(self, seconds: float) -> None:
        self._change(connection_wait_time=seconds)

    @property
    def instance_count(self) -> int:
        """Return of how many machines the cluster is. Can be set, for jobs created afterwards."""
        return self.wanted.count

    @instance_count.setter
    def instance_count(self, count: int) -> None:
        self._change(instance_count=count)

    @property
    def instance_type(self) -> str:
        """Return SageMaker's name of the machines. Can be set, for jobs created afterwards."""
        return self.wanted.kind

    @instance_type.setter
    def instance_type(self, kind: str) -> None:
        self._change(instance_type=kind)

    @property
    def region(self) -> str:
        """Return the region that was given, or that of the profile or environment.

        Can be set while the cluster is down.

        Raises:
            LaunchError: There is none.
            ImportError: boto3 is not installed.
        """
        return self.wanted.region or self._account.region

    @region.setter
    def region(self, region: str) -> None:
        self._change(region=region)

    @property
    def default_bucket(self) -> str:
        """Return the S3 bucket that has the public keys, and what containers are started with.

        It is SageMaker's own of the account and region, `sagemaker-REGION-ACCOUNT`, made with the
        first use; another one can be set.

        Raises:
            CloudCredentialsError: AWS does not let us in.
        """
        return self._life.default_bucket

    @default_bucket.setter
    def default_bucket(self, bucket: str) -> None:
        self._bucket = arguments.text("default_bucket", bucket)

    @property
    def job_name(self) -> str | None:
        """Return the job's name, as it was given, or that of the job that was used last."""
        return self.wanted.job_name or (self._job.name if self._job is not None else None)

    @property
    def hosts_path(self) -> str:
        """Return the file in which the containers' host keys are remembered."""
        return str(settings.load().home / "known_hosts")

    @property
    def ssh_config_file(self) -> str:
        """Return the OpenSSH configuration file that gets the cluster's entry; can be set."""
        chosen = self._config_file or settings.load().ssh_config or "~/.ssh/config"
        return str(Path(chosen).expanduser().absolute())

    @ssh_config_file.setter
    def ssh_config_file(self, path: str) -> None:
        self._config_file = arguments.path("ssh_config_file", path)

    def _change(self, **given: Any) -> None:
        self.wanted = self.wanted.changed(**given)

    def fields(self) -> dict[str, Any]:
        """Return what the record holds beside name and kind: JSON values, and no secret.

        :meta private:
        """
        return {**self.wanted.to_record(), **super().fields()}

    @classmethod
    def from_record(cls: type[Self], record: Record) -> Self:
        """Make the cluster from its record.

        :meta private:

        Args:
            record: What `fields` has given.

        Returns:
            The cluster.
        """
        given = record.take(*_OWN, *JobDefinition.names())
        own = {key: given.pop(key) for key in _OWN if key in given}
        return cls(record.name, JobDefinition.checked(**given), **own)

    # -- the job --------------------------------------------------------------------------------

    @property
    def _account(self) -> Account:
        """Return the way to AWS, as the definition says now."""
        place = self.wanted.profile, self.wanted.region
        if self._opened is None or self._opened[0] != (self.name, *place):
            self._opened = (self.name, *place), open_account(self.name, *place)
        return self._opened[1]

    @property
    def _life(self) -> Lifecycle:
        """Return what brings the job up."""
        return Lifecycle(self._account, self.name, self.wanted, self.autostop_mins, self._bucket)

    def _call_settings(self) -> Settings:
        """Return the settings by which calls are made.

        A session of Systems Manager takes its time to come back after sleep, so calls go on for
        longer without their caller than elsewhere: twice as long as a client tries to come back.
        """
        chosen = super()._call_settings()
        grace_s = max(chosen.orphan_grace_s, 2 * chosen.reconnect_timeout_s)
        return replace(chosen, orphan_grace_s=grace_s)

    def _running_job(self) -> Job:
        """Return the job as it was seen last, or look for it.

        Raises:
            ClusterNotUpError: There is none.
        """
        if self._job is None:
            found = self._life.find()
            if found is None or found.state != "up":
                state = "has no job" if found is None else f"is {found.secondary}"
                msg = (
                    f"The cluster {self.name!r} is not up. SageMaker says that it {state}. "
                    f"Bring it up with cluster.up(), or `rh up {self.name}`."
                )
                raise ClusterNotUpError(msg)
            self._job = found
        return self._job

    @property
    def ips(self) -> list[str]:
        """Return the nodes' names, the head first; asks SageMaker if need be.

        Raises:
            ClusterNotUpError: There is no job.
        """
        job = self._running_job()
        return [f"algo-{node + 1}.{job.name}" for node in range(job.count)]

    def ssh_creds(self) -> dict[str, Any]:
        """Return how to log in to the head, without the key itself; see `Cluster.ssh_creds`."""
        target = self._life.target(self._running_job(), 0)
        return {
            "ssh_user": target.user,
            "ssh_private_key": str(target.private_key),
            "ssh_proxy_command": target.proxy_command,
        }
