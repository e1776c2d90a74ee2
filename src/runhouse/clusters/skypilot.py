"""SkyPilot's SDK, wrapped once: its requests, its records, and its errors in our words.

Loaded by `extras.load`, since SkyPilot is an extra. Every request is waited for with a limit, in a
thread of its own: SkyPilot's server works on when nobody waits any more.

See https://docs.skypilot.co/en/latest/reference/api.html
"""

from __future__ import annotations

import difflib
import inspect
import os
import queue
import re
import sys
import threading
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import requests
import sky
from sky import exceptions
from sky.client import sdk
from sky.skylet.autostop_lib import AutostopWaitFor

from runhouse import settings
from runhouse.clusters.cloud import Machines, Node, State, Stops, Wanted
from runhouse.errors import (
    CapacityError,
    CloudCredentialsError,
    ClusterNotUpError,
    InvalidNameError,
    LaunchError,
    QuotaError,
    ResourcesError,
    SkyServerError,
)
from runhouse.files import private_directory, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_ANSWER_S = 180.0
_QUOTA = re.compile(r"quota|limit ?exceeded|maxspotinstancecount", re.IGNORECASE)
_STATES: Mapping[Any, State] = {
    sky.ClusterStatus.INIT: "launching",
    sky.ClusterStatus.UP: "up",
    sky.ClusterStatus.STOPPED: "stopped",
}
# What runs on the head to tell SkyPilot's agent there that the machines are in use.
_PULSE = (
    'exec "$(cat "$HOME/.sky/python_path" 2>/dev/null || echo python3)" -c '
    '"from sky.skylet import autostop_lib; autostop_lib.set_last_active_time_to_now()"'
)


def pulse() -> list[str]:
    """Return the command that tells SkyPilot on the head that the machines are in use."""
    return ["/bin/sh", "-c", _PULSE]


# -- requests -------------------------------------------------------------------------------------


def _ask(name: str, what: str, submit: Callable[[], Any], timeout_s: float, *, show: bool) -> Any:
    """Send a request and wait for its answer.

    Args:
        name: The cluster that it is about.
        what: What it does, for messages.
        submit: Sends it, and returns its id.
        timeout_s: Longest wait.
        show: Whether SkyPilot's progress is written to standard error.

    Raises:
        LaunchError: It failed, or took too long.
        KeyboardInterrupt: The user pressed Ctrl-C; the request was cancelled.
    """
    answers: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
    ids: list[Any] = []

    def work() -> None:
        try:
            ids.append(submit())
            stream = sys.stderr if show else None
            answer = sdk.stream_and_get(ids[0], output_stream=stream) if show else sdk.get(ids[0])
            answers.put((answer, None))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            answers.put((None, error))

    threading.Thread(target=work, name="runhouse-sky", daemon=True).start()
    try:
        answer, error = answers.get(timeout=timeout_s)
    except queue.Empty:
        _cancel(ids)
        msg = (
            f"{what} {name!r} took too long. SkyPilot had no result after {timeout_s:g} s, and was "
            f"asked to give up. See what exists with `sky status`, and remove it with `sky down "
            f"{name}`; RH_LAUNCH_TIMEOUT_S allows more time."
        )
        raise LaunchError(msg, cluster=name, reason="timeout") from None
    except KeyboardInterrupt:
        _cancel(ids)
        raise
    if error is not None:
        raise _translated(name, what, error) from error
    return answer


def _cancel(ids: list[Any]) -> None:
    """Ask SkyPilot to give up a request, as far as it listens."""
    if ids:
        try:
            sdk.get(sdk.api_cancel([ids[0]], silent=True))
        except Exception as error:  # noqa: BLE001 - the reason why we are here is told instead
            sys.stderr.write(f"SkyPilot could not be told to give up: {error}\n")


def _translated(name: str, what: str, error: BaseException) -> BaseException:
    """Return an error of SkyPilot's in our words."""
    reason = _plain(str(error)) or type(error).__name__
    failed = f"{what} {name!r} failed."
    if isinstance(error, exceptions.InvalidClusterNameError):
        return InvalidNameError(f"The name {name!r} cannot be used. {reason} Choose another one.")
    if isinstance(error, exceptions.ResourcesUnavailableError):
        return _unavailable(name, failed, reason, error)
    if isinstance(error, (exceptions.NoCloudAccessError, exceptions.InvalidCloudCredentials)):
        return CloudCredentialsError(
            f"{failed} No cloud lets us in: {reason} Run `sky check`, and do what it says.",
            cluster=name,
            reason=reason,
        )
    if isinstance(error, (exceptions.ClusterDoesNotExist, exceptions.ClusterNotUpError)):
        return ClusterNotUpError(
            f"{failed} {reason} Bring it up with cluster.up(), or `rh up {name}`."
        )
    lost = (exceptions.ApiServerConnectionError, exceptions.RequestInterruptedError)
    if isinstance(error, (*lost, requests.RequestException, exceptions.RequestCancelled)):
        return SkyServerError(
            f"{failed} SkyPilot's API server ended or does not answer: {reason} Machines may exist "
            f"nevertheless: repeat it, which goes on with them, or remove them with `sky down "
            f"{name}`.",
            cluster=name,
            reason=reason,
        )
    if isinstance(error, (ValueError, TypeError, exceptions.NotSupportedError)):
        return ResourcesError(
            f"{failed} SkyPilot refuses it: {reason} Correct the arguments of the cluster.",
            cluster=name,
            reason=reason,
        )
    return LaunchError(
        f"{failed} SkyPilot says: {type(error).__name__}: {reason} "
        f"See what exists with `sky status`, and the log with `sky logs --provision {name}`.",
        cluster=name,
        reason=reason,
    )


