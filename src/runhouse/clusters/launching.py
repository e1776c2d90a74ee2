"""Bring machines of a cloud up, find them again, and tell what has become of them."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runhouse import extras
from runhouse.errors import ClusterLostError, ClusterNotUpError

if TYPE_CHECKING:
    from types import ModuleType

    from runhouse.clusters.cloud import Machines, Stops, Wanted

log = logging.getLogger(__name__)

_BECOMES = {"down": "goes down", "stop": "stops"}


def skypilot() -> ModuleType:
    """Return our wrapper of SkyPilot, which is loaded with the first cloud action.

    Raises:
        ImportError: SkyPilot is not installed; says how to install it.
    """
    return extras.load("runhouse.clusters.skypilot", extra="sky")


def find(name: str, *, refresh: bool) -> Machines | None:
    """Return what SkyPilot knows about a cluster, or None when it has none of the name.

    Args:
        name: The cluster's name.
        refresh: Ask the cloud too, which takes seconds; else it is what SkyPilot saw last.
    """
    found: Machines | None = skypilot().find(name, refresh=refresh)
    return found


def find_up(name: str) -> Machines:
    """Return the machines of a cluster that is up, as SkyPilot saw it last.

    Raises:
        ClusterNotUpError: It is not.
    """
    found = find(name, refresh=False)
    if found is not None and found.state == "up":
        return found
    state = "is down" if found is None else f"is {found.state}"
    msg = (
        f"The cluster {name!r} is not up. SkyPilot says that it {state}. "
        f"Bring it up with cluster.up(), or `rh up {name}`."
    )
    raise ClusterNotUpError(msg)


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold what is to be brought up, and when it goes.

    Attributes:
        name: The cluster's name.
        wanted: The machines.
        autostop_mins: Idle minutes after which they go; -1: never.
        stops: What becomes of them then.
    """

    name: str
    wanted: Wanted
    autostop_mins: int
    stops: Stops

    def bring_up(self) -> Machines:
        """Launch the machines, or start those that were stopped, or find those that are up.

        Raises:
            LaunchError: They did not come up.
            KeyboardInterrupt: The user pressed Ctrl-C; what exists by then was told.
        """
        found = find(self.name, refresh=True)
        if found is not None and found.state == "up":
            return found
        sky = skypilot()
        try:
            if found is not None and found.state == "stopped":
                say(f"Starting {self.name}: {found.described}.")
                machines: Machines = sky.start(self.name, self.autostop_mins, self.stops)
            else:
                say(f"Launching {self.name}: {self.wanted}.")
                machines = sky.launch(self.name, self.wanted, self.autostop_mins, self.stops)
        except KeyboardInterrupt:
            say_what_exists(self.name)
            raise
        idle = self.autostop_mins
        when = f"; it {_BECOMES[self.stops]} after {idle} idle minutes" if idle >= 0 else ""
        say(f"{self.name} is up: {machines.described}{when}.")
        return machines

    def find_again(self, known: Machines | None) -> Machines:
        """Return where the machines are now, after one could not be reached.

        Args:
            known: What was known about them before.

        Raises:
            ClusterLostError: They have stopped or gone.
        """
        found = find(self.name, refresh=True)
        if found is not None and found.state == "up":
            return found
        is_stopped = found is not None and (
            found.state == "stopped" or (found.state == "stopping" and found.stops == "stop")
        )
        what = "were stopped" if is_stopped else "are gone"
        if found is not None and found.state == "launching":
            what = "are not all there any more"
        left = "All that ran or was kept there is lost"
        if is_stopped:
            left = "Their disks are kept; what ran there is lost"
        idle = known.autostop_mins if known is not None else self.autostop_mins
        causes = ["by hand"]
        if idle >= 0:
            causes.insert(0, f"after {idle} idle minutes")
        if self.wanted.use_spot:
            causes.insert(0, "taken by the cloud, as spot machines may be")
        msg = (
            f"The cluster {self.name!r} was lost. Its machines {what} ({', or '.join(causes)}). "
            f"{left}. Bring it up again with cluster.up(), and send your functions again."
        )
        raise ClusterLostError(msg, cluster=self.name, state="stopped" if is_stopped else "gone")


def say_what_exists(name: str) -> None:
    """Tell what a launch that was interrupted may have left."""
    found = find(name, refresh=True)
    if found is None:
        say(f"Interrupted. No machine of {name} exists.")
        return
    what = found.resources or "machines that were not ready yet"
    say(
        f"Interrupted. Machines of {name} may exist, and cost: {what}. "
        f"Remove them with: rh down {name}"
    )


def say(text: str) -> None:
    """Tell the user what happens to machines that cost."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
