"""Commands about one cluster."""

from __future__ import annotations

import math
import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runhouse.cli.output import (
    Exit,
    JsonOption,
    megabytes,
    print_error,
    print_json,
    print_line,
    print_table,
    told,
)
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.factory import cluster as make_cluster
from runhouse.clusters.here import here
from runhouse.clusters.local import LOCAL_NAME
from runhouse.clusters.records import forget as forget_record
from runhouse.errors import ClusterNotUpError, RunhouseError

if TYPE_CHECKING:
    from runhouse.clusters.status import AutostopStatus, ClusterStatus

_LONGEST_NAME = 63


def cluster_names(incomplete: str) -> list[str]:
    """Complete the names of clusters in a shell, where errors have no place to be told."""
    try:
        return [name for name in [LOCAL_NAME, *Cluster.list()] if name.startswith(incomplete)]
    except (RunhouseError, OSError):
        return []


ClusterArgument = Annotated[
    str,
    typer.Argument(
        metavar="CLUSTER",
        help="A saved cluster, user@host, or local for this machine.",
        autocompletion=cluster_names,
    ),
]

ClusterOption = Annotated[
    str,
    typer.Option(
        "--cluster",
        "-c",
        metavar="CLUSTER",
        help="A saved cluster, user@host, or local for this machine.",
        autocompletion=cluster_names,
    ),
]


def find(name: str) -> Cluster:
    """Return the cluster that a user names on the command line."""
    if name == LOCAL_NAME:
        return here
    if "@" in name or ":" in name:
        plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        return make_cluster(plain[:_LONGEST_NAME], host=name)
    return make_cluster(name)


def list_clusters(as_json: JsonOption = False) -> None:
    """List the saved clusters, and this machine."""
    with told(as_json=as_json):
        found: list[dict[str, Any]] = [here.config()]
        rows = [[here.name, here.kind, here.address]]
        for name in Cluster.list():
            try:
                cluster = Cluster.from_name(name)
            except RunhouseError as error:  # the others are still to be listed
                found.append({"name": name, "error": type(error).__name__, "message": str(error)})
                rows.append([name, "unusable", "-"])
                print_error(str(error))
                continue
            found.append(cluster.config())
            rows.append([name, cluster.kind, ", ".join(cluster.ips)])
        if as_json:
            print_json(found)
        else:
            print_table(["NAME", "KIND", "HOSTS"], rows)


