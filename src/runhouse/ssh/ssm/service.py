"""The calls to AWS: sessions of Systems Manager, and signatures for the gateway.

botocore alone, as boto3 would add a tenth of a second to each connection.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import get_environ_proxies

from runhouse.errors import SSMUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNED_FOR = "ssmmessages"
_ATTEMPTS = 4
_CREDENTIALS = "The credentials are not accepted", "Log in again, or correct the profile"
_REASONS = {
    "TargetNotConnected": (
        "It is not connected to Systems Manager",
        "Look whether the job still runs; its agent answers from the status Training on",
    ),
    "AccessDeniedException": (
        "The credentials may not do this",
        "Allow ssm:StartSession, ssm:ResumeSession and ssm:TerminateSession on it",
    ),
    "ThrottlingException": ("There were too many requests", "Try again in a minute"),
    "InvalidDocument": (
        "The account has no such session document",
        "Name another one with --document",
    ),
    "ExpiredTokenException": ("The credentials have expired", "Log in again"),
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "IncompleteSignature": _CREDENTIALS,
    "DoesNotExistException": ("The session has ended", "Connect again"),
}
_SAME = {"ExpiredToken": "ExpiredTokenException", "AccessDenied": "AccessDeniedException"}
# What trying again cannot help; anything else may be the network.
FINAL = frozenset(
    {
        *_REASONS,
        "BadRequest",
        "ValidationException",
        "CredentialRetrievalError",
        "NoCredentialsError",
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
) - {"ThrottlingException"}


@dataclass(frozen=True, slots=True)
class Ticket:
    """Hold what opens a connection of a session.

    Attributes:
        session_id: The session.
        url: Where its data channel is.
        token: What the gateway wants to see first; good for a short time.
    """

    session_id: str
    url: str
    token: str = field(repr=False)


class Service:
    """Start, resume and end sessions with one target."""

    def __init__(
        self,
        target: str,
        *,
        profile: str | None = None,
        region: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """Find the credentials and the region.

        Args:
            target: `mi-…`, `i-…` or `sagemaker-training-job:JOB_algo-N`.
            profile: A profile of the AWS configuration; None for AWS_PROFILE or the default.
            region: None for that of the profile or the environment.
            timeout_s: Longest wait for an answer of AWS.

        Raises:
            SSMUnavailableError: There are none, or they cannot be used.
        """
        self.target = target
        with self._told():
            self._session = botocore.session.Session(profile=profile)
            config = Config(
                connect_timeout=timeout_s,
                read_timeout=timeout_s,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            )
            self._client = self._session.create_client("ssm", region_name=region, config=config)

    def start(self, document: str, port: int) -> Ticket:
        """Start a session that leads to a port of the target.

        Raises:
            SSMUnavailableError: It cannot be had.
        """
        parameters = {"portNumber": [str(port)]}
        with self._told():
            return _ticket(
                self._client.start_session(
                    Target=self.target, DocumentName=document, Parameters=parameters
                )
            )

    def resume(self, session_id: str) -> Ticket:
        """Get a new token for a session.

        Raises:
            SSMUnavailableError: It cannot be had; the session may have ended.
        """
        with self._told():
            return _ticket(self._client.resume_session(SessionId=session_id))

    def terminate(self, session_id: str) -> None:
        """End a session; one that has ended already is no error.

        Raises:
            SSMUnavailableError: It could not be ended.
        """
        with self._told():
            self._client.terminate_session(SessionId=session_id)

    def sign(self, url: str) -> dict[str, str]:
        """Return the headers for opening a websocket there.

        Raises:
            SSMUnavailableError: The credentials cannot be had any more.
        """
        with self._told():
            request = AWSRequest("GET", "http" + url.removeprefix("ws"))
            credentials = self._session.get_credentials().get_frozen_credentials()
            SigV4Auth(credentials, _SIGNED_FOR, self._client.meta.region_name).add_auth(request)
        return dict(request.headers.items())

    def proxy(self, url: str) -> str | None:
        """Return the proxy that the environment names for a URL, if any."""
        plain = "http" + url.removeprefix("ws")
        found: dict[str, str] = get_environ_proxies(plain)
        return found.get(plain.partition(":")[0])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Translate what botocore raises."""
        try:
            yield
        except ClientError as error:
            said = error.response.get("Error", {})
            code = str(said.get("Code", "unknown"))
            code = _SAME.get(code, code)
            why, advice = _REASONS.get(code, ("Systems Manager refused it", "See what AWS says"))
            msg = (
                f"{self.target} cannot be reached through Systems Manager. {why} "
                f"({code}: {said.get('Message', '')}). {advice}."
            )
            raise SSMUnavailableError(msg, host=self.target, code=code) from error
        except BotoCoreError as error:
            msg = (
                f"{self.target} cannot be reached through Systems Manager. {error}. "
                "Look at the AWS configuration and at the network."
            )
            code = type(error).__name__
            raise SSMUnavailableError(msg, host=self.target, code=code) from error


def _ticket(answer: dict[str, str]) -> Ticket:
    return Ticket(answer["SessionId"], answer["StreamUrl"], answer["TokenValue"])
