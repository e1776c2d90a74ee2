"""Commands about one cluster."""

from __future__ import annotations

import math
import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from runhouse.cli.output import (
    Exit,
    JsonOption,
    confirm,
    counted,
    dollars,
    print_error,
    print_json,
    print_line,
    print_table,
    span,
    told,
)
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.factory import cluster as make_cluster
from runhouse.clusters.here import here
from runhouse.clusters.launched import LaunchedCluster
from runhouse.clusters.local import LOCAL_NAME
from runhouse.clusters.on_demand import OnDemandCluster
from runhouse.clusters.records import forget as forget_record
from runhouse.clusters.saved import Seen, overview
from runhouse.errors import ClusterNotFoundError, ClusterNotUpError, RunhouseError

if TYPE_CHECKING:
    from runhouse.clusters.status import AutostopStatus, CloudStatus, ClusterStatus

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
    """Return the cluster that a user names on the command line: saved, or known to SkyPilot."""
    if name == LOCAL_NAME:
        return here
    if "@" in name or ":" in name:
        plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        return make_cluster(plain[:_LONGEST_NAME], host=name)
    try:
        return make_cluster(name)
    except ClusterNotFoundError:
        return OnDemandCluster.find(name)


def find_up(name: str) -> Cluster:
    """Return a cluster to look at, which is no reason to launch machines.

    Raises:
        ClusterNotUpError: It is of cloud machines, and they are not up.
    """
    found = find(name)
    found.check_there()
    return found


def list_clusters(
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Ask SkyPilot and SageMaker too: states, prices, and what is not saved here.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the saved clusters, and this machine."""
    with told(as_json=as_json):
        seen = [Seen(here.name, here), *overview(ask_skypilot=everything)]
        for each in seen:
            if each.error is not None:
                print_error(str(each.error))
        if as_json:
            print_json([_entry(each, everything=everything) for each in seen])
            return
        columns = ["NAME", "KIND", *(["STATE", "PER HOUR"] if everything else []), "HOSTS"]
        print_table(columns, [_row(each, everything=everything) for each in seen])
        strangers = [each.name for each in seen if each.cluster is None and each.error is None]
        if strangers:
            print_line(f"Not saved here, but usable by name: {', '.join(strangers)}")


def _entry(seen: Seen, *, everything: bool) -> dict[str, Any]:
    """Return what is known about a cluster as a JSON object."""
    entry: dict[str, Any] = {"name": seen.name}
    if seen.error is not None:
        entry |= {"error": type(seen.error).__name__, "message": str(seen.error)}
    elif seen.cluster is not None:
        entry = seen.cluster.config()
    else:
        entry["kind"] = OnDemandCluster.kind
    if not everything:
        return entry
    entry["saved"] = seen.cluster is not None or seen.error is not None
    if seen.machines is not None or isinstance(seen.cluster, LaunchedCluster):
        machines = seen.machines
        entry |= {
            "state": machines.state if machines else "down",
            "resources": machines.resources if machines else "",
            "price_per_hour": machines.price_per_hour if machines else None,
        }
    return entry


def _row(seen: Seen, *, everything: bool) -> list[str]:
    cluster, machines = seen.cluster, seen.machines
    if isinstance(cluster, LaunchedCluster):
        hosts = cluster.described
    else:
        hosts = ", ".join(cluster.ips) if cluster is not None else "-"
    kind = cluster.kind if cluster is not None else OnDemandCluster.kind
    row = [seen.name, "unusable" if seen.error is not None else kind]
    if not everything:
        return [*row, hosts]
    if machines is None:
        state = "down" if isinstance(cluster, LaunchedCluster) else "-"
        return [*row, state, "-", hosts]
    return [*row, machines.state, dollars(machines.price_per_hour), machines.resources or hosts]


def status(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Show what runs on a cluster, and what it costs.

    Nothing is launched for it. Ends with code 3 when it is not up.
    """
    with told(as_json=as_json, name=cluster, up=False):
        found = find(cluster)
        try:
            if isinstance(found, LaunchedCluster):
                answer = found.tell()
            else:
                answer = found.check_server(restart_server=False).status()
        except ClusterNotUpError:
            if as_json:
                print_json({"name": cluster, "up": False})
            else:
                print_line(f"{cluster} is not up. Start it with: rh up {shlex.quote(cluster)}")
            raise typer.Exit(Exit.NOT_UP) from None
        show_status(answer, as_json=as_json)
        if answer.state != "up":
            raise typer.Exit(Exit.NOT_UP)


def show_status(answer: ClusterStatus, *, as_json: bool) -> None:
    """Print what runs on a cluster, or that nothing does."""
    if as_json:
        print_json({"up": answer.state == "up", **answer.to_json()})
        return
    if answer.state != "up":
        verb = "start" if answer.state == "stopped" else "up"
        print_line(f"{answer.name} is {answer.state}. Start it with: rh {verb} {answer.name}")
        _show_cost(answer.cloud)
        return
    print_line(
        f"{answer.name} is up: runhouse {answer.version}, Python {answer.python_version}, "
        f"server pid {answer.pid} ({decimal(answer.memory_bytes)}), "
        f"{answer.running} running, {counted(answer.objects, 'object')}"
    )
    if answer.autostop is not None:
        print_line(f"Autostop: {_autostop(answer.autostop)}")
    _show_cost(answer.cloud)
    nodes = [
        [
            node.hostname,
            node.platform,
            str(node.cpus),
            f"{node.load_1m:.2f}",
            f"{decimal(node.memory_available_bytes)} of {decimal(node.memory_total_bytes)}",
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
            decimal(worker.memory_bytes),
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


def _show_cost(cloud: CloudStatus | None) -> None:
    """Print what was launched for a cluster, and what it costs."""
    if cloud is None or not cloud.resources:
        return
    facts = [cloud.resources]
    if cloud.price_per_hour is not None:
        facts.append(f"{dollars(cloud.price_per_hour)} an hour")
    if cloud.cost is not None:
        facts.append(f"{dollars(cloud.cost)} until now")
    if cloud.up_s:
        facts.append(f"up for {span(cloud.up_s)}")
    print_line(f"Machines: {', '.join(facts)}")


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

    The hardware is not touched, and its server goes on; `rh down` removes machines of a cloud.
    """
    with told(as_json=as_json, name=cluster, forgotten=False):
        if cluster not in Cluster.list():
            Cluster.from_name(cluster)  # tells of names that look alike
        question = f"Forget the cluster {cluster}?"
        confirm(question, f"{cluster} is not forgotten.", yes=yes, as_json=as_json)
        seen = overview(ask_skypilot=False)
        launched = {each.name for each in seen if isinstance(each.cluster, LaunchedCluster)}
        forget_record(cluster)
        if as_json:
            print_json({"name": cluster, "forgotten": True})
            return
        print_line(f"{cluster} is forgotten.")
        if cluster in launched:
            print_line(f"Machines that it has go on, and cost. Remove them with: rh down {cluster}")
