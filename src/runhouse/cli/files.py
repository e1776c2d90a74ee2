"""Commands that copy files between places, and that show a host's folder here."""

from __future__ import annotations

import contextlib
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from runhouse.cli.clusters import find_up
from runhouse.cli.output import JsonOption, counted, print_json, print_line, span, told
from runhouse.files import Copying
from runhouse.specs.folder import copy, find_place
from runhouse.specs.object_place import ObjectPlace
from runhouse.specs.places import split_url
from runhouse.specs.progress import shown

if TYPE_CHECKING:
    from runhouse.specs.folder import AnyPlace

# A cluster, or user@host, before a path; a path with a slash before its colon is one of here.
_ON_HOST = re.compile(r"([^/:]+):(.*)", re.DOTALL)
_PLACES = "CLUSTER:path, user@host:path, s3://bucket/path, or a path of this machine"


def cp(
    source: Annotated[str, typer.Argument(metavar="SRC", help=f"What to copy: {_PLACES}.")],
    dest: Annotated[str, typer.Argument(metavar="DST", help="Where to: likewise.")],
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete in the copy what SRC does not have.")
    ] = False,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Compare files of one size and time by content, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy files between here, clusters and object stores.

    A folder comes into DST under its name; with a slash at its end, what is in it does. What is
    there already is not sent again, and an interrupted copy goes on where it stopped.
    """
    with told(as_json=as_json, source=source, dest=dest):
        origin, from_path = _place(source)
        target, to_path = _place(dest)
        kind = origin.kind(from_path)
        if not kind:
            msg = f"There is no {source}. Correct the path."
            raise FileNotFoundError(msg)
        if delete and kind == "file":
            msg = "--delete is for folders. SRC is a file. Leave it out."
            raise ValueError(msg)
        contents = kind == "folder" and source.endswith(("/", ":"))
        if isinstance(origin, ObjectPlace) or isinstance(target, ObjectPlace):
            to_path = _named(origin, from_path, target, to_path, kind, contents=contents)
            contents = kind == "folder"
        elif delete and not contents:
            msg = "--delete is for what is in a folder. Write SRC with a slash at its end."
            raise ValueError(msg)
        with shown(f"{source} -> {dest}") as on_bytes:
            how = Copying(delete=delete, checksum=checksum, on_bytes=on_bytes)
            try:
                done = copy(origin, from_path, target, to_path, contents=contents, how=how)
            except KeyboardInterrupt:
                typer.echo("Interrupted. What is copied stays; the same command goes on.", err=True)
                raise
        if as_json:
            print_json(asdict(done))
            return
        resumed = done.size_bytes - done.sent_bytes
        there = f", of which {decimal(resumed)} were there" if resumed else ""
        print_line(
            f"{counted(done.files, 'file')} copied ({decimal(done.size_bytes)}{there}), "
            f"{done.deleted} deleted, in {span(done.seconds)}"
        )


def _place(text: str) -> tuple[AnyPlace, str]:
    """Return the place and the path that a user has written.

    Raises:
        ValueError: It is empty.
    """
    if not text.strip():
        msg = f"An empty path cannot be copied. Write {_PLACES}."
        raise ValueError(msg)
    system, path = split_url(text)
    if system is not None:
        return ObjectPlace(system), path
    found = _ON_HOST.fullmatch(text)
    if found is None:
        return find_place("here"), text
    return find_place(find_up(found[1])), found[2] or "."


def _named(
    origin: AnyPlace, source: str, target: AnyPlace, dest: str, kind: str, *, contents: bool
) -> str:
    """Return the path of the copy itself, where a store is one of the sides."""
    if contents or (kind == "file" and not dest.endswith("/") and target.kind(dest) != "folder"):
        return dest
    name = source.rstrip("/").rpartition("/")[2]
    return f"{dest.rstrip('/')}/{name}" if dest not in (".", "") else name


def mount(
    source: Annotated[
        str, typer.Argument(metavar="CLUSTER:PATH", help="The folder on the cluster's head.")
    ],
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="An empty folder here, made if need be.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show a folder of a cluster here until Ctrl-C; needs sshfs."""
    with told(as_json=as_json, source=source, folder=folder):
        found = _ON_HOST.fullmatch(source)
        if found is None:
            msg = f"{source!r} cannot be mounted. Write CLUSTER:PATH."
            raise ValueError(msg)
        host = find_up(found[1]).host_of()
        with host.mount(found[2] or ".", Path(folder)) as mounted:
            if as_json:
                print_json({"source": source, "folder": folder}, indent=None)
            else:
                print_line(f"{source} is at {folder}. Ctrl-C unmounts it.")
            with contextlib.suppress(KeyboardInterrupt):
                mounted.wait()
