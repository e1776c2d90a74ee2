"""Commands about the objects that a cluster keeps."""

from __future__ import annotations

import json
import pickle
from typing import Annotated, Any

import typer

from runhouse.cli.clusters import ClusterArgument, find, find_up
from runhouse.cli.output import JsonOption, print_json, print_line, remote_errors_told, told
from runhouse.client.endpoint import Target
from runhouse.clusters.calls import NO_ARGUMENTS, CallOptions
from runhouse.clusters.local import LOCAL_NAME
from runhouse.errors import ObjectNotFoundError
from runhouse.wire.pickling import dumps_whole

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The key of an object.")]
EnvOption = Annotated[str | None, typer.Option(metavar="ENV", help="The env of its worker.")]


def keys(
    cluster: ClusterArgument = LOCAL_NAME, env: EnvOption = None, as_json: JsonOption = False
) -> None:
    """List the keys of a cluster's objects, one on a line."""
    with told(as_json=as_json, name=cluster):
        found = find_up(cluster).keys(env)
        if as_json:
            print_json(found)
            return
        for key in found:
            print_line(key)


def get(
    cluster: ClusterArgument,
    key: KeyArgument,
    output: Annotated[
        typer.FileBinaryWrite | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write a pickle of it; - is stdout."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a stored object as Python does, or copy it into a file."""
    facts: dict[str, Any] = {"name": cluster, "key": key}
    with told(as_json=as_json, **facts):
        calls = find_up(cluster).calls
        with remote_errors_told(as_json=as_json, **facts):
            # What is only shown is written there, where its class is known.
            answer = "pickle" if output is not None else "json" if as_json else "repr"
            options = CallOptions(logs=False)
            value = calls.call(Target(key=key), "get", key, NO_ARGUMENTS, options, answer=answer)
            if output is not None:
                output.write(dumps_whole(value, what="the object"))
            elif as_json:
                print_json(value)
            else:
                print_line(value)


def put(
    cluster: ClusterArgument,
    key: KeyArgument,
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="The object, as JSON.")
    ] = None,
    file: Annotated[
        typer.FileBinaryRead | None,
        typer.Option("--file", "-f", metavar="FILE", help="A file that holds it; - is stdin."),
    ] = None,
    is_pickle: Annotated[
        bool, typer.Option("--pickle", help="The file is a pickle, which is loaded here.")
    ] = False,
    env: EnvOption = None,
    persist: Annotated[
        bool, typer.Option("--persist", help="Keep it on the host's disk too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep an object on a cluster, in memory.

    An earlier object of the key is replaced.
    """
    facts: dict[str, Any] = {"name": cluster, "key": key}
    with told(as_json=as_json, **facts):
        if (value is None) is (file is None) or (is_pickle and file is None):
            msg = (
                f"{key} was not put. It is not clear what is meant. Give one VALUE, or "
                "--file FILE, which may be a --pickle."
            )
            raise ValueError(msg)
        data = file.read() if file is not None else str(value).encode()
        given = _unpickled(key, data) if is_pickle else _parsed(key, data)
        find(cluster).put(key, given, env, persist=persist)
        if as_json:
            print_json({**facts, "put": True})
        else:
            print_line(f"{key} was put.")


def _parsed(key: str, data: bytes) -> Any:
    """Return a JSON value.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = (
            f"{key} was not put. The value is not JSON: {error}. Put a text in double quotes, "
            "as in '\"text\"'."
        )
        raise ValueError(msg) from error


def _unpickled(key: str, data: bytes) -> Any:
    """Return what a pickle holds.

    Raises:
        ValueError: It cannot be loaded here.
    """
    try:
        return pickle.loads(data)  # noqa: S301 - the user's own file, by the user's wish
    except Exception as error:
        msg = (
            f"{key} was not put. The file is no pickle, or needs what is not here: "
            f"{type(error).__name__}: {error}. Make it with pickle.dump()."
        )
        raise ValueError(msg) from error


def delete(
    cluster: ClusterArgument,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="The keys of objects.")],
    as_json: JsonOption = False,
) -> None:
    """Delete objects from a cluster.

    In whichever env they are. Nothing is deleted when one of them is not there.
    """
    with told(as_json=as_json, name=cluster, keys=keys):
        found = find_up(cluster)
        missing = sorted(set(keys).difference(found.keys()))
        if missing:
            msg = (
                f"Nothing was deleted. {cluster} has no {', '.join(missing)}. Look at `rh keys`, "
                "and leave out what is not there."
            )
            raise ObjectNotFoundError(msg, key=missing[0])
        found.delete(keys)
        if as_json:
            print_json({"name": cluster, "deleted": keys})
        else:
            print_line(f"{', '.join(keys)} deleted.")


def rename(
    cluster: ClusterArgument,
    old: KeyArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new key.")],
    as_json: JsonOption = False,
) -> None:
    """Give an object another key; it stays where it is."""
    with told(as_json=as_json, name=cluster, key=old):
        find_up(cluster).rename(old, new)
        if as_json:
            print_json({"name": cluster, "key": new})
        else:
            print_line(f"{old} is {new} now.")
