"""The program that a SageMaker job runs for its user: what it prints, and how it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from runhouse.errors import RunTimeoutError, TrainingJobFailedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from runhouse.clusters.job_logs import Ending, JobLogs
    from runhouse.clusters.training_job import Job, Jobs

_TAIL = 20


def wait_for_program(
    jobs: Jobs, job: Job, logs: JobLogs, timeout_s: float | None, show: TextIO | None
) -> Job:
    """Wait until the program has ended on all nodes, or the job with it.

    Args:
        jobs: The way to SageMaker.
        job: The job.
        logs: What its containers print.
        timeout_s: Longest wait; None: any.
        show: Where to write that; None: nowhere.

    Returns:
        The job as it is then.

    Raises:
        TrainingJobFailedError: The program has failed.
        JobStoppedError: The job was stopped before.
        RunTimeoutError: The time is up.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    tail = [""]
    found: Job | None = job
    for host, text in logs.follow(until):
        if host:
            tail = [*tail, text][-_TAIL:]
            if show is not None:
                show.write(f"({host}) {text}\n" if job.count > 1 else f"{text}\n")
                show.flush()
            continue
        last = found or job
        if found is None or found.has_ended or len(logs.ends) == job.count:
            _check(jobs.cluster, last, logs.ends.values(), "\n".join(tail).strip())
            return last
        found = jobs.find(job.name)
    msg = (
        f"The program of {jobs.cluster!r} has not ended. It was waited for for {timeout_s:g} s. "
        f"It goes on; wait again, or stop it with `rh down {jobs.cluster}`."
    )
    raise RunTimeoutError(msg)


def _check(cluster: str, job: Job, ends: Collection[Ending], tail: str) -> None:
    """Raise what went wrong, if anything did."""
    failed = next((end for end in ends if end.code), None)
    if failed is not None:
        stays = (
            f"Start it again when it is corrected: `rh up {cluster}`."
            if job.has_ended
            else f"The container stays for a while: look at it with `ssh {cluster}`."
        )
        msg = (
            f"The program of {cluster!r} has failed. It ended with code {failed.code}. Its "
            f"last lines:\n{tail}\n{stays}"
        )
        raise TrainingJobFailedError(
            msg,
            cluster=cluster,
            job=job.name,
            exit_code=failed.code,
            reason=job.reason or failed.reason or f"exit code {failed.code}",
            log_tail=tail,
        )
    if not ends and job.status != "Completed":
        raise job.ended_error(cluster, tail)
