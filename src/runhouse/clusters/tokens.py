"""Tokens with which others may use a cluster's HTTP API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from runhouse.registry.names import check_key

if TYPE_CHECKING:
    from runhouse.client.run import Home


@dataclass(frozen=True, slots=True)
class Token:
    """Hold what is known about a token; never the token itself.

    Attributes:
        name: Its name.
        read_only: Whether it only allows to look, and not to call or change anything.
        created_at: Seconds since the epoch.
    """

    name: str
    read_only: bool
    created_at: float


class Tokens:
    """Make, list and revoke the tokens of one cluster.

    Example:
        >>> import runhouse as rh
        >>> token = rh.here.tokens.create("web", read_only=True)
        >>> [each.name for each in rh.here.tokens.list()]
        ['web']
        >>> rh.here.tokens.revoke("web")
        True
    """

    def __init__(self, home: Home) -> None:
        """Store the cluster; use `cluster.tokens` instead."""
        self._home = home

    def create(self, name: str, read_only: bool = False) -> str:
        """Make a token and return it; it cannot be shown again.

        Args:
            name: What to call it; an earlier token of the name is revoked.
            read_only: Allow to look, but not to call or change anything.

        Returns:
            The token.

        Raises:
            InvalidNameError: The name cannot be used.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> token = rh.here.tokens.create("web", read_only=True)
            >>> len(token) > 20
            True
            >>> rh.here.tokens.revoke("web")
            True
        """
        body = {"name": check_key(name), "read_only": bool(read_only)}
        return str(self._home.client.request("POST", "/tokens", body)["token"])

    def list(self) -> list[Token]:
        """Return the tokens that are valid, by name; not the one that runhouse itself uses.

        Raises:
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> token = rh.here.tokens.create("web", read_only=True)
            >>> rh.here.tokens.list()[0].read_only
            True
            >>> rh.here.tokens.revoke("web")
            True
        """
        answer = self._home.client.request("GET", "/tokens")
        return [Token(**token) for token in answer["tokens"]]

    def revoke(self, name: str) -> bool:
        """Make a token invalid at once.

        Args:
            name: Its name.

        Returns:
            Whether there was one of the name.

        Raises:
            InvalidNameError: No token can have this name.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.tokens.revoke("nobody")
            False
        """
        path = f"/tokens/{quote(check_key(name), safe='')}"
        return bool(self._home.client.request("DELETE", path)["revoked"])
