"""Programs that SageMaker jobs run, how they fail, and jobs that end by themselves; in a box."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.clusters import boot
from runhouse.clusters.training_job import Jobs
from runhouse.errors import JobStoppedError, TrainingJobFailedError
from tests.integration import sample_sagemaker as sample
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rigs.sagemaker_user import SageMakerUser

pytestmark = [pytest.mark.timeout(120), pytest.mark.root]


# -- training ----------------------------------------------------------------------------------


def test_a_program_that_fails_is_told_and_can_be_looked_at(
    sagemaker_user: SageMakerUser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(sample.FAILS)
    estimator = sample.Estimator("train.py", source_dir=str(tmp_path))
    made = sagemaker_user.cluster("fails", estimator=estimator, connection_wait_time=20).up()
    with pytest.raises(TrainingJobFailedError, match="ended with code 3") as error:
        made.wait(timeout_s=60)
    told = error.value
    assert (told.exit_code, told.reason, told.job) == (3, "the disk is on fire", made.job_name)
    assert "training --epochs 3 --name a b" in told.log_tail
    shown = capsys.readouterr().out
    assert "training --epochs 3" in shown
    assert "waiting up to 20 s" in shown, "it has waited for us"
    job = sagemaker_user.job(made.job_name)
    assert job["TrainingJobStatus"] == "InProgress", "it stays for a look"
    assert (job["Environment"], job["ResourceConfig"]["VolumeSizeInGB"]) == ({"MODE": "fast"}, 40)
    ((_, out, _),) = made.run(["cat /opt/ml/output/failure"], stream_logs=False)
    assert out == "the disk is on fire"
    made.teardown()


def test_one_node_of_two_fails_without_a_word(
    sagemaker_user: SageMakerUser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(sample.FAILS_IN_SECOND)
    estimator = sample.Estimator("train.py", source_dir=str(tmp_path), instance_count=2)
    made = sagemaker_user.cluster("pair", estimator=estimator, connection_wait_time=20).up()
    with pytest.raises(TrainingJobFailedError) as error:
        made.wait(timeout_s=60)
    assert (error.value.exit_code, error.value.reason) == (1, "ValueError: loss is nan")
    assert "(algo-1) trained\n" in capsys.readouterr().out
    assert made.run(["hostname"], stream_logs=False, node=1)[0][0] == 0, "it stays for a look"
    made.teardown()


def test_a_program_that_ends_well_ends_the_job(
    sagemaker_user: SageMakerUser,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(boot, "_MINUTE_S", 2)
    monkeypatch.setattr(boot, "_LOOK_S", 1)
    (tmp_path / "words.txt").write_text("from source")
    trainer = sample.trainer(tmp_path, "echo $GREETING $(cat words.txt)")
    made = sagemaker_user.cluster("trains", estimator=trainer)
    made.up()
    made.wait(timeout_s=60)
    made.keep_warm(1)
    assert "hello from source\n" in capsys.readouterr().out
    made.disconnect()
    jobs = Jobs(sagemaker_user.account, "trains")
    name = made.job_name
    assert name is not None
    wait_until(lambda: (job := jobs.find(name)) is not None and job.has_ended, timeout_s=40)
    assert sagemaker_user.job(name)["TrainingJobStatus"] == "Completed"
    made.teardown()


# -- ends by itself ----------------------------------------------------------------------------


def test_an_idle_job_ends_though_nobody_is_there_and_a_busy_one_does_not(
    sagemaker_user: SageMakerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "_MINUTE_S", 2)
    monkeypatch.setattr(boot, "_LOOK_S", 1)
    made = sagemaker_user.cluster("idle").up()
    remote = rh.function(sample.compute).to(made)
    made.keep_warm(1)
    began = time.time()
    remote.run(4.0)
    made.disconnect()
    jobs, name = Jobs(sagemaker_user.account, "idle"), made.job_name
    assert name is not None
    wait_until(lambda: (job := jobs.find(name)) is not None and job.has_ended, timeout_s=60)
    told = jobs.find(name)
    assert told is not None
    assert told.status == "Completed"
    assert (told.ended_at or 0) - began > 4, "it was kept while it computed"
    with pytest.raises(JobStoppedError, match="idle minutes"):
        made.get("numbers")
    made.teardown()