def _unavailable(name: str, failed: str, reason: str, error: Any) -> LaunchError:
    """Tell what cannot be had at all, what is not free now, and what the account may not have."""
    attempts = [_plain(f"{type(each).__name__}: {each}") for each in error.failover_history]
    if not attempts:
        return ResourcesError(
            f"{failed} No cloud that is enabled has such machines: {reason} Ask for something "
            "else, or enable another cloud: `sky check`.",
            cluster=name,
            reason=reason,
        )
    tried = "; ".join(dict.fromkeys(attempts))
    kind = QuotaError if any(map(_QUOTA.search, attempts)) else CapacityError
    advice = (
        "Ask the cloud for a higher quota, or for other machines here"
        if kind is QuotaError
        else "Try again later, or allow other regions, providers or machines"
    )
    return kind(f"{failed} {reason} Tried: {tried}. {advice}.", cluster=name, reason=tried)


def _plain(text: str) -> str:
    """Return a text without colours, on one line, with a full stop."""
    bare = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    return bare if not bare or bare[-1] in ".!?" else f"{bare}."


# -- what is there --------------------------------------------------------------------------------


def find(name: str, *, refresh: bool) -> Machines | None:
    """Return what SkyPilot knows about a cluster, or None when there is none of the name.

    Args:
        name: The cluster's name.
        refresh: Ask the cloud too, which takes seconds; else it is what SkyPilot saw last.
    """
    mode = sky.StatusRefreshMode.FORCE if refresh else sky.StatusRefreshMode.NONE

    def submit() -> Any:
        return sky.status([name], refresh=mode, all_users=True, _include_credentials=True)

    for record in _ask(name, "Looking for", submit, _ANSWER_S, show=False):
        if record["name"] == name:
            return _machines(record)
    return None


def find_all() -> list[Machines]:
    """Return all clusters that SkyPilot knows, as it saw them last."""
    records = _ask(
        "", "Looking for clusters", lambda: sky.status(all_users=True), _ANSWER_S, show=False
    )
    return [_machines(record) for record in records]


def _machines(record: Any) -> Machines:
    handle, credentials = record["handle"], record["credentials"] or {}
    state = _STATES[record["status"]]
    pairs = (handle.stable_internal_external_ips or ()) if handle is not None else ()
    ports = (handle.stable_ssh_ports or ()) if handle is not None else ()
    nodes = tuple(
        Node(external or internal, internal, int(ports[index]) if index < len(ports) else 22)
        for index, (internal, external) in enumerate(pairs)
    )
    return Machines(
        name=record["name"],
        identity=record["cluster_hash"],
        state=state,
        count=int(record["nodes"] or 1),
        nodes=nodes if state == "up" else (),
        ssh_user=credentials.get("ssh_user") or "",
        private_key=_key_file(credentials),
        ssh_proxy_command=credentials.get("ssh_proxy_command") or "",
        resources=_resources(handle),
        price_per_hour=_price(handle),
        launched_at=float(record["launched_at"] or 0),
        autostop_mins=int(record["autostop"]),
        stops="down" if record["to_down"] else "stop",
    )


def _resources(handle: Any) -> str:
    if handle is None or handle.launched_resources is None:
        return ""
    found = handle.launched_resources
    where = "/".join(str(part) for part in (found.cloud, found.region, found.zone) if part)
    spot = "[spot]" if found.use_spot else ""
    return f"{handle.launched_nodes}x {found.instance_type}{spot} in {where}"


def _price(handle: Any) -> float | None:
    if handle is None or handle.launched_resources is None:
        return None
    try:
        return float(handle.launched_resources.get_cost(3600) * handle.launched_nodes)
    except Exception:  # noqa: BLE001 - its catalog may not know the price: then it is unknown
        return None


def _key_file(credentials: Mapping[str, Any]) -> str:
    """Return the private key's file: SkyPilot's, or a copy when its server is elsewhere."""
    given = credentials.get("ssh_private_key")
    if given and os.path.isfile(os.path.expanduser(given)):
        return os.path.expanduser(str(given))
    content = credentials.get("ssh_private_key_content")
    if not content:
        return ""
    name = sha256(content.encode()).hexdigest()[:16]
    path: Path = private_directory(settings.load().home / "keys") / f"sky-{name}"
    if not path.is_file():
        write_private(path, content.encode())
    return str(path)


