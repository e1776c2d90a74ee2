"""Who may do what in AWS: roles by every way in, and what is wrong told at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import runhouse as rh
from runhouse.cli.main import app
from runhouse.clusters import ssm_proxy
from runhouse.clusters.accounts import open_account
from runhouse.clusters.roles import find_role
from runhouse.errors import (
    CloudCredentialsError,
    LaunchError,
    PermissionsError,
    QuotaExceededError,
    RoleNotFoundError,
    SSMUnavailableError,
)
from tests.integration import sample_sagemaker
from tests.rigs.sagemakerbox.box import PROFILE, PROJECT, ROLE, ROLE_NAME
from tests.rigs.sagemakerbox.refusals import ALL, S3, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.sagemaker_user import SageMakerUser

pytestmark = [pytest.mark.timeout(60), pytest.mark.root]
SOON_S = 10
AWS_CLI = "/usr/bin/aws"  # of Debian's package, which is version 2


@pytest.mark.parametrize(
    ("profile", "given"),
    [
        (None, ROLE_NAME),
        (None, f"service-role/{ROLE_NAME}"),
        (None, ROLE),
        (PROFILE, None),
    ],
)
def test_a_role_is_found(
    sagemaker_user: SageMakerUser, profile: str | None, given: str | None
) -> None:
    del sagemaker_user
    assert find_role(open_account("sm", profile), "sm", given) == ROLE


def test_a_role_is_that_of_the_profile_in_the_environment(
    sagemaker_user: SageMakerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RoleNotFoundError, match=r"is not a role itself\. Pass role= "):
        find_role(open_account("sm"), "sm", None)
    monkeypatch.setenv("AWS_PROFILE", PROFILE)
    assert find_role(open_account("sm"), "sm", None) == ROLE
    assert sagemaker_user.cluster("sm", profile=None).region == "us-east-1"


def test_a_role_that_one_has_taken_on_is_looked_up(
    sagemaker_user: SageMakerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = open_account("sm").ask("sts", "assume_role", RoleArn=ROLE, RoleSessionName="session")
    names = {"AccessKeyId": "ACCESS_KEY_ID", "SecretAccessKey": "SECRET_ACCESS_KEY"}
    for key, name in {**names, "SessionToken": "SESSION_TOKEN"}.items():
        monkeypatch.setenv(f"AWS_{name}", taken["Credentials"][key])
    account = open_account("sm")
    assert ":assumed-role/" in account.caller
    assert find_role(account, "sm", None) == ROLE
    with sagemaker_user.refusing(Refusal("GetRole", "AccessDenied")):
        guessed = find_role(open_account("sm"), "sm", None)
    assert guessed == ROLE.replace("service-role/", ""), "as far as one can know it"


WRONG: dict[str, tuple[dict[str, Any], list[Refusal], type[LaunchError], str]] = {
    "a role that is not there": (
        {"role": "nobody"},
        [],
        RoleNotFoundError,
        "There is no role 'nobody'",
    ),
    "a role that SageMaker cannot take on": (
        {"role": ROLE.replace(ROLE_NAME, "missing")},
        [],
        RoleNotFoundError,
        "SageMaker cannot act as the role",
    ),
    "a profile that is not there": (
        {"profile": "nobody"},
        [],
        CloudCredentialsError,
        "Name one of default, sagemaker",
    ),
    "credentials that have expired": (
        {},
        [Refusal(ALL, "ExpiredTokenException", "The security token is expired")],
        CloudCredentialsError,
        "ExpiredTokenException: The security token is expired. Sign in again",
    ),
    "an instance type beyond the quota": (
        {"instance_type": "ml.p5.48xlarge"},
        [],
        QuotaExceededError,
        "'ml.p5.48xlarge for training job usage' is 0 Instances",
    ),
    "a missing permission": (
        {},
        [Refusal("CreateTrainingJob")],
        PermissionsError,
        "does not allow sagemaker:CreateTrainingJob",
    ),
    "a bucket that one may not use": (
        {},
        [Refusal(S3, "AccessDenied")],
        PermissionsError,
        "does not allow s3:",
    ),
    "a region that is none": (
        {"region": "nowhere-1"},
        [Refusal("ListTrainingJobs", "ValidationException", "no such region")],
        LaunchError,
        "AWS says ValidationException: no such region",
    ),
}


@pytest.mark.timeout(SOON_S)
@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_soon(sagemaker_user: SageMakerUser, what: str) -> None:
    options, refused, kind, said = WRONG[what]
    made = sagemaker_user.cluster("wrong", **options)
    with sagemaker_user.refusing(*refused), pytest.raises(kind) as error:
        made.up()
    assert said in str(error.value)
    assert not made.is_up()
    assert error.value.cluster == "wrong"
    assert sagemaker_user.running() == []


def test_facts_of_errors_are_attributes(sagemaker_user: SageMakerUser) -> None:
    made = sagemaker_user.cluster("wrong")
    with (
        sagemaker_user.refusing(Refusal("CreateTrainingJob")),
        pytest.raises(PermissionsError) as error,
    ):
        made.up()
    assert error.value.action == "sagemaker:CreateTrainingJob"


def test_an_account_without_warm_pools_says_so(sagemaker_user: SageMakerUser) -> None:
    made = sagemaker_user.cluster("warm", warm_pool_mins=10)
    with sagemaker_user.faults(no_warm_pools=1), pytest.raises(QuotaExceededError) as error:
        made.up()
    assert "training warm pool usage" in error.value.reason


def test_without_remote_debugging_there_is_an_activation_unless_one_is_asked_for(
    sagemaker_user: SageMakerUser, capsys: pytest.CaptureFixture[str]
) -> None:
    with sagemaker_user.faults(no_remote_debug=1):
        with pytest.raises(LaunchError, match="RemoteDebugConfig is not supported"):
            sagemaker_user.cluster("fallback", connect_by="debugging").up()
        made = sagemaker_user.cluster("fallback").up()
    assert "a hybrid activation is made instead" in capsys.readouterr().err
    assert made.ssh_creds()["ssh_proxy_command"].split()[3].startswith("mi-")
    made.disconnect()
    with (
        sagemaker_user.faults(standard_tier=1),
        pytest.raises(SSMUnavailableError, match="advanced-instances tier"),
    ):
        sagemaker_user.cluster("fallback").up()
    made.teardown()
    left = sagemaker_user.account.ask("ssm", "describe_instance_information")
    assert left["InstanceInformationList"] == [], "it is registered no more"


# -- AWS's own programs ------------------------------------------------------------------------


@pytest.fixture
def aws_programs(
    sagemaker_user: SageMakerUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Have Debian's AWS CLI V2, and what takes the place of AWS's plugin, in the PATH."""
    if not Path(AWS_CLI).exists():
        pytest.skip(f"needs {AWS_CLI}: apt install awscli")
    python = f"{sys.executable} -m tests.rigs.sagemakerbox.ssm_client"
    # This one does not know AWS_ENDPOINT_URL, and runs with Debian's Python.
    endpoint = f"--endpoint-url {sagemaker_user.box.endpoint}"
    for name, line in (
        ("aws", f'env -u PYTHONPATH {AWS_CLI} {endpoint} "$@"'),
        ("session-manager-plugin", f'PYTHONPATH={PROJECT} exec {python} "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ssm_proxy.cli_version.cache_clear()
    yield
    ssm_proxy.cli_version.cache_clear()


@pytest.mark.usefixtures("aws_programs")
def test_awss_command_line_leads_there_when_its_plugin_is_installed(
    sagemaker_user: SageMakerUser,
) -> None:
    made = sagemaker_user.cluster("official", profile=None, role=ROLE_NAME).up()
    assert made.ssh_creds()["ssh_proxy_command"].startswith("aws ssm start-session --target ")
    assert "ProxyCommand aws ssm start-session " in sagemaker_user.config.read_text()
    assert rh.function(sample_sagemaker.total).to(made)([1, 2]) == 3
    told = ["aws", "sagemaker", "describe-training-job", "--training-job-name", str(made.job_name)]
    shown = subprocess.run(told, check=True, capture_output=True, text=True, timeout=30).stdout
    assert json.loads(shown)["TrainingJobStatus"] == "InProgress"
    made.teardown()
    assert "official" not in sagemaker_user.config.read_text()


@pytest.mark.usefixtures("aws_programs")
def test_the_doctor_knows_awss_programs() -> None:
    checks = doctor("--profile", PROFILE, code=0)
    assert checks["AWS CLI V2"]["state"] == checks["session-manager-plugin"]["state"] == "ok"
    assert checks["AWS CLI V2"]["found"].startswith("aws-cli/2.")


# -- the doctor --------------------------------------------------------------------------------


def doctor(*words: str, code: int) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["sagemaker", "doctor", *words, "--json"])
    assert done.exit_code == code, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["ok"] == (code == 0)
    return {each["name"]: each for each in told["checks"]}


def test_the_doctor_finds_all_well(sagemaker_user: SageMakerUser) -> None:
    del sagemaker_user
    checks = doctor("--profile", PROFILE, code=0)
    assert checks["role"]["found"] == f"{ROLE} trusts SageMaker and Systems Manager"
    assert {checks[name]["state"] for name in checks} <= {"ok", "warning"}
    assert list(checks) == [
        "AWS CLI V2",
        "session-manager-plugin",
        "credentials",
        "role",
        "your permissions",
        "the role's permissions",
        "Systems Manager tier",
        "bucket",
    ]
    done = CliRunner().invoke(app, ["sagemaker", "doctor", "--profile", PROFILE])
    assert done.exit_code == 0
    assert "ok       bucket          sagemaker-us-east-1-123456789012\n" in done.stdout


def test_the_doctor_says_what_to_do(sagemaker_user: SageMakerUser, rh_home: object) -> None:
    del rh_home
    sagemaker_user.cluster("sm", profile=None).save()
    rh.cluster("box", host="box.invalid").save()
    checks = doctor("sm", code=1)
    assert checks["role"]["state"] == "failed"
    assert "Pass role=" in checks["role"]["advice"]
    with sagemaker_user.faults(standard_tier=1), sagemaker_user.refusing(Refusal("StartSession")):
        checks = doctor("sm", "--profile", PROFILE, code=1)
    assert checks["Systems Manager tier"]["state"] == "warning"
    assert "may not ssm:StartSession" in checks["your permissions"]["found"]
    with sagemaker_user.refusing(Refusal(ALL, "ExpiredToken", "The token has expired")):
        checks = doctor("--profile", PROFILE, code=1)
    assert list(checks)[-1] == "credentials"
    done = CliRunner().invoke(app, ["sagemaker", "doctor", "box"])
    assert done.exit_code == 2
    assert "It is not of SageMaker, but of kind byo" in done.stderr
