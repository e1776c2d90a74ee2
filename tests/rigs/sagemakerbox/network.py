"""The network between the containers of one job, in which each knows the others by name."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERFACE = "eth0"
_PREFIX = "172.18.0."  # the network has no way out, so it may be the same for every job
_WAIT_S = 5.0


class Network:
    """Connect containers, once all of them are there: the first one's has a bridge to the others.

    Attributes:
        hosts: The names of the containers.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        """Store the names of the containers; nothing is connected."""
        self.hosts = list(hosts)
        self._pids: dict[str, int] = {}

    @property
    def hosts_file(self) -> str:
        """Return what `/etc/hosts` is in each container."""
        lines = [f"{_address(number)} {host}" for number, host in enumerate(self.hosts)]
        return "\n".join(["127.0.0.1 localhost", *lines, ""])

    async def enter(self, host: str, pid: int) -> None:
        """Take a container in; it waits for its interface before it does anything.

        Args:
            host: Its name.
            pid: The process whose network is the container's, or is about to be.
        """
        self._pids[host] = pid
        if len(self.hosts) > 1 and len(self._pids) == len(self.hosts):
            await asyncio.to_thread(self._connect)

    def _connect(self) -> None:
        pids = [self._pids[host] for host in self.hosts]
        for pid in pids:
            _wait_for_own_network(pid)
        _ip(pids[0], f"link add {INTERFACE} type bridge")
        for number, pid in enumerate(pids):
            if number:
                link = f"link{number}"
                _ip(pids[0], f"link add {link} type veth peer name {INTERFACE} netns {pid}")
                _ip(pids[0], f"link set {link} master {INTERFACE} up")
            _ip(pid, f"addr add {_address(number)}/24 dev {INTERFACE}")
            _ip(pid, f"link set {INTERFACE} up")


def _address(number: int) -> str:
    return f"{_PREFIX}{number + 1}"


def _ip(pid: int, words: str) -> None:
    command = ["nsenter", "-t", str(pid), "-n", "ip", *words.split()]
    subprocess.run(command, check=True, capture_output=True, timeout=_WAIT_S)


def _wait_for_own_network(pid: int) -> None:
    mine = os.stat("/proc/self/ns/net").st_ino
    wait_until(lambda: os.stat(f"/proc/{pid}/ns/net").st_ino != mine, timeout_s=_WAIT_S)