def cost_so_far(name: str) -> float | None:
    """Return what a cluster has cost until now in US dollars, as SkyPilot estimates it."""
    for record in _ask(name, "Adding up the cost of", sky.cost_report, _ANSWER_S, show=False):
        if record["name"] == name and record.get("total_cost") is not None:
            return float(record["total_cost"])
    return None


def costs(days: int | None = None) -> list[dict[str, Any]]:
    """Return what clusters have cost: name, seconds, machines, US dollars, state."""
    records = _ask("", "Adding up costs", lambda: sky.cost_report(days), _ANSWER_S, show=False)
    return [
        {
            "name": record["name"],
            "seconds": int(record.get("duration") or 0),
            "machines": f"{record.get('num_nodes')}x {record.get('resources')}",
            "cost": float(record.get("total_cost") or 0.0),
            "state": str(getattr(record.get("status"), "value", None) or "gone").lower(),
        }
        for record in records
    ]


# -- what is done ---------------------------------------------------------------------------------


def launch(name: str, wanted: Wanted, autostop_mins: int, stops: Stops) -> Machines:
    """Launch machines, or go on with those that exist under the name.

    Raises:
        LaunchError: They did not come up; its subclasses say why.
        KeyboardInterrupt: The user pressed Ctrl-C; the launch was cancelled.
    """
    try:
        task, launching = _task(wanted)
    except Exception as error:
        raise _translated(name, "Launching", error) from error

    def submit() -> Any:
        return sky.launch(task, cluster_name=name, **launching, **_autostop(autostop_mins, stops))

    _ask(name, "Launching", submit, settings.load().launch_timeout_s, show=True)
    return _found(name)


def start(name: str, autostop_mins: int, stops: Stops) -> Machines:
    """Start machines that were stopped; see `launch`."""

    def submit() -> Any:
        return sky.start(name, **_autostop(autostop_mins, stops))

    _ask(name, "Starting", submit, settings.load().launch_timeout_s, show=True)
    return _found(name)


def _found(name: str) -> Machines:
    machines = find(name, refresh=False)
    if machines is None or machines.state != "up":
        msg = (
            f"Launching {name!r} failed. SkyPilot has brought it up, and then lost it. "
            "Bring it up again, or look at `sky status`."
        )
        raise LaunchError(msg, cluster=name)
    return machines


def _autostop(autostop_mins: int, stops: Stops) -> dict[str, Any]:
    """Return what says when the machines go: SSH connections, ours too, do not keep them."""
    if autostop_mins < 0:
        return {}
    return {
        "idle_minutes_to_autostop": autostop_mins,
        "wait_for": AutostopWaitFor.JOBS,
        "down": stops == "down",
    }


def _task(wanted: Wanted) -> tuple[Any, dict[str, Any]]:
    """Return the task to launch, and the further arguments of `sky.launch`."""
    taken: dict[str, dict[str, Any]] = {"task": {}, "resources": {}, "launch": {}}
    known = {
        "task": _parameters(sky.Task.__init__),
        "resources": _parameters(sky.Resources.__init__),
        "launch": _parameters(sky.launch) - {"task", "cluster_name", "dryrun"},
    }
    for key, value in wanted.sky_kwargs.items():
        home = next((kind for kind, names in known.items() if key in names), None)
        if home is None:
            near = difflib.get_close_matches(key, sorted(set().union(*known.values())), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            msg = f"sky_kwargs has {key!r}, which SkyPilot does not take.{hint}"
            raise TypeError(msg)
        taken[home][key] = value
    task = sky.Task(**{"num_nodes": wanted.num_instances, **taken["task"]})
    task.set_resources(sky.Resources(**{**wanted.resources(), **taken["resources"]}))
    return task, taken["launch"]


def _parameters(function: Callable[..., Any]) -> set[str]:
    names = inspect.signature(function).parameters
    return {name for name in names if not name.startswith("_") and name != "self"}


def stop(name: str) -> None:
    """Stop machines; their disks are kept, and cost."""
    _ask(name, "Stopping", lambda: sky.stop(name), settings.load().launch_timeout_s, show=True)


def down(name: str) -> None:
    """Remove machines with all that is on them."""
    _ask(name, "Tearing down", lambda: sky.down(name), settings.load().launch_timeout_s, show=True)


def set_autostop(name: str, autostop_mins: int, stops: Stops) -> None:
    """Say after how many idle minutes the machines go; negative: never."""

    def submit() -> Any:
        return sky.autostop(
            name,
            autostop_mins,
            wait_for=AutostopWaitFor.JOBS if autostop_mins >= 0 else None,
            down=stops == "down" and autostop_mins >= 0,
        )

    _ask(name, "Setting autostop of", submit, _ANSWER_S, show=False)
