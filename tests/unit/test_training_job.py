"""What SageMaker says about jobs, and what their names say."""

from __future__ import annotations

import re
import shlex
import stat
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from runhouse.clusters import ssm_proxy
from runhouse.clusters.images import default_image
from runhouse.clusters.key_pair import KeyPair
from runhouse.clusters.roles import ARN, name_of
from runhouse.clusters.training_job import Job, new_name, prefix_of
from runhouse.errors import JobStoppedError, SettingsError, TrainingJobFailedError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def key(tmp_path: Path) -> KeyPair:
    return KeyPair.at(str(tmp_path / "keys" / "id")).made()


def test_a_key_is_made_once_and_for_its_user_alone(tmp_path: Path, key: KeyPair) -> None:
    assert stat.S_IMODE(key.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.private.parent.stat().st_mode) == 0o700
    assert key.authorized.startswith("ssh-ed25519 ")
    before = key.private.read_text()
    key.public.unlink()
    again = KeyPair.at(str(key.private)).made()
    assert (again.private.read_text(), again.digest) == (before, key.digest), "its other half is"
    (tmp_path / "bad").write_text("no key")
    with pytest.raises(SettingsError, match="ssh-keygen failed"):
        KeyPair.at(str(tmp_path / "bad")).made()


@pytest.mark.parametrize("cluster", ["sm", "my_cluster.2", "x" * 63, "_"])
def test_names_are_sagemakers_and_no_two_are_the_same(cluster: str, key: KeyPair) -> None:
    prefix = prefix_of(cluster, key)
    names = {new_name(prefix, NOW) for _ in range(50)}
    assert len(names) > 40
    for name in names:
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)
        assert name.startswith(prefix)


def test_names_of_other_clusters_and_keys_begin_otherwise(tmp_path: Path, key: KeyPair) -> None:
    other = KeyPair.at(str(tmp_path / "other")).made()
    assert len({prefix_of(n, k) for n in ("a.b", "a-b", "a_b") for k in (key, other)}) == 6


def test_a_description_is_read() -> None:
    job = Job.of(
        {
            "TrainingJobName": "j",
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Training",
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2},
            "CreationTime": NOW,
            "TrainingStartTime": NOW,
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "RemoteDebugConfig": {"EnableRemoteDebug": True},
            "WarmPoolStatus": {"Status": "InUse"},
        }
    )
    assert (job.state, job.count, job.is_debugged, job.pool) == ("up", 2, True, "InUse")
    ended = replace(job, ended_at=NOW.timestamp() + 30)
    assert (ended.up_s, ended.cost_s) == (30, 60), "of both machines"
    assert replace(ended, billed_s=25.0).cost_s == 50, "what SageMaker bills counts"
    assert replace(job, status="Completed").facts()["left_s"] == 0


@pytest.mark.parametrize(
    ("status", "secondary", "state"),
    [
        ("InProgress", "Starting", "launching"),
        ("InProgress", "Downloading", "launching"),
        ("InProgress", "Training", "up"),
        ("Stopping", "Stopping", "stopping"),
        ("Stopped", "Stopped", "down"),
        ("Failed", "Failed", "down"),
        ("Completed", "Completed", "down"),
    ],
)
def test_a_state_is_what_one_can_do_with_it(status: str, secondary: str, state: str) -> None:
    assert Job("j", status, secondary).state == state


def test_an_end_is_told_by_its_kind() -> None:
    failed = Job("j", "Failed", reason="AlgorithmError: disk on fire, exit code: 3")
    error = failed.ended_error("sm", "last line")
    assert isinstance(error, TrainingJobFailedError)
    assert (error.exit_code, error.job, error.log_tail) == (3, "j", "last line")
    assert "disk on fire" in str(error)
    unknown = Job("j", "Failed", reason="CapacityError: none").ended_error("sm")
    assert isinstance(unknown, TrainingJobFailedError)
    assert unknown.exit_code is None
    for status, said in (("Completed", "idle minutes"), ("Stopped", "Somebody has stopped it")):
        stopped = Job("j", status).ended_error("sm")
        assert type(stopped) is JobStoppedError
        assert said in str(stopped)
        assert (stopped.status, stopped.cluster, stopped.state) == (status, "sm", "gone")
        assert "rh up sm" in str(stopped)


@pytest.mark.parametrize(
    ("region", "kind", "image"),
    [
        (
            "us-east-1",
            "ml.m5.large",
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8.0-cpu-",
        ),
        (
            "eu-south-1",
            "ml.g5.xlarge",
            "692866216735.dkr.ecr.eu-south-1.amazonaws.com/pytorch-training:2.8.0-gpu-",
        ),
        (
            "cn-north-1",
            "ml.p3.2xlarge",
            "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/pytorch-training:2.8.0-gpu-",
        ),
    ],
)
def test_the_default_image_fits_region_and_type(region: str, kind: str, image: str) -> None:
    assert default_image(region, kind).startswith(image)


def test_roles_have_a_name_within_their_arn() -> None:
    arn = "arn:aws:iam::123456789012:role/service-role/ml"
    assert ARN.fullmatch(arn)
    assert ARN.fullmatch("arn:aws-cn:iam::123456789012:role/ml")
    assert not ARN.fullmatch("ml")
    assert name_of(arn) == "service-role/ml"


class TestProxyCommand:
    def test_ours_is_taken_unless_both_of_awss_programs_are_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ssm_proxy, "has_plugin", lambda: False)
        words = shlex.split(ssm_proxy.proxy_command("mi-1", "us-east-1", None))
        assert words[1:] == [
            "-m",
            "runhouse.ssh.ssm",
            "mi-1",
            "--port",
            "%p",
            "--region",
            "us-east-1",
        ]

    def test_awss_own_is_taken_when_it_is_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssm_proxy, "has_plugin", lambda: True)
        target = ssm_proxy.debug_target("job", 1)
        assert target == "sagemaker-training-job:job_algo-2"
        words = shlex.split(ssm_proxy.proxy_command(target, "eu-west-1", "a b%"))
        assert words == [
            *("aws", "ssm", "start-session", "--target", target),
            *("--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=%p"),
            *("--region", "eu-west-1", "--profile", "a b%%"),
        ]

    def test_version_1_of_awss_command_line_does_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        aws, plugin = tmp_path / "aws", tmp_path / "session-manager-plugin"
        for program in (aws, plugin):
            program.touch(mode=0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        for version, expected in (("aws-cli/1.45.1 Python/3", False), ("aws-cli/2.13.8 x", True)):
            aws.write_text(f"#!/bin/sh\necho {version}\n")
            ssm_proxy.cli_version.cache_clear()
            assert ssm_proxy.has_plugin() is expected
        plugin.unlink()
        assert not ssm_proxy.has_plugin()
        ssm_proxy.cli_version.cache_clear()
