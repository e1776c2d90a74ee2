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
    """Make, list and revoke the tokens of one cluster."""

    def __init__(self, home: Home) -> None:
        """Store the cluster; use `cluster.tokens` instead."""
        self._home = home

    def create(self, name: str, read_only: bool = False) -> str:
        """Make a token and return it; it cannot be shown again.

        Args:
            name: What to call it; an earlier token of the name is revoked.
            read_only: Allow to look, but not to call or change anything.

        Raises:
            InvalidNameError: The name cannot be used.
            ConnectError: The host cannot be reached.
        """
        body = {"name": check_key(name), "read_only": bool(read_only)}
        return str(self._home.client.request("POST", "/tokens", body)["token"])

    def list(self) -> list[Token]:
        """Return the tokens that are valid, by name; not the one that runhouse itself uses."""
        answer = self._home.client.request("GET", "/tokens")
        return [Token(**token) for token in answer["tokens"]]

    def revoke(self, name: str) -> bool:
        """Make a token invalid at once; return whether there was one of the name."""
        path = f"/tokens/{quote(check_key(name), safe='')}"
        return bool(self._home.client.request("DELETE", path)["revoked"])
