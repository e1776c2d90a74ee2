"""The way to AWS, which is loaded with the first cloud action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runhouse import extras

if TYPE_CHECKING:
    from runhouse.clusters.aws import Account


class AnswerError(Exception):
    """Hold what AWS has answered to a request that it refuses, for whoever knows what it means.

    Attributes:
        code: AWS's name for it.
        reason: What it says.
    """

    def __init__(self, code: str, reason: str) -> None:
        """Store both."""
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def open_account(cluster: str, profile: str | None = None, region: str | None = None) -> Account:
    """Return the way to AWS for a cluster; nothing is sent yet.

    Args:
        cluster: The cluster that requests are for, for messages.
        profile: A profile of `~/.aws/config`; None: `AWS_PROFILE`, or else `default`.
        region: A region; None: that of the profile or environment.

    Raises:
        ImportError: boto3 is not installed; says how to install it.
        CloudCredentialsError: There is no such profile.
    """
    aws = extras.load("runhouse.clusters.aws", extra="sagemaker")
    found: Account = aws.Account(cluster, profile, region)
    return found
