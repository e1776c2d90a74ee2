"""SkyPilot's SDK, wrapped once: its requests, its records, and its errors in our words.

Loaded by `extras.load`, since SkyPilot is an extra. Every request is waited for with a limit, in a
thread of its own: SkyPilot's server works on when nobody waits any more.

See https://docs.skypilot.co/en/latest/reference/api.html
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import requests
import sky
from sky import exceptions, sky_logging
from sky.client import sdk
from sky.skylet.autostop_lib import AutostopWaitFor

from runhouse import settings
from runhouse.clusters.progress import Progress, is_quota, is_race, plain
from runhouse.clusters.sky_records import machines_of
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
from runhouse.specs.progress import working

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runhouse.clusters.cloud import Machines, Stops, Wanted

_ANSWER_S = 180.0
_PAUSE_S = 1.0
_RACES = 3  # so often a launch is tried that another one has got in the way of
_SHOWN = Progress()
_sending = threading.Lock()  # one at a time changes what standard output is
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
    _keep_standard_output_free()
    answers: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
    ids: list[Any] = []
    progress = Progress()

    def work() -> None:
        try:
            ids.append(submit())
            if show:
                answers.put((sdk.stream_and_get(ids[0], output_stream=progress), None))
            else:
                answers.put((sdk.get(ids[0]), None))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            answers.put((None, error))

    threading.Thread(target=work, name="runhouse-sky", daemon=True).start()
    shown = contextlib.nullcontext() if show else working(f"{what} {name}".rstrip())
    try:
        with shown:
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
        raise _translated(name, what, error, progress.reasons) from error
    return answer


def _keep_standard_output_free() -> None:
    """Have what SkyPilot logs go where its progress goes: standard output is the user's."""
    for handler in logging.getLogger("sky").handlers:
        if isinstance(handler, sky_logging.EnvAwareHandler) and handler.stream is not _SHOWN:
            handler.stream = _SHOWN


def _cancel(ids: list[Any]) -> None:
    """Ask SkyPilot to give up a request, as far as it listens."""
    if ids:
        try:
            sdk.get(sdk.api_cancel([ids[0]], silent=True))
        except Exception as error:  # noqa: BLE001 - the reason why we are here is told instead
            sys.stderr.write(f"SkyPilot could not be told to give up: {error}\n")


def _translated(
    name: str, what: str, error: BaseException, refusals: Sequence[str] = ()
) -> BaseException:
    """Return an error of SkyPilot's in our words; `refusals` is what clouds have said before it."""
    reason = _sentence(str(error)) or type(error).__name__
    failed = f"{what} {name!r} failed."
    if isinstance(error, exceptions.InvalidClusterNameError):
        return InvalidNameError(f"The name {name!r} cannot be used. {reason} Choose another one.")
    if isinstance(error, exceptions.ResourcesUnavailableError):
        return _unavailable(name, failed, reason, error, refusals)
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


def _unavailable(
    name: str, failed: str, reason: str, error: Any, refusals: Sequence[str]
) -> LaunchError:
    """Tell what cannot be had at all, what is not free now, and what the account may not have."""
    attempts = [plain(f"{type(each).__name__}: {each}") for each in error.failover_history]
    if not attempts:
        return ResourcesError(
            f"{failed} No cloud that is enabled has such machines: {reason} Ask for something "
            "else, or enable another cloud: `sky check`.",
            cluster=name,
            reason=reason,
        )
    tried = "; ".join(dict.fromkeys([*refusals, *attempts]))
    kind: type[LaunchError]
    if is_quota(tried):
        why, kind = "The account may not have so much", QuotaError
        advice = "Ask the cloud for a higher quota, or for other machines here"
    else:
        why, kind = "No such machine is free now where it may be", CapacityError
        advice = "Try again later, or allow other regions, providers or machines"
    return kind(f"{failed} {why}: {_sentence(tried)} {advice}.", cluster=name, reason=tried)


def _sentence(text: str) -> str:
    """Return a text without colours, on one line, with a full stop."""
    bare = plain(text)
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
            return machines_of(record)
    return None


def find_all() -> list[Machines]:
    """Return all clusters that SkyPilot knows, as it saw them last."""
    records = _ask(
        "", "Looking for clusters", lambda: sky.status(all_users=True), _ANSWER_S, show=False
    )
    return [machines_of(record) for record in records]


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
        # It says on standard output where it launches, which is the user's.
        with _sending, contextlib.redirect_stdout(sys.stderr):
            return sky.launch(
                task, cluster_name=name, **launching, **_autostop(autostop_mins, stops)
            )

    for attempt in range(1, _RACES + 1):
        try:
            _ask(name, "Launching", submit, settings.load().launch_timeout_s, show=True)
            break
        except CapacityError as error:
            if attempt == _RACES or not is_race(error.reason):
                raise
    return _found(name)


def start(name: str, autostop_mins: int, stops: Stops) -> Machines:
    """Start machines that were stopped; see `launch`."""

    def submit() -> Any:
        return sky.start(name, **_autostop(autostop_mins, stops))

    _ask(name, "Starting", submit, settings.load().launch_timeout_s, show=True)
    return _found(name)


def _found(name: str) -> Machines:
    """Return the machines that were just launched; when another process launches too, after it."""
    deadline = time.monotonic() + settings.load().launch_timeout_s
    while True:
        machines = find(name, refresh=False)
        if machines is not None and machines.state == "up":
            return machines
        if machines is None or machines.state != "launching" or time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_S)
    msg = (
        f"Launching {name!r} failed. SkyPilot has brought it up, and then lost it. "
        "Bring it up again, or look at `sky status`."
    )
    raise LaunchError(msg, cluster=name)


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
