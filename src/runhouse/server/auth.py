"""Bearer tokens: every request on every transport carries one.

The server's own token is a file that its owner's clients read. Further ones are made for others;
only their SHA-256 digests are kept, which is enough for random tokens of this length.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from runhouse.files import write_private

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

OWNER = "owner"
# Under this key, a request that was let in says whose token it has, and what that allows.
HOLDER = "runhouse.holder"


class Access(IntEnum):
    """Say what a request may do; each includes the ones before it."""

    NONE = 0
    READ = 1
    FULL = 2


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """Tell about a token that was made for others; never the token itself.

    Attributes:
        name: Its name.
        read_only: Whether it only allows to look.
        created_at: Seconds since the epoch.
    """

    name: str
    read_only: bool
    created_at: float


def read_or_make_token(path: Path) -> str:
    """Return the token that a file holds; make it, readable by this user only, when missing."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        token = path.read_text(encoding="ascii").strip()
        if token:
            return token
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    token = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token)
    return token


class Tokens:
    """Know the tokens of one server."""

    def __init__(self, own: str, path: Path) -> None:
        """Read the tokens that were made for others.

        Args:
            own: The server's own token, which may do everything.
            path: The file of the others; there need not be one.
        """
        self._own = _digest(own)
        self._path = path
        self._others = _read(path)

    def access(self, header: str) -> Access:
        """Return what an Authorization header allows; takes as long for any wrong token."""
        return self.holder(header)[1]

    def holder(self, header: str) -> tuple[str, Access]:
        """Return whose token an Authorization header has, and what it allows; see `access`.

        Returns:
            The name of a token that was made for others, or `"owner"`; and its access.
        """
        scheme, _, given = header.partition(" ")
        digest = _digest(given.strip())
        found = OWNER, Access.FULL if hmac.compare_digest(digest, self._own) else Access.NONE
        for known, info in self._others.items():
            if hmac.compare_digest(digest, known):
                found = info.name, Access.READ if info.read_only else Access.FULL
        return found if scheme.lower() == "bearer" else ("", Access.NONE)

    def create(self, name: str, *, read_only: bool) -> str:
        """Make a token and return it; an earlier one of the name is not valid any more.

        Raises:
            OSError: It cannot be written to the disk; nothing has changed.
        """
        token = secrets.token_urlsafe(32)
        info = TokenInfo(name, read_only, time.time())
        self._keep({**self._without(name), _digest(token): info})
        return token

    def list(self) -> list[TokenInfo]:
        """Return the tokens that were made for others, by name."""
        return sorted(self._others.values(), key=lambda info: info.name)

    def revoke(self, name: str) -> bool:
        """Make a token invalid; return whether there was one of the name.

        Raises:
            OSError: It cannot be written to the disk; nothing has changed.
        """
        rest = self._without(name)
        was_there = len(rest) < len(self._others)
        if was_there:
            self._keep(rest)
        return was_there

    def _without(self, name: str) -> dict[str, TokenInfo]:
        return {digest: info for digest, info in self._others.items() if info.name != name}

    def _keep(self, others: dict[str, TokenInfo]) -> None:
        kept = {digest: asdict(info) for digest, info in others.items()}
        write_private(self._path, f"{json.dumps(kept, indent=1)}\n".encode())
        self._others = others


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _read(path: Path) -> dict[str, TokenInfo]:
    """Return the tokens in a file; a file that cannot be read lets nobody in."""
    try:
        kept = json.loads(path.read_bytes())
        return {digest: TokenInfo(**info) for digest, info in kept.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("the tokens in %s cannot be read: %s", path, error)
        return {}
