"""Secrets on a cluster: what is found here is sent there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from runhouse.clusters import arguments
from runhouse.clusters.commands import Commands
from runhouse.errors import SecretConflictError
from runhouse.specs.secret import Secret, SentSecret, secret, sendable, sent_to

log = logging.getLogger(__name__)


class Secrets(Commands):
    """Send secrets to a cluster's hosts, and remove them there."""

    def sync_secrets(
        self, providers: str | Sequence[str] | None = None, env: str | None = None
    ) -> list[SentSecret]:
        """Send secrets that are on this machine to all hosts of the cluster; safe to repeat.

        One that a host has another one of is not sent: its state is `kept`. A file with a secret of
        its provider and the host's own is made of both; see `Secret.to`.

        Args:
            providers: Names of providers or of saved secrets; None for all that are found here, but
                for keys that open further machines (`ssh`, `sky`, `sagemaker`, `bittensor`), which
                are only sent when they are named.
            env: The name of the env whose workers alone get them, as variables; None for each
                provider's default place.

        Returns:
            What was done with each secret, and where it is; no values.

        Raises:
            SecretNotFoundError: One that was named is not on this machine.
            SecretError: One cannot be read here, or written there.
            ConnectError: A host cannot be reached.
            TypeError: The names are no texts.

        Example:
            >>> import runhouse as rh
            >>> [sent.name for sent in rh.here.sync_secrets([])]
            []
        """
        if providers is None:
            chosen = sendable()
        else:
            chosen = [secret(name) for name in arguments.texts("providers", providers)]
        return [self._send_or_keep(each, env) for each in chosen]

    def _send_or_keep(self, each: Secret, env: str | None) -> SentSecret:
        try:
            sent = each.to(self, env=env)
        except SecretConflictError as error:
            log.warning("%s", error)
            return SentSecret(each.name, "kept", error.places)
        log.info("secret %s: %s in %s", sent.name, sent.state, ", ".join(sent.places))
        return sent

    def add_secrets(
        self, provider_secrets: Mapping[str, Any], env: str | None = None
    ) -> list[SentSecret]:
        """Send secrets that are given by their values to all hosts of the cluster.

        Args:
            provider_secrets: Provider or name of your own -> variables and their values; or
                variable -> value.
            env: The name of the env whose workers alone get them; None: see `Secret.to`.

        Returns:
            What was done with each secret, and where it is; no values.

        Raises:
            SecretConflictError: A host has another one in its place.
            SecretError: One cannot be written there.
            ConnectError: A host cannot be reached.
            TypeError: It is no such mapping.
            ValueError: A variable cannot have its name.

        Example:
            >>> import runhouse as rh
            >>> rh.here.add_secrets({"WEATHER_KEY": "abc"})[0].places
            ('$WEATHER_KEY',)
            >>> rh.here.remove_secrets("WEATHER_KEY")[0].state
            'removed'
        """
        if not isinstance(provider_secrets, Mapping):
            kind = type(provider_secrets).__name__
            msg = (
                f"The secrets cannot be used. They are of type {kind}. Give a dict: name -> "
                "variables and their values; or send a secret with secret.to(cluster)."
            )
            raise TypeError(msg)
        made = [
            Secret(name, {name: values} if isinstance(values, str) else values)
            for name, values in provider_secrets.items()
        ]
        return [each.to(self, env=env) for each in made]

    def secrets(self) -> list[SentSecret]:
        """Return the secrets that were put on the cluster: names and places, no values.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            SecretError: The host's note of them cannot be read.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.secrets()
            []
        """
        self.check_there()
        return sent_to(self)

    def remove_secrets(self, names: str | Sequence[str] | None = None) -> list[SentSecret]:
        """Remove secrets from all hosts of the cluster; what they were put in place of comes back.

        Args:
            names: Their names; None for all that were put there.

        Returns:
            An entry for each secret, `removed`, or `unchanged` when it was not there.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            SecretError: A file there cannot be written.
            ConnectError: A host cannot be reached.
            TypeError: The names are no texts.
            InvalidNameError: No secret can have this name.

        Example:
            >>> import runhouse as rh
            >>> rh.here.remove_secrets("weather")[0].state
            'unchanged'
        """
        if names is None:
            chosen: Sequence[str] = [each.name for each in self.secrets()]
        else:
            chosen = arguments.texts("names", names)
        self.check_there()
        return [Secret(name).remove(self) for name in chosen]
