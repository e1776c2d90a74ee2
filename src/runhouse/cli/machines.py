"""Commands that bring clusters up and stop them; of cloud machines, also what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from runhouse.cli.clusters import ClusterArgument, cluster_names, find
from runhouse.cli.output import (
    JsonOption,
    confirm,
    dollars,
    exit_code,
    print_error,
    print_json,
    print_line,
    print_table,
    span,
    told,
)
from runhouse.clusters.cloud import Stops  # noqa: TC001 - typer reads the annotations
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.costs import all_costs
from runhouse.clusters.factory import ondemand_cluster
from runhouse.clusters.launched import LaunchedCluster
from runhouse.clusters.launching import say
from runhouse.clusters.local import LOCAL_NAME, LocalCluster
from runhouse.clusters.saved import save_new
from runhouse.errors import RunhouseError

if TYPE_CHECKING:
    from runhouse.clusters.on_demand import OnDemandCluster

_DAYS = 30


def _text(metavar: str, meaning: str) -> Any:
    return typer.Option(metavar=metavar, help=meaning)


def up(
    cluster: ClusterArgument = LOCAL_NAME,
    instance_type: Annotated[
        str | None, _text("TYPE", "Each machine: m5.xlarge, A100:4 or CPU:8.")
    ] = None,
    num_instances: Annotated[int | None, _text("N", "How many machines.")] = None,
    provider: Annotated[
        str | None, _text("CLOUD", "aws, gcp, azure, kubernetes, ...; cheapest is any of them.")
    ] = None,
    region: Annotated[str | None, _text("REGION", "Region of the cloud.")] = None,
    gpus: Annotated[str | None, _text("GPUS", "Accelerators of each machine: A100:4.")] = None,
    num_cpus: Annotated[str | None, _text("N", "Virtual CPUs of each; 8+ is at least 8.")] = None,
    memory: Annotated[str | None, _text("GIB", "Memory of each; 16+ is at least 16.")] = None,
    disk_size: Annotated[int | None, _text("GIB", "Disk of each.")] = None,
    image_id: Annotated[str | None, _text("IMAGE", "Machine image, or docker:IMAGE.")] = None,
    use_spot: Annotated[
        bool, typer.Option("--use-spot", help="Cheaper; the cloud may take them at any time.")
    ] = False,
    open_port: Annotated[
        list[str] | None, _text("PORT", "Open to the internet: 8080 or 9000-9010; repeatable.")
    ] = None,
    label: Annotated[list[str] | None, _text("K=V", "Tag of the machines; repeatable.")] = None,
    autostop_mins: Annotated[
        int | None, _text("N", "Idle minutes after which they go; -1: never.")
    ] = None,
    autostop: Annotated[
        Stops | None, typer.Option(help="What becomes of idle ones; stop keeps their disks.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a cluster ready for calls; safe to repeat.

    Connects, and starts its server unless that runs. Machines of a cloud are launched, or started.

    With options, they are the definition of a cluster of cloud machines, which is saved first.
    """
    given: dict[str, Any] = {
        "instance_type": instance_type,
        "num_instances": num_instances,
        "provider": provider,
        "region": region,
        "gpus": gpus,
        "num_cpus": num_cpus,
        "memory": memory,
        "disk_size": disk_size,
        "image_id": image_id,
        "use_spot": use_spot or None,
        "open_ports": [int(port) if port.isdecimal() else port for port in open_port or ()] or None,
        "autostop_mins": autostop_mins,
        "autostop": autostop,
    }
    with told(as_json=as_json, name=cluster, up=False):
        given["labels"] = _labels(label or ()) or None
        chosen = {key: value for key, value in given.items() if value is not None}
        found = _define(cluster, chosen) if chosen else find(cluster)
        found.up()
        _say_up(cluster, as_json=as_json)


def _labels(given: list[str] | tuple[()]) -> dict[str, str]:
    """Return tags by name.

    Raises:
        ValueError: One has no name.
    """
    pairs = [each.partition("=") for each in given]
    for key, sign, value in pairs:
        if not key or not sign:
            msg = (
                f"The label {key + value!r} cannot be used. It is no pair of a name and a value. "
                "Write --label team=vision."
            )
            raise ValueError(msg)
    return {key: value for key, _, value in pairs}


def _define(name: str, given: dict[str, Any]) -> OnDemandCluster:
    """Define a cluster of cloud machines, and save it."""
    made = ondemand_cluster(name, **given)
    replaced = save_new(made)
    if replaced is not None:
        say(f"The saved definition of {name} was replaced. It was: {replaced.wanted}.")
    return made


def _say_up(name: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "up": True})
    else:
        print_line(f"{name} is up.")


