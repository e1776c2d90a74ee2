"""Clusters that several tests use, launched side by side; and scripts of users."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import runhouse as rh
from tests.rigs.cloudbox.box import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Future

SKYPILOT_S_OWN = "shared"
# It may lose the race for SkyPilot's security group to the others, which is for us to repeat.
_LAUNCH = (
    *("sky", "launch", "--yes", "--retry-until-up", "--infra=aws", "--cpus=2+"),
    f"--cluster={SKYPILOT_S_OWN}",
)
_DOWN = ("sky", "down", "--yes", SKYPILOT_S_OWN)
TYPE, PRICE = "m6i.large", 0.096

# What each is launched with; a test names the one that it needs as a fixture.
DEFINITIONS: Mapping[str, Mapping[str, Any]] = {
    "held": {"instance_type": "CPU:2", "autostop_mins": 1, "autostop": "stop"},
    "life": {"instance_type": TYPE, "autostop_mins": 60},
    "pair": {
        "instance_type": "V100:1",
        "num_instances": 2,
        "provider": "cheapest",
        "labels": {"team": "vision"},
        "disk_size": 77,
        "open_ports": [8080, "9000-9010"],
        "autostop_mins": 60,
        "sky_kwargs": {"envs": {"UNUSED": "1"}},
    },
    "spot": {"num_cpus": 2, "memory": "4", "use_spot": True, "provider": "aws"},
}


def run(*command: str) -> None:
    """Run a command of SkyPilot's to its end."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=300)


class Fleet:
    """Launch clusters in threads, and take all of them down in the end."""

    def __init__(self, names: Iterable[str], *, skypilot_s_own: bool) -> None:
        """Begin to launch."""
        self._clusters = {name: rh.ondemand_cluster(name, **DEFINITIONS[name]) for name in names}
        self._threads = ThreadPoolExecutor(len(DEFINITIONS) + 1)
        self._launched: dict[str, Future[Any]] = {
            name: self._threads.submit(cluster.up) for name, cluster in self._clusters.items()
        }
        if skypilot_s_own:
            self._launched[SKYPILOT_S_OWN] = self._threads.submit(run, *_LAUNCH)

    def get(self, name: str) -> rh.OnDemandCluster:
        """Return a cluster as soon as it is up."""
        self._launched[name].result()
        return self._clusters[name]

    def wait_for_skypilot_s_own(self) -> str:
        """Return the name of the cluster that SkyPilot has launched by itself."""
        self._launched[SKYPILOT_S_OWN].result()
        return SKYPILOT_S_OWN

    def close(self) -> None:
        """Take the clusters down, also those that did not come up."""
        with self._threads:
            for each in self._launched.values():
                each.exception()  # has ended, however it did
            for cluster in self._clusters.values():
                self._threads.submit(cluster.teardown)
            if SKYPILOT_S_OWN in self._launched:
                self._threads.submit(run, *_DOWN)
        for cluster in self._clusters.values():
            cluster.disconnect()


def script(lines: str) -> list[str]:
    """Return the command that runs lines of Python as another process of a user's."""
    return [sys.executable, "-c", f"import runhouse as rh\nfrom tests.cloud import sample\n{lines}"]


def begin(*command: str, **environ: str) -> subprocess.Popen[str]:
    """Begin a command of a user's, and listen to what it says."""
    return subprocess.Popen(
        ["env", *(f"{name}={value}" for name, value in environ.items()), *command],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
