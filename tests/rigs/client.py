"""The side from which machines are reached: a key pair, and an OpenSSH configuration."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from runhouse import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rigs.machine import Machine

PERSIST_S = 2


class Client:
    """Hold a key and a configuration in which machines have aliases.

    Attributes:
        key: The private key; the public one is beside it.
        config: The configuration, for `ssh -F` or the variable `RH_SSH_CONFIG`.
        known_hosts: Where ssh remembers host keys.
    """

    def __init__(self, folder: Path) -> None:
        """Make the key pair and an empty configuration in a folder."""
        self.key = folder / "client key"
        self.public_key = folder / "client key.pub"
        self.config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self._aliases: dict[str, list[str]] = {}
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(self.key)],
            check=True,
            stdin=subprocess.DEVNULL,
        )
        self._write()

    def add(self, machine: Machine, alias: str | None = None) -> str:
        """Give a running machine an alias, by default its name, and forget host keys of its port.

        A machine that shares the network of another is reached through that one, by ProxyJump.
        """
        alias = alias or machine.spec.name
        lines = [f"HostName {machine.host}", f"Port {machine.port}", f"User {machine.spec.user}"]
        if machine.neighbour is not None:
            lines.append(f"ProxyJump {self.alias_of(machine.neighbour)}")
            lines.append(f"HostKeyAlias {alias}")
        self._aliases[alias] = lines
        self.forget_host_key(f"[{machine.host}]:{machine.port}", f"[::1]:{machine.port}", alias)
        if machine.port == 22:  # whose number is not written there
            self.forget_host_key(machine.host)
        self._write()
        return alias

    def remove(self, alias: str) -> None:
        """Take an alias away again; safe to repeat."""
        self._aliases.pop(alias, None)
        self._write()

    def alias_of(self, machine: Machine) -> str:
        """Return the alias of a machine that has been added."""
        port = f"Port {machine.port}"
        return next(alias for alias, lines in self._aliases.items() if port in lines)

    def forget_host_key(self, *names: str) -> None:
        """Forget the keys of hosts as they are named in `known_hosts`."""
        if self.known_hosts.exists():
            lines = self.known_hosts.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.partition(" ")[0] not in names]
            self.known_hosts.write_text("".join(kept))

    def _write(self) -> None:
        text = "".join(
            f"Host {alias}\n" + "".join(f"  {line}\n" for line in lines)
            for alias, lines in self._aliases.items()
        )
        self.config.write_text(
            f'{text}Host *\n  IdentityFile "{self.key}"\n  IdentitiesOnly yes\n'
            f'  UserKnownHostsFile "{self.known_hosts}"\n  GlobalKnownHostsFile none\n'
        )

    def command(self, *words: str) -> list[str]:
        """Return a command line of plain ssh, which accepts unknown host keys."""
        options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new"]
        return ["ssh", "-F", str(self.config), "-o", "LogLevel=ERROR", *options, *words]

    def ssh(self, *words: str, timeout_s: float = 10.0) -> subprocess.CompletedProcess[str]:
        """Run plain ssh to its end."""
        return subprocess.run(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def variables(self) -> dict[str, str]:
        """Return the variables that make runhouse use this configuration."""
        return {"RH_SSH_CONFIG": str(self.config), "RH_SSH_PERSIST_S": str(PERSIST_S)}

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment for another process that is to reach the machines."""
        return {**os.environ, **self.variables(), **changes}

    @contextmanager
    def used_by_this_process(self) -> Iterator[None]:
        """Let runhouse in this process, and those that it starts, use this configuration."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables().items():
                patch.setenv(name, value)
            settings.load.cache_clear()
            yield
        settings.load.cache_clear()
