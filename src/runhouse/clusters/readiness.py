"""Whether SageMaker clusters can work here: programs, credentials, role, permissions, bucket."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from runhouse.clusters import ssm_proxy
from runhouse.clusters.accounts import AnswerError, open_account
from runhouse.clusters.checkup import Check, State
from runhouse.clusters.job_lifecycle import Lifecycle
from runhouse.clusters.roles import find_role
from runhouse.errors import LaunchError, PermissionsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runhouse.clusters.aws import Account
    from runhouse.clusters.job_definition import JobDefinition

_INSTALL = "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
_PLUGIN = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/"
    "session-manager-working-with-install-plugin.html"
)
_TIER = "/ssm/managed-instance/activation-tier"
# What whoever signs in here must be allowed to.
_OURS = (
    "sagemaker:CreateTrainingJob",
    "sagemaker:DescribeTrainingJob",
    "sagemaker:ListTrainingJobs",
    "sagemaker:StopTrainingJob",
    "iam:PassRole",
    "s3:PutObject",
    "ssm:StartSession",
    "ssm:TerminateSession",
    "logs:GetLogEvents",
)
# And the role of the job, for remote debugging.
_ITS = (
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "s3:GetObject",
)


def examine(wanted: JobDefinition) -> Iterator[Check]:
    """Look at all that a SageMaker cluster needs, in the order in which it is needed.

    Args:
        wanted: What the cluster is like.

    Raises:
        ImportError: boto3 is not installed.
    """
    yield _cli()
    yield _plugin()
    try:
        account = open_account("doctor", wanted.profile, wanted.region)
        region, caller = account.region, account.caller
    except LaunchError as error:
        yield Check("credentials", "failed", _first(error), _rest(error))
        return
    yield Check("credentials", "ok", f"{caller} in {region}")
    for what, look in (
        ("role", lambda: _role(account, wanted)),
        ("your permissions", lambda: _permissions(account, _caller_role(account), _OURS)),
        ("the role's permissions", lambda: _role_permissions(account, wanted)),
        ("Systems Manager tier", lambda: _tier(account)),
        ("bucket", lambda: _bucket(account, wanted)),
    ):
        yield _looked(what, look)


def _looked(what: str, look: Callable[[], tuple[State, str, str]]) -> Check:
    """Look at something; what we may not look at need not be wrong."""
    try:
        return Check(what, *look())
    except PermissionsError as error:
        return Check(what, "warning", f"not looked at, as {error.action} is not allowed")
    except LaunchError as error:
        return Check(what, "failed", _first(error), _rest(error))


def _first(error: Exception) -> str:
    return str(error).partition(". ")[0]


def _rest(error: Exception) -> str:
    return str(error).partition(". ")[2]


def _cli() -> Check:
    version = ssm_proxy.cli_version()
    what = "AWS CLI V2"
    if not version:
        said = "not there; runhouse does not need it, but `aws sso login` and AWS's plugin do"
        return Check(what, "warning", said, f"Install it: {_INSTALL}")
    if not ssm_proxy.is_v2(version):
        said = f"another version: {version}; AWS's plugin is not used with it"
        return Check(what, "warning", said, f"Remove it, and install version 2: {_INSTALL}")
    return Check(what, "ok", version)


def _plugin() -> Check:
    found = shutil.which("session-manager-plugin")
    what = "session-manager-plugin"
    if found is None:
        said = "not there; runhouse's own client is used, which is quicker"
        return Check(what, "warning", said, f"For `aws ssm start-session`: {_PLUGIN}")
    return Check(what, "ok", found)


def _role(account: Account, wanted: JobDefinition) -> tuple[State, str, str]:
    """Tell which role it is, and whom it trusts."""
    arn = find_role(account, "doctor", wanted.wanted_role)
    name = arn.rpartition("/")[2]
    try:
        told = account.try_to_ask("iam", "get_role", RoleName=name)["Role"]
    except AnswerError as error:
        raise account.told(error, "Looking at the role") from error
    trusted = _trusted(told.get("AssumeRolePolicyDocument"))
    if "sagemaker.amazonaws.com" not in trusted:
        advice = "Add sagemaker.amazonaws.com to the principals of its trust relationship."
        return "failed", f"{arn} does not trust SageMaker", advice
    if "ssm.amazonaws.com" not in trusted:
        said = f"{arn} trusts SageMaker, but not Systems Manager"
        return "warning", said, "Hybrid activations need ssm.amazonaws.com in its trust too."
    return "ok", f"{arn} trusts SageMaker and Systems Manager", ""


def _trusted(document: Any) -> set[str]:
    """Return the services that a trust policy names."""
    policy = json.loads(document) if isinstance(document, str) else document or {}
    statements = policy.get("Statement", [])
    found: set[str] = set()
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal")
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        found.update([services] if isinstance(services, str) else services)
    return found


def _caller_role(account: Account) -> str:
    """Return whose policies apply to who asks: a user's own, or those of the role."""
    parts = account.caller.split(":")
    if not parts[5].startswith("assumed-role/"):
        return account.caller
    name = parts[5].split("/")[1]
    try:
        return str(account.try_to_ask("iam", "get_role", RoleName=name)["Role"]["Arn"])
    except AnswerError as error:
        raise account.told(error, "Looking at who you are") from error


def _role_permissions(account: Account, wanted: JobDefinition) -> tuple[State, str, str]:
    return _permissions(account, find_role(account, "doctor", wanted.wanted_role), _ITS)


def _permissions(account: Account, who: str, actions: tuple[str, ...]) -> tuple[State, str, str]:
    """Tell which actions somebody may not do, as IAM simulates it."""
    try:
        answer = account.try_to_ask(
            "iam", "simulate_principal_policy", PolicySourceArn=who, ActionNames=list(actions)
        )
    except AnswerError as error:
        return "warning", f"IAM cannot tell: {error.reason}", ""
    denied = [
        each["EvalActionName"]
        for each in answer["EvaluationResults"]
        if each["EvalDecision"] != "allowed"
    ]
    if denied:
        return (
            "failed",
            f"{who} may not {', '.join(denied)}",
            "Add these actions to a policy of it.",
        )
    return "ok", f"{who} may do all that is needed", ""


def _tier(account: Account) -> tuple[State, str, str]:
    try:
        answer = account.try_to_ask("ssm", "get_service_setting", SettingId=_TIER)
    except AnswerError as error:
        return "warning", f"cannot be told: {error.reason}", ""
    tier = answer["ServiceSetting"]["SettingValue"]
    if tier != "advanced":
        said = f"{tier}; remote debugging works, hybrid activations (mi-...) do not"
        return "warning", said, "Fleet Manager > Settings > Instance tier settings > Advanced."
    return "ok", "advanced; remote debugging and hybrid activations work", ""


def _bucket(account: Account, wanted: JobDefinition) -> tuple[State, str, str]:
    bucket = Lifecycle(account, "doctor", wanted, -1).default_bucket
    try:
        account.try_to_ask("s3", "head_bucket", Bucket=bucket)
    except AnswerError as error:
        if error.code != "404":
            raise account.told(error, "Looking at the bucket") from error
        return "ok", f"{bucket} is not there yet, and will be made", ""
    except PermissionsError:
        said = f"{bucket} may not be used"
        return "failed", said, "Allow s3:ListBucket, s3:GetObject and s3:PutObject on it."
    return "ok", bucket, ""
