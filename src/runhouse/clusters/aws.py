"""AWS's SDK, wrapped once: sessions, requests that end, and AWS's errors in our words.

Loaded by `extras.load`, since boto3 is an extra.

See https://boto3.amazonaws.com/v1/documentation/api/latest/guide/error-handling.html
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoRegionError,
    ParamValidationError,
    ProfileNotFound,
)

from runhouse.clusters.accounts import AnswerError
from runhouse.errors import (
    CapacityError,
    CloudCredentialsError,
    LaunchError,
    PermissionsError,
    QuotaExceededError,
    RoleNotFoundError,
)

# So that whatever is wrong is told within ten seconds or so.
_CONFIG = Config(
    connect_timeout=4,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 3},
    user_agent_extra="runhouse",
)
_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
}
_NOT_SIGNED_IN = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
)
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"}
_QUOTA = {"LimitExceededException", "ResourceLimitExceeded", "ServiceQuotaExceededException"}
_PREFIXES = {"sts": "sts", "iam": "iam", "s3": "s3", "ssm": "ssm", "logs": "logs"}


class Account:
    """Send requests to AWS as somebody, in one region; threads may share it.

    Attributes:
        profile: The profile of `~/.aws/config` that was named, if one was.
    """

    def __init__(self, cluster: str, profile: str | None = None, region: str | None = None) -> None:
        """Read the settings of AWS's tools; nothing is sent yet.

        Args:
            cluster: The cluster that requests are for, for messages.
            profile: A profile; None: `AWS_PROFILE`, or else `default`.
            region: A region; None: that of the profile or environment.

        Raises:
            CloudCredentialsError: There is no such profile.
        """
        self.profile = profile
        self._cluster = cluster
        self._settings = botocore.session.Session(profile=profile)
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str | None], Any] = {}
        try:
            self._session = boto3.Session(botocore_session=self._settings, region_name=region)
        except ProfileNotFound as error:
            msg = (
                f"AWS cannot be asked about {cluster!r}. {error}. Name one of "
                f"{', '.join(self._settings.available_profiles) or 'none, since there is none yet'}"
                " as `profile` or AWS_PROFILE, or make it with `aws configure --profile NAME`."
            )
            raise CloudCredentialsError(msg, cluster=cluster, reason=str(error)) from error

    @property
    def region(self) -> str:
        """Return the region.

        Raises:
            LaunchError: None is set anywhere.
        """
        found = self._session.region_name
        if found is None:
            msg = (
                f"There is no region for {self._cluster!r}. None was given, and neither the "
                "profile nor AWS_DEFAULT_REGION names one. Pass region='us-east-1', for example."
            )
            raise LaunchError(msg, cluster=self._cluster)
        return str(found)

    @property
    def profile_role(self) -> str | None:
        """Return the role that the profile assumes, if it does."""
        try:
            role = self._settings.get_scoped_config().get("role_arn")
        except ProfileNotFound:
            return None
        return None if role is None else str(role)

    @cached_property
    def caller(self) -> str:
        """Return the ARN of who asks.

        Raises:
            CloudCredentialsError: AWS does not know us, or not any more.
        """
        return str(self.ask("sts", "get_caller_identity")["Arn"])

    @property
    def number(self) -> str:
        """Return the number of the AWS account."""
        return self.caller.split(":")[4]

    def _client(self, service: str, region: str | None) -> Any:
        with self._lock:  # boto3's sessions are for one thread at a time, its clients for all
            key = (service, region)
            if key not in self._clients:
                place = region or (None if service == "iam" else self.region)
                self._clients[key] = self._session.client(
                    service, region_name=place, config=_CONFIG
                )
            return self._clients[key]

    def try_to_ask(
        self, service: str, operation: str, *, in_region: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Send a request, and return the answer.

        Args:
            service: AWS's name of the service, as in `sagemaker`.
            operation: The operation, as in `describe_training_job`.
            in_region: Another region than the account's.
            **parameters: What is asked.

        Raises:
            AnswerError: AWS refuses it, for a reason that is not the same for all requests.
            CloudCredentialsError: AWS does not know us, or not any more.
            PermissionsError: AWS does not allow it.
            LaunchError: AWS does not answer, or the request has a wrong form.
        """
        try:
            answer: dict[str, Any] = getattr(self._client(service, in_region), operation)(
                **parameters
            )
        except ClientError as error:
            raise self._refused(error, service) from error
        except NoRegionError as error:
            raise LaunchError(str(error), cluster=self._cluster, reason=str(error)) from error
        except BotoCoreError as error:
            raise self._unsent(error, service) from error
        return answer

    def ask(
        self, service: str, operation: str, *, in_region: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Send a request that AWS has no reason to refuse; see `try_to_ask`.

        Raises:
            LaunchError: It does so all the same; subclasses say why.
        """
        try:
            return self.try_to_ask(service, operation, in_region=in_region, **parameters)
        except AnswerError as error:
            raise self.told(error, f"{service}: {operation.replace('_', ' ')}") from error

    def told(self, error: AnswerError, what: str) -> LaunchError:
        """Return the error that tells a user what AWS has answered.

        Args:
            error: The answer.
            what: What was not done.
        """
        failed, reason = f"{what} failed for {self._cluster!r}.", _sentence(error.reason)
        facts = {"cluster": self._cluster, "reason": error.reason}
        if error.code in _QUOTA:
            return QuotaExceededError(
                f"{failed} SageMaker says: {reason} Ask for another instance type or fewer "
                "instances, or for a higher limit in the Service Quotas console.",
                **facts,
            )
        if "assume role" in error.reason:
            return RoleNotFoundError(
                f"{failed} SageMaker cannot act as the role: {reason} Give a role that exists and "
                "trusts sagemaker.amazonaws.com. `rh sagemaker doctor` looks at it.",
                **facts,
            )
        if "capacity" in error.code.lower():
            return CapacityError(
                f"{failed} No such instance is free now: {reason} Try again later, or ask for "
                "another type or region.",
                **facts,
            )
        return LaunchError(
            f"{failed} AWS says {error.code}: {reason} Correct what it names, and try again.",
            **facts,
        )

    def _refused(self, error: ClientError, service: str) -> Exception:
        """Return what a refusal means, where that is the same for all requests."""
        told = error.response.get("Error", {})
        code, reason = str(told.get("Code", "")), str(told.get("Message", error))
        facts = {"cluster": self._cluster, "reason": reason}
        if code in _CREDENTIALS:
            return CloudCredentialsError(
                f"AWS does not let us in for {self._cluster!r}. {code}: {_sentence(reason)} Sign "
                f"in again, for example with `aws sso login{self._option}`, or renew the access "
                "keys.",
                **facts,
            )
        if code in _DENIED:
            action = f"{_PREFIXES.get(service, service)}:{error.operation_name}"
            return PermissionsError(
                f"AWS does not allow {action} for {self._cluster!r}. {_sentence(reason)} Have the "
                f"permission added to who you are there (`aws sts get-caller-identity"
                f"{self._option}`), or take another profile or role.",
                action=action,
                **facts,
            )
        return AnswerError(code, reason)

    def _unsent(self, error: BotoCoreError, service: str) -> LaunchError:
        """Return what it means that there was no answer."""
        kind, reason = type(error).__name__, str(error)
        if kind in _NOT_SIGNED_IN or isinstance(error, ProfileNotFound):
            return CloudCredentialsError(
                f"AWS does not let us in for {self._cluster!r}. {_sentence(reason)} Sign in with "
                f"`aws configure{self._option}` or `aws sso login{self._option}`.",
                cluster=self._cluster,
                reason=reason,
            )
        if isinstance(error, ParamValidationError):
            return LaunchError(
                f"AWS was not asked about {self._cluster!r}. The request has not the form that "
                f"{service} takes: {_sentence(reason)} Correct the arguments of the cluster.",
                cluster=self._cluster,
                reason=reason,
            )
        return LaunchError(
            f"AWS was not asked about {self._cluster!r}. Its service {service} gave no answer: "
            f"{_sentence(reason)} Look at the network and the region, and try again.",
            cluster=self._cluster,
            reason=reason,
        )

    @property
    def _option(self) -> str:
        return f" --profile {self.profile}" if self.profile else ""


def _sentence(text: str) -> str:
    bare = " ".join(text.split())
    return bare if not bare or bare[-1] in ".!?" else f"{bare}."
