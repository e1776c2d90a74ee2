"""Which IAM role a SageMaker job runs as: given by name or ARN, or the one that asks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runhouse.clusters.accounts import AnswerError
from runhouse.errors import PermissionsError, RoleNotFoundError

if TYPE_CHECKING:
    from runhouse.clusters.aws import Account

ARN = re.compile(r"arn:aws[\w-]*:iam::(?P<account>\d{12}):role/(?:.+/)?(?P<name>[\w+=,.@-]+)")
_ASSUMED = re.compile(
    r"arn:(?P<partition>aws[\w-]*):sts::(?P<account>\d{12}):assumed-role/(?P<name>[^/]+)/.+"
)
_GONE = "NoSuchEntity"


def find_role(account: Account, cluster: str, given: str | None) -> str:
    """Return the ARN of the role for a cluster's job.

    A role that is given counts before the one that the profile assumes, and this one before the
    one that whoever asks has taken on already.

    Args:
        account: Where to look.
        cluster: The cluster's name, for messages.
        given: The role's name or ARN, or None.

    Raises:
        RoleNotFoundError: There is no such role, or none was given and whoever asks is no role.
        PermissionsError: IAM may not be asked about the name.
        CloudCredentialsError: AWS does not let us in.
    """
    chosen = given or account.profile_role
    if chosen is not None:
        return chosen if ARN.fullmatch(chosen) else _by_name(account, cluster, chosen)
    caller = account.caller
    assumed = _ASSUMED.fullmatch(caller)
    if assumed is None:
        msg = (
            f"There is no role for {cluster!r}. None was given, and {caller} is not a role itself. "
            "Pass role= (a name or an ARN), or profile= of a profile in ~/.aws/config that has a "
            "role_arn, or set AWS_PROFILE."
        )
        raise RoleNotFoundError(msg, cluster=cluster)
    try:
        return _by_name(account, cluster, assumed["name"])
    except PermissionsError:  # a role need not be allowed to look at itself
        return f"arn:{assumed['partition']}:iam::{assumed['account']}:role/{assumed['name']}"


def _by_name(account: Account, cluster: str, name: str) -> str:
    """Look up a role."""
    plain = name.rpartition("/")[2]
    try:
        return str(account.try_to_ask("iam", "get_role", RoleName=plain)["Role"]["Arn"])
    except AnswerError as error:
        if error.code not in (_GONE, "ValidationError"):
            raise account.told(error, "Looking up the role") from error
        msg = (
            f"There is no role {name!r} for {cluster!r}. IAM of the account {account.number} does "
            "not know it. Correct the name, or pass the role's ARN."
        )
        raise RoleNotFoundError(msg, cluster=cluster, reason=error.reason) from error


def name_of(arn: str) -> str:
    """Return what follows `role/` in a role's ARN: its path and name."""
    return arn.partition(":role/")[2]