def status(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Show what runs on a cluster; start nothing.

    Ends with code 3 when it is not up.
    """
    with told(as_json=as_json, name=cluster, up=False):
        found = find(cluster)
        try:
            answer = found.check_server(restart_server=False).status()
        except ClusterNotUpError:
            if as_json:
                print_json({"name": cluster, "up": False})
            else:
                print_line(f"{cluster} is not up. Start it with: rh up {shlex.quote(cluster)}")
            raise typer.Exit(Exit.NOT_UP) from None
        show_status(answer, as_json=as_json)


def show_status(answer: ClusterStatus, *, as_json: bool) -> None:
    """Print what runs on a cluster."""
    if as_json:
        print_json({"up": True, **answer.to_json()})
        return
    print_line(
        f"{answer.name} is up: runhouse {answer.version}, Python {answer.python_version}, "
        f"server pid {answer.pid} ({megabytes(answer.memory_bytes)}), "
        f"{answer.running} running, {answer.objects} objects"
    )
    if answer.autostop is not None:
        print_line(f"Autostop: {_autostop(answer.autostop)}")
    nodes = [
        [
            node.hostname,
            node.platform,
            str(node.cpus),
            f"{node.load_1m:.2f}",
            f"{megabytes(node.memory_available_bytes)} of {megabytes(node.memory_total_bytes)}",
            ", ".join(f"{gpu.name} {gpu.utilization_percent:.0f} %" for gpu in node.gpus) or "-",
        ]
        for node in answer.nodes
    ]
    print_line("")
    print_table(["NODE", "PLATFORM", "CPUS", "LOAD", "MEMORY FREE", "GPUS"], nodes)
    workers = [
        [
            worker.env,
            str(worker.pid),
            worker.python,
            megabytes(worker.memory_bytes),
            str(worker.running),
            str(worker.objects),
            str(worker.calls),
            worker.project or "-",
        ]
        for worker in answer.workers
    ]
    columns = ["ENV", "PID", "PYTHON", "MEMORY", "RUNNING", "OBJECTS", "CALLS", "PROJECT"]
    if workers:
        print_line("")
        print_table(columns, workers)


def _autostop(autostop: AutostopStatus) -> str:
    """Return in a few words whether and when a cluster is stopped."""
    if autostop.left_s is None:
        return "never"
    if autostop.in_use:
        text = f"in use: {autostop.why}"
    else:
        verb = "stops" if autostop.stops == "stop" else "down"
        text = f"{verb} in {math.ceil(autostop.left_s / 60)} min unless used"
    failing = f" (whoever stops it cannot be told of use: {autostop.pulse_error})"
    return text + failing if autostop.pulse_error else text


def up(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Make a cluster ready for calls.

    Connects, and starts its server unless that runs. Safe to repeat.
    """
    with told(as_json=as_json, name=cluster, up=False):
        find(cluster).up()
        if as_json:
            print_json({"name": cluster, "up": True})
        else:
            print_line(f"{cluster} is up.")


def stop(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Stop a cluster's server and its workers.

    Running calls are lost; the hardware stays as it is.
    """
    with told(as_json=as_json, name=cluster):
        stopped = find(cluster).stop()
        if as_json:
            print_json({"name": cluster, "stopped": stopped})
        else:
            print_line(f"{cluster} was stopped." if stopped else f"{cluster} was not running.")


def ssh(cluster: ClusterArgument, as_json: JsonOption = False) -> None:
    """Open a shell on a cluster's head.

    Ends with the shell's code. With --json, prints how to log in instead.
    """
    with told(as_json=as_json, failed=None if as_json else Exit.NOT_RUN, name=cluster):
        found = find(cluster)
        if not as_json:
            raise typer.Exit(found.ssh())
        login = {"address": found.address, "ssh_creds": found.ssh_creds()}
        print_json({"name": cluster, **login})


def run(
    cluster: ClusterArgument,
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="-- COMMAND...",
            help="One word is a line for the shell there; several are a program and its arguments.",
        ),
    ],
    node: Annotated[str, typer.Option(help='Index or address of a node, or "all".')] = "0",
    as_json: JsonOption = False,
) -> None:
    """Run a shell command on a cluster.

    Ends with the command's code; of several nodes, the highest one counts.
    """
    with told(as_json=as_json, failed=Exit.NOT_RUN, name=cluster):
        line = command[0] if len(command) == 1 else shlex.join(command)
        place = int(node) if node.isdecimal() else node
        outputs = find(cluster).run(line, stream_logs=not as_json, node=place)
        if as_json:
            print_json([{"exit_code": c, "stdout": out, "stderr": err} for c, out, err in outputs])
        raise typer.Exit(max(code for code, _, _ in outputs))


def forget(
    cluster: ClusterArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a cluster's record and credentials.

    The hardware is not touched, and its server goes on.
    """
    with told(as_json=as_json, name=cluster, forgotten=False):
        if cluster not in Cluster.list():
            Cluster.from_name(cluster)  # tells of names that look alike
        if not yes and as_json:
            msg = f"{cluster} is not forgotten. --json cannot ask whether it may be. Add --yes."
            raise ValueError(msg)
        if not yes:
            typer.confirm(f"Forget the cluster {cluster}?", abort=True)
        forget_record(cluster)
        if as_json:
            print_json({"name": cluster, "forgotten": True})
        else:
            print_line(f"{cluster} is forgotten.")
