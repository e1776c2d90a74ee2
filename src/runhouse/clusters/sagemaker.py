"""A cluster that is a SageMaker training job: its container is the host.

It adds a lifecycle to what all clusters have, and a way in through AWS Systems Manager: everything
else goes through SSH as it does on hosts of your own.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from runhouse import settings
from runhouse.bootstrap.ssh_host import SshHost
from runhouse.clusters import arguments, boot
from runhouse.clusters.cloud import Machines, Node
from runhouse.clusters.inherited import with_inherited
from runhouse.clusters.job_cluster import JobCluster
from runhouse.clusters.job_logs import JobLogs
from runhouse.clusters.job_program import wait_for_program
from runhouse.clusters.launching import say
from runhouse.clusters.ssh_entry import SshEntry
from runhouse.clusters.status import CloudStatus, ClusterStatus
from runhouse.errors import ClusterNotUpError, ConnectError, LaunchError
from runhouse.ssh.session import Session

if TYPE_CHECKING:
    from runhouse.bootstrap.host import Host
    from runhouse.clusters.training_job import Job
    from runhouse.ssh.target import Target

Self = TypeVar("Self", bound="SageMakerCluster")
_OWN = ("env", "python")
_TAIL = 20
_SET_S = 15.0


@with_inherited
class SageMakerCluster(JobCluster):
    """Be a SageMaker training job, created with the first use, and reached by SSH.

    Without an estimator, its container waits for what you send, and ends by itself after
    `autostop_mins` minutes in which nothing was computed in it, also when every client is gone.
    With one, it runs the estimator's program, can be reached meanwhile, and stays as long for a
    look at what has become of it. Made by `runhouse.sagemaker_cluster`.

    Example:
        >>> import runhouse as rh
        >>> sm = rh.sagemaker_cluster("sm", profile="sagemaker", instance_type="ml.g5.xlarge")
        >>> sm.instance_type
        'ml.g5.xlarge'
    """

    # -- where the job is -----------------------------------------------------------------------

    def _make_host(self, node: int) -> Host:
        def find(error: ConnectError | None) -> Target:
            return self._target(node, error)

        told = self._told if node == 0 else None
        return SshHost(find, settings.load(), python=self._python or "", autostop=told)

    def _target(self, node: int, error: ConnectError | None) -> Target:
        """Return how to log in to a node; a job that is not there is created, an ended one told."""
        if error is not None:
            self._check_job(error)
        elif self._job is None:
            self._job = self._bring_up()
        return self._life.target(self._running_job(), node)

    def _check_job(self, error: ConnectError) -> None:
        """Look what has become of the job, after it could not be reached.

        Raises:
            JobStoppedError: It has ended.
            ConnectError: Nobody knows now, maybe since it is this machine that is cut off.
        """
        known = self._job or self._lost or self._running_job()
        try:
            found = self._life.jobs.find(known.name)
            gone = found is None or found.has_ended or found.state == "stopping"
            again = self._life.find() if gone and self._lost is not None else None
        except LaunchError as unknown:
            raise error from unknown
        if again is not None and again.state == "up":
            found, gone = again, False  # somebody has brought it up again since we were told
        if found is None or gone:
            self._job, self._lost = None, found or replace(known, status="Gone")
            raise self._lost.ended_error(self.name) from error
        self._job, self._lost = found, None

    def _bring_up(self) -> Job:
        """Bring the job up, and give it an entry for OpenSSH."""
        job = self._life.bring_up()
        self._life.write_entry(job, self._entry)
        say(f"{self.name} is up: {job.count}x {job.kind}. Log in with: ssh {self.name}")
        return job

    @property
    def _entry(self) -> SshEntry:
        return SshEntry(Path(self.ssh_config_file), self.name)

    def _settle(self, job: Job | None) -> None:
        """Remember the job; what is connected to another one is given up."""
        self._lost = None
        if job is not None and self._job is not None and job.name == self._job.name:
            self._job = job
            return
        self._close_calls()
        for host in self._hosts.values():
            with contextlib.suppress(ConnectError):
                host.disconnect()
        self._hosts.clear()
        vars(self).pop("calls", None)
        self._job = job

    # -- life -----------------------------------------------------------------------------------

    def up(self: Self) -> Self:
        """Create the job unless it runs, connect, and start the server there; safe to repeat.

        Blocks for as long as SageMaker takes to start the container, which is minutes;
        `launch_timeout_s` (30 minutes) at most. Its progress is shown on standard error.
        Interrupted by Ctrl-C, it tells which job goes on.

        Returns:
            The cluster itself.

        Raises:
            RoleNotFoundError: There is no role, or SageMaker cannot use it.
            QuotaExceededError: The account may not have such instances.
            CapacityError: None of them is free now.
            CloudCredentialsError: AWS does not let us in.
            PermissionsError: AWS does not allow it.
            SSMUnavailableError: Systems Manager does not lead to the container.
            ConnectionWaitExpiredError: The job runs, but could not be connected to in time.
            JobStoppedError: The job has ended meanwhile.
            LaunchError: SageMaker refuses or fails in another way.
            BootstrapError: The container was reached, but runhouse cannot start there.
            ImportError: boto3 is not installed.
        """
        self._settle(self._bring_up())
        self.host_of().up()
        chosen = self.wanted.autostop_mins
        if chosen is not None and chosen != self._told()["autostop_mins"]:
            self._set_autostop(chosen)
        return self

    def is_up(self) -> bool:
        """Tell whether the job runs and the server in it; creates nothing.

        Blocks for some seconds at most.
        """
        try:
            self._job = self._life.find()
            if self._job is None or self._job.state != "up":
                self._job = None
                return False
            return super().is_up()
        except (ClusterNotUpError, LaunchError):
            return False

    def stop(self) -> bool:
        """Stop the job, as `teardown` does; SageMaker keeps nothing to start again from.

        Returns:
            Whether it was running.

        Raises:
            LaunchError: It could not be stopped, and may still cost.
        """
        life = self._life
        job, known = life.find(), self._job or self._lost
        self._settle(None)
        self._entry.remove()
        stopped = False if job is None else life.stop(job)
        life.clean(job or known)
        return stopped

    def teardown(self) -> None:
        """Stop the job with all that is in it, and remove its entry for OpenSSH; safe to repeat.

        Blocks until it has stopped, which takes up to two minutes. A warm pool is let go of, too.
        The definition is kept.

        Raises:
            LaunchError: It could not be stopped, and may still cost.
        """
        self.stop()

    def wait(self, timeout_s: float | None = None, stream_logs: bool = True) -> dict[str, Any]:
        """Wait until the estimator's program has ended; what it prints is shown meanwhile.

        The container stays for a look at it, for `autostop_mins` idle minutes.

        Args:
            timeout_s: Longest wait in seconds; None: any.
            stream_logs: Show the containers' output here.

        Returns:
            The cluster's status; see `status`.

        Raises:
            TrainingJobFailedError: The program has failed.
            JobStoppedError: The job was stopped before the program had ended.
            RunTimeoutError: It goes on after this time; the job is not touched.
            ClusterNotUpError: There is no job.

        Example:
            >>> import runhouse as rh
            >>> rh.sagemaker_cluster("sm").wait()["state"]  # doctest: +SKIP
            'up'
        """
        job = self._running_job()
        if timeout_s is not None:
            timeout_s = arguments.seconds("timeout_s", timeout_s)
        logs = JobLogs(self._account, job.name)
        show = sys.stdout if stream_logs else None
        ended = wait_for_program(self._life.jobs, job, logs, timeout_s, show)
        if ended.has_ended:
            self._job = None
        return self.status()

    def ssh(self, interactive: bool = True) -> int:
        """Open a shell on the head, on this terminal.

        Args:
            interactive: False only connects, and leaves the connection to others, such as an
                `ssh NAME` of yours or an editor.

        Returns:
            The shell's exit code; 0 when there was none.

        Raises:
            ConnectError: The container cannot be reached, or does not let us in.
        """
        if interactive:
            return super().ssh()
        self.connect_server_client()
        return 0

    # -- autostop -------------------------------------------------------------------------------

    def _told(self) -> dict[str, Any]:
        """Return what lets a server tell the container's first process that it is in use."""
        session = Session.shared(self._life.target(self._running_job(), 0))
        done = session.run(f"cat {boot.AUTOSTOP_FILE}", timeout_s=_SET_S)
        found = done.stdout.strip()
        minutes = int(found) if found.lstrip("-").isdigit() else self.autostop_mins
        return {"autostop_mins": minutes, "pulse": boot.PULSE, "stops": "down"}

    def _set_autostop(self, autostop_mins: int) -> None:
        job = self._running_job()
        for node in range(job.count):
            session = Session.shared(self._life.target(job, node))
            session.run(
                f"echo {autostop_mins} >{boot.AUTOSTOP_FILE} && touch {boot.PULSE[1]}",
                timeout_s=_SET_S,
            )
        self.calls.client.request("PUT", "/autostop", self._told())

    def keep_warm(self: Self, autostop_mins: int = -1) -> Self:
        """Change after how many idle minutes the job ends, now and when it is created again.

        Args:
            autostop_mins: The minutes; -1: it ends with SageMaker's own limit only, which `status`
                tells.

        Returns:
            The cluster itself.

        Raises:
            TypeError: The minutes are no whole number.
            ValueError: They are 0, or less than -1.
            ClusterNotUpError: There is no job.
        """
        minutes = arguments.idle_minutes(autostop_mins)
        self._running_job()
        self._set_autostop(minutes)
        self.wanted = self.wanted.changed(autostop_mins=minutes)
        return self

    # -- what is known --------------------------------------------------------------------------

    def seen(self, *, refresh: bool) -> Machines | None:
        """Return what SageMaker says about the machines, or None when there are none.

        :meta private:
        """
        job = self._life.find() if refresh else self._job
        return None if job is None else self._machines_of(job)

    def _machines_of(self, job: Job) -> Machines:
        names = [f"algo-{node + 1}.{job.name}" for node in range(job.count)]
        return Machines(
            name=self.name,
            identity=job.name,
            state="up" if job.state == "up" else "launching",
            count=job.count,
            nodes=tuple(Node(name, name) for name in names),
            resources=f"{job.count}x {job.kind} in {self._account.region}",
            price_per_hour=self._life.price(job),
            launched_at=job.began_at or job.created_at,
            autostop_mins=self.autostop_mins,
        )

    def tell(self) -> ClusterStatus:
        """Return what runs on the cluster and what it costs; creates nothing.

        :meta private:
        """
        job = self._life.find()
        if job is None:
            self._settle(None)
            return ClusterStatus(name=self.name, state="down", cloud=CloudStatus())
        machines = self._machines_of(job)
        price = machines.price_per_hour
        each = None if price is None else price / job.count
        cloud = CloudStatus(
            resources=machines.resources,
            price_per_hour=price,
            cost=None if each is None else each * job.cost_s / 3600,
            up_s=job.up_s if job.state == "up" else 0.0,
        )
        if job.state != "up":
            return ClusterStatus(name=self.name, state=job.state, cloud=cloud)
        self._settle(job)
        return replace(super().status(), cloud=cloud)

    def costs(self, days: int = 30) -> list[dict[str, Any]]:
        """Return what the cluster's jobs have cost, the newest first.

        Args:
            days: Count jobs that were created in so many days.

        Returns:
            For each job `name` (of the cluster), `job`, `seconds` (for each machine), `machines`,
            `cost` (US dollars; None when the price is unknown) and `state`.

        Raises:
            CloudCredentialsError: AWS does not let us in.

        Example:
            >>> import runhouse as rh
            >>> sm = rh.sagemaker_cluster("sm")
            >>> [job["cost"] for job in sm.costs(days=7)]  # doctest: +SKIP
            [0.35, 1.2]
        """
        return self._life.costs(days)

    def status(self) -> dict[str, Any]:  # type: ignore[override]  # its form is a promise
        """Return what is known about the job and what runs in it; creates nothing.

        Returns:
            What `ClusterStatus` has as a dict (`state` is `"up"`, `"launching"`, `"stopping"` or
            `"down"`), and under `job`: `name`, `status` and `secondary` (SageMaker's words),
            `reason` (of a failure), `instance_type`, `instance_count`, `longest_s` (after how many
            seconds SageMaker ends it) and `left_s` (how many of them are left). `job` is None when
            there is none.

        Raises:
            CloudCredentialsError: AWS does not let us in.
            ConnectError: The job runs, but its container cannot be reached.
        """
        told = self.tell().to_json()
        known = self._job or self._last_job()
        return {**told, "job": None if known is None else known.facts()}

    def _last_job(self) -> Job | None:
        """Return the job of the name that was given, though it has ended."""
        name = self.wanted.job_name
        return None if name is None else self._life.jobs.find(name)