def start(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Start what `rh stop` has stopped; safe to repeat.

    Machines of a cloud come back with their disks, maybe at other addresses; ones that are gone are
    launched anew. Elsewhere, the server is started.
    """
    with told(as_json=as_json, name=cluster, up=False):
        find(cluster).up()
        _say_up(cluster, as_json=as_json)


def stop(cluster: ClusterArgument = LOCAL_NAME, as_json: JsonOption = False) -> None:
    """Stop a cluster's machines, or the server there.

    Machines of a cloud are stopped, and keep their disks, which cost a little. Hosts of your own
    stay as they are; their server is stopped. Running calls and what is in memory are lost.
    """
    with told(as_json=as_json, name=cluster):
        stopped = find(cluster).stop()
        if as_json:
            print_json({"name": cluster, "stopped": stopped})
        else:
            print_line(f"{cluster} was stopped." if stopped else f"{cluster} was not running.")


def down(
    clusters: Annotated[
        list[str],
        typer.Argument(
            metavar="CLUSTER...",
            help="Clusters of cloud machines.",
            autocompletion=cluster_names,
        ),
    ],
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete the saved definition too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove machines of a cloud; safe to repeat.

    All that is on them is lost. The definitions are kept: `rh up` launches such machines again.
    """
    with told(as_json=as_json, names=clusters):
        found = [_of_machines(name) for name in dict.fromkeys(clusters)]
        names = ", ".join(each.name for each in found)
        question = f"Remove the machines of {names}, with all that is on them?"
        confirm(question, f"{names}: nothing was removed.", yes=yes, as_json=as_json)
        removed = [_remove(each, forget=forget, as_json=as_json) for each in found]
        if as_json:
            print_json([report for report, _ in removed])
        for _, error in removed:
            if error is not None:
                raise typer.Exit(exit_code(error))


def _remove(
    cluster: LaunchedCluster, *, forget: bool, as_json: bool
) -> tuple[dict[str, Any], RunhouseError | None]:
    """Remove the machines of one of several clusters, and tell of it.

    Returns:
        What the JSON document says about it; and its error, which is told and not raised: the
        others cost too.
    """
    try:
        if forget:
            cluster.teardown_and_delete()
        else:
            cluster.teardown()
    except RunhouseError as error:
        print_error(str(error))
        facts = {"error": type(error).__name__, "message": str(error)}
        return {"name": cluster.name, "down": False, **facts}, error
    if not as_json:
        print_line(f"{cluster.name} is down{', and forgotten' if forget else ''}.")
    return {"name": cluster.name, "down": True, "forgotten": forget}, None


def _of_machines(name: str) -> LaunchedCluster:
    """Return a cluster whose machines can be removed.

    Raises:
        ValueError: It is of hosts that nobody has launched.
    """
    found = find(name)
    if isinstance(found, LaunchedCluster):
        return found
    what, more = "is of hosts of your own", f"; `rh forget {name}` deletes what is saved"
    if isinstance(found, LocalCluster):
        what, more = "is this machine", ""
    msg = (
        f"Nothing was removed. {name} {what}, and there is nothing to tear down. `rh stop {name}` "
        f"stops the server there{more}."
    )
    raise ValueError(msg)


def keep_warm(
    cluster: ClusterArgument,
    mins: Annotated[
        int, typer.Option(metavar="N", help="Idle minutes after which it goes; -1: never.")
    ] = -1,
    as_json: JsonOption = False,
) -> None:
    """Say after how many idle minutes machines go.

    Without --mins, they never go by themselves. If the cluster is saved, this is too. Hosts of your
    own never stop by themselves.
    """
    with told(as_json=as_json, name=cluster):
        found = find(cluster).keep_warm(mins)
        launched = isinstance(found, LaunchedCluster)
        if launched and cluster in Cluster.list():
            found.save()
        minutes = mins if launched else -1
        if as_json:
            print_json({"name": cluster, "autostop_mins": minutes})
        elif minutes < 0:
            print_line(f"{cluster} does not go by itself.")
        else:
            print_line(f"{cluster} goes after {minutes} idle minutes.")


def cost(
    days: Annotated[
        int, typer.Option(metavar="N", min=1, help="Count clusters used in the last N days.")
    ] = _DAYS,
    as_json: JsonOption = False,
) -> None:
    """Show what machines of a cloud have cost.

    Those that are there, and those that have gone since, as SkyPilot estimates it, and SageMaker's
    price list for the jobs of saved clusters. What is to be paid is in the clouds' own bills.
    """
    with told(as_json=as_json):
        show_costs(all_costs(days), days, as_json=as_json)


def show_costs(found: list[dict[str, Any]], days: int, *, as_json: bool) -> None:
    """Print what each cluster has cost, and all of them together."""
    total = sum(each["cost"] or 0.0 for each in found)
    if as_json:
        print_json({"days": days, "total": total, "clusters": found})
        return
    rows = [
        [each["name"], each["state"], span(each["seconds"]), dollars(each["cost"])]
        + [each["machines"]]
        for each in found
    ]
    print_table(["NAME", "STATE", "UP FOR", "COST", "MACHINES"], rows)
    print_line(f"Total: {dollars(total)}")
