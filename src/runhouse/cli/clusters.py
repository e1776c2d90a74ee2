"""Commands about one cluster."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from runhouse.cli.output import (
    Exit,
    JsonOption,
    megabytes,
    print_json,
    print_line,
    print_table,
    told,
)
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.factory import cluster as make_cluster
from runhouse.clusters.here import here
from runhouse.clusters.local import LOCAL_NAME
from runhouse.clusters.status import ClusterStatus


def _names(incomplete: str) -> list[str]:
    """Complete the names of clusters in a shell."""
    return [name for name in [LOCAL_NAME, *Cluster.list()] if name.startswith(incomplete)]


ClusterArgument = Annotated[
    str,
    typer.Argument(
        metavar="CLUSTER",
        help="A saved cluster, user@host, or local for this machine.",
        autocompletion=_names,
    ),
]


def find(name: str) -> Cluster:
    """Return the cluster that a user names on the command line."""
    if name == LOCAL_NAME:
        return here
    if "@" in name:
        return make_cluster(name.replace("@", "-at-").replace(":", "-"), host=name)
    return make_cluster(name)


def list_clusters(as_json: JsonOption = False) -> None:
    """List the saved clusters, and this machine."""
    with told(as_json=as_json):
        clusters = [here, *(Cluster.from_name(name) for name in Cluster.list())]
        if as_json:
            print_json([cluster.config() for cluster in clusters])
            return
        rows = [[cluster.name, cluster.kind, ", ".join(cluster.ips)] for cluster in clusters]
        print_table("", ["NAME", "KIND", "HOSTS"], rows)


def status(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Show whether a cluster is up, and what runs on it; starts nothing.

    Exit code 3 when it is not up.
    """
    with told(as_json=as_json):
        found = find(cluster)
        if not found.is_up():
            if as_json:
                print_json({"name": found.name, "up": False})
            else:
                print_line(f"{found.name} is not up. Start it with: rh up {shlex.quote(cluster)}")
            raise typer.Exit(int(Exit.NOT_UP))
        answer = found.status()
        if as_json:
            print_json({"up": True, **asdict(answer)})
        else:
            _print_status(answer)


def _print_status(answer: ClusterStatus) -> None:
    print_line(
        f"{answer.name} is up: runhouse {answer.version}, Python {answer.python_version}, server pid "
        f"{answer.pid} ({megabytes(answer.memory_bytes)}), {answer.running} running, {answer.objects} objects"
    )
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
    print_table("", ["NODE", "PLATFORM", "CPUS", "LOAD", "MEMORY FREE", "GPUS"], nodes)
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
    print_table("", columns, workers)


def up(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Make a cluster ready: connect, and start the server unless it runs."""
    with told(as_json=as_json):
        found = find(cluster).up()
        if as_json:
            print_json({"name": found.name, "up": True})
        else:
            print_line(f"{found.name} is up.")


def stop(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Stop a cluster's server with all its workers; the hardware stays as it is."""
    with told(as_json=as_json):
        found = find(cluster)
        stopped = found.stop()
        if as_json:
            print_json({"name": found.name, "stopped": stopped})
        else:
            print_line(
                f"{found.name} was stopped." if stopped else f"{found.name} was not running."
            )


def ssh(cluster: ClusterArgument, as_json: JsonOption = False) -> None:
    """Open a shell on a cluster's head.

    With --json, print the way to log in instead.
    """
    with told(as_json=as_json):
        found = find(cluster)
        if as_json:
            print_json(
                {"name": found.name, "address": found.address, "ssh_creds": found.ssh_creds()}
            )
            return
        raise typer.Exit(found.ssh())


def run(
    cluster: ClusterArgument,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="What to run there.")
    ],
    node: Annotated[str, typer.Option(help='A node\'s address, or "all".')] = "",
    as_json: JsonOption = False,
) -> None:
    """Run a shell command on a cluster; its exit code becomes this one's.

    Example: rh run box -- nvidia-smi
    """
    with told(as_json=as_json):
        line = command[0] if len(command) == 1 else shlex.join(command)
        outputs = find(cluster).run(line, stream_logs=not as_json, node=node or None)
        if as_json:
            print_json([{"exit_code": c, "stdout": out, "stderr": err} for c, out, err in outputs])
        raise typer.Exit(max(code for code, _, _ in outputs))


def logs(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Show the end of the server's and the workers' logs."""
    with told(as_json=as_json):
        text = find(cluster).logs()
        if as_json:
            print_json({"name": cluster, "logs": text})
        else:
            print_line(text.rstrip() or "There are no logs.")


def forget(
    cluster: ClusterArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a cluster's saved record and credentials; the hardware is not touched."""
    with told(as_json=as_json):
        found = Cluster.from_name(cluster)
        if not yes and not as_json:
            typer.confirm(f"Forget the cluster {cluster}?", abort=True)
        found.delete_configs()
        if as_json:
            print_json({"name": cluster, "forgotten": True})
        else:
            print_line(f"{cluster} is forgotten.")
