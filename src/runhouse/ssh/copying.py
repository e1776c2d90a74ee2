"""Copy a tree in one stream: what differs goes over, what is gone goes.

The same file runs on both sides; a host gets it as the text of `python -c`. It needs nothing but
the standard library. Names travel as JSON, where bytes that are not UTF-8 are lone surrogates.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import struct
import sys
from typing import IO, Any

# A path from the root -> [kind, mode, mtime_ns, size, target of a link]
Manifest = dict[str, list[Any]]
_CHUNK = 1 << 20
_MARK = ".rh-part"


def scan(root: str, left_out: list[str], names_left_out: list[str]) -> Manifest:
    """List a tree.

    Args:
        root: Its directory; one that is not there is empty.
        left_out: Paths from the root to leave out; folders end with a slash.
        names_left_out: Names of folders to leave out wherever they are.

    Returns:
        One row for each file, link and folder.
    """
    paths, names = frozenset(left_out), frozenset(names_left_out)
    found: Manifest = {}
    pending = [""] if os.path.isdir(root) else []
    while pending:
        prefix = pending.pop()
        with os.scandir(os.path.join(root, prefix)) as entries:
            for entry in entries:
                path = prefix + entry.name
                facts = entry.stat(follow_symlinks=False)
                mode = stat.S_IMODE(facts.st_mode)
                if stat.S_ISDIR(facts.st_mode):
                    if entry.name in names or path + "/" in paths:
                        continue
                    found[path] = ["folder", mode, 0, 0, ""]
                    pending.append(path + "/")
                elif path in paths:
                    continue
                elif stat.S_ISLNK(facts.st_mode):
                    found[path] = ["link", 0, 0, 0, os.readlink(entry.path)]
                elif stat.S_ISREG(facts.st_mode):
                    found[path] = ["file", mode, facts.st_mtime_ns, facts.st_size, ""]
    return found


def pack(root: str, wanted: Manifest, removed: list[str], out: IO[bytes]) -> None:
    """Write what is to be made and removed, then the contents of the files one after another."""
    sizes = {}
    for path, row in wanted.items():
        if row[0] == "file":
            facts = os.stat(os.path.join(root, path))
            sizes[path] = facts.st_size
            row[2:4] = [facts.st_mtime_ns, facts.st_size]
    head = json.dumps({"wanted": wanted, "removed": removed}).encode("ascii")
    out.write(struct.pack(">Q", len(head)) + head)
    for path, size in sizes.items():
        with open(os.path.join(root, path), "rb") as file:
            while size:
                chunk = file.read(min(size, _CHUNK))
                if not chunk:
                    raise OSError(0, "it became shorter while it was read", path)
                out.write(chunk)
                size -= len(chunk)


def unpack(root: str, source: IO[bytes]) -> None:
    """Make and remove what a stream of `pack` says; each file is written beside and renamed."""
    (length,) = struct.unpack(">Q", _exactly(source, 8))
    plan = json.loads(_exactly(source, length))
    for path in sorted(plan["removed"], reverse=True):
        remove(os.path.join(root, path))
    os.makedirs(root, exist_ok=True)
    wanted: Manifest = plan["wanted"]
    folders = []
    for path, (kind, mode, mtime_ns, size, target) in sorted(
        wanted.items(), key=lambda item: (item[1][0] != "folder", 0)
    ):
        place = os.path.join(root, path)
        if kind == "folder":
            if os.path.islink(place) or not os.path.isdir(place):
                remove(place, with_content=True)
                os.makedirs(place)
            os.chmod(place, mode | stat.S_IRWXU)
            folders.append((place, mode))
            continue
        if os.path.isdir(place) and not os.path.islink(place):
            remove(place, with_content=True)
        if kind == "link":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place + _MARK)
            os.symlink(target, place + _MARK)
        else:
            _write(source, size, place + _MARK)
            os.chmod(place + _MARK, mode)
            os.utime(place + _MARK, ns=(mtime_ns, mtime_ns))
        os.replace(place + _MARK, place)
    for place, mode in reversed(folders):
        os.chmod(place, mode)


def _write(source: IO[bytes], size: int, place: str) -> None:
    """Take the next bytes of the stream into a file of their own."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "wb") as file:
        while size:
            chunk = _exactly(source, min(size, _CHUNK))
            file.write(chunk)
            size -= len(chunk)


def _exactly(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        msg = "the stream ended too early"
        raise EOFError(msg)
    return data


def remove(place: str, *, with_content: bool = False) -> None:
    """Remove a file or a folder; one that still holds something is kept unless told otherwise."""
    if os.path.isdir(place) and not os.path.islink(place):
        if with_content:
            shutil.rmtree(place)
            return
        with contextlib.suppress(OSError):
            os.rmdir(place)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)


def main(action: str, root: str) -> None:
    """Do one action on the host, with the arguments and the stream on standard input."""
    if action == "unpack":
        unpack(root, sys.stdin.buffer)
        return
    request = json.loads(sys.stdin.buffer.read())
    if action == "scan":
        found = scan(root, request["left_out"], request["names_left_out"])
        sys.stdout.write(json.dumps([os.path.isdir(root), found]))
    else:
        pack(root, request["wanted"], [], sys.stdout.buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])
