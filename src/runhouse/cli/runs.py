"""Commands about runs and their logs."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runhouse.cli.calls import show_value
from runhouse.cli.clusters import ClusterArgument, ClusterOption, cluster_names, find_up
from runhouse.cli.output import (
    JsonOption,
    counted,
    print_json,
    print_line,
    print_table,
    remote_errors_told,
    span,
    told,
    write,
)
from runhouse.clusters.arguments import seconds
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.here import here
from runhouse.clusters.local import LOCAL_NAME
from runhouse.errors import CallError, RunNotFoundError
from runhouse.specs.progress import working

if TYPE_CHECKING:
    from runhouse.client.run import Run
    from runhouse.wire.messages import RunInfo

_NEWEST = 20
_GOING = ("queued", "running")

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The name or id of a run.")]


def list_runs(
    cluster: ClusterArgument = LOCAL_NAME,
    everything: Annotated[
        bool, typer.Option("--all", help=f"All runs, not only the newest {_NEWEST}.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the runs of a cluster, the newest first.

    Those are the recorded ones, and all calls that are going on.
    """
    with told(as_json=as_json, name=cluster):
        runs = [run.info(refresh=False) for run in find_up(cluster).runs()]
        shown = runs if everything else runs[:_NEWEST]
        if as_json:
            print_json([{"key": info.name or info.id, **info.to_meta()} for info in shown])
            return
        print_table(["KEY", "CALL", "STATUS", "AGE", "DURATION", "ENV"], list(map(_row, shown)))
        if len(shown) < len(runs):
            command = shlex.join(["rh", "runs", cluster, "--all"])
            print_line(f"{len(runs) - len(shown)} older ones are shown by: {command}")


def _row(info: RunInfo) -> list[str]:
    now = time.time()
    return [
        info.name or info.id,
        info.call,
        info.status,
        span(now - info.created_at),
        span((info.ended_at or now) - info.created_at),
        info.env,
    ]


def logs(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|CLUSTER]",
            help="The name or id of a run; or a cluster, for the end of its server's log.",
            autocompletion=cluster_names,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    cluster: ClusterOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what a run has printed, or the end of a cluster's logs.

    Ctrl-C ends the showing; the run goes on.
    """
    with told(as_json=as_json, name=name or cluster or LOCAL_NAME):
        run = _find_run(name, cluster) if name is not None else None
        if run is None and follow:
            msg = "--follow cannot be used. Only the logs of a run have an end. Name a run."
            raise ValueError(msg)
        if run is None:
            text = find_up(name or cluster or LOCAL_NAME).logs()
        elif follow and not as_json:
            for piece in run.logs(follow=True):
                write(piece)
            return
        else:
            text = "".join(run.logs(follow))
        if as_json:
            print_json({"name": name or cluster or LOCAL_NAME, "logs": text})
        else:
            print_line(text.rstrip("\n") or "There are no logs.")


def _find_run(name: str, cluster: str) -> Run | None:
    """Return the run of a name; None when it is the name of a cluster and of no run.

    Raises:
        RunNotFoundError: It is neither.
    """
    if cluster:
        return find_up(cluster).get_run(name)
    if name != LOCAL_NAME and name not in Cluster.list() and not {"@", ":"} & set(name):
        return here.get_run(name)
    try:
        return here.get_run(name) if here.is_up() else None
    except RunNotFoundError:
        return None


def cancel(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The name or id of a run.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All runs and calls that are going on.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="End the worker too, with the objects that it holds."),
    ] = False,
    cluster: ClusterOption = LOCAL_NAME,
    as_json: JsonOption = False,
) -> None:
    """Stop a run, or all of them. Those who wait for it are told."""
    with told(as_json=as_json, name=run or cluster):
        if (run is None) is not everything:
            msg = (
                "Nothing was cancelled. It is not clear what is meant. Name one run, or add --all."
            )
            raise ValueError(msg)
        found = find_up(cluster)
        runs = [found.get_run(run)] if run is not None else found.runs()
        going = [each for each in runs if each.info(refresh=False).status in _GOING]
        if run is None:
            found.cancel_all(force)
        elif going:
            going[0].cancel(force)
        if as_json:
            print_json({"name": run or cluster, "cancelled": [each.key for each in going]})
        elif run is None:
            print_line(f"{counted(len(going), 'run')} cancelled.")
        else:
            print_line(f"{run} was cancelled." if going else f"{run} had ended before.")


def result(
    run: RunArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Wait so long at most for it to end.")
    ] = None,
    cluster: ClusterOption = LOCAL_NAME,
    as_json: JsonOption = False,
) -> None:
    """Print the result of a run.

    Of a generator, all items. A run that goes on is not waited for without --wait or --timeout.
    """
    facts: dict[str, Any] = {"name": run}
    with told(as_json=as_json, **facts):
        if timeout is not None:
            seconds("timeout", timeout)
        found = find_up(cluster).get_run(run)
        status = found.info(refresh=False).status
        if status in _GOING and not wait and timeout is None:
            msg = f"There is no result of {run} yet. The run is {status}. Wait for it with --wait."
            raise CallError(msg)
        with remote_errors_told(as_json=as_json, **facts):
            with working(f"Waiting for {run}"):
                value = found.result(timeout)
            show_value(value, as_json=as_json)
