"""Objects on disk: what was put with `persist=True`, so that it survives a restart.

A file holds one frame: the message says to which env and code the object belongs, so that the
server can tell without reading it; the body is the pickled object.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from runhouse.files import private_directory
from runhouse.wire import frames, stored
from runhouse.wire.frames import Frame
from runhouse.wire.pickling import loads_frame
from runhouse.worker.code import add_import_roots

if TYPE_CHECKING:
    from pathlib import Path

    from runhouse.wire.pickling import Pickled

KIND = 0


def save(path: Path, meta: dict[str, object], pickled: Pickled) -> None:
    """Write an object's file beside its place, then rename it into it.

    Raises:
        OSError: It cannot be written; an earlier file of the key is still there.
    """
    beside = private_directory(path.parent) / f".{os.getpid()}.{os.urandom(8).hex()}"
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            frame = Frame(KIND, meta, pickled.body, pickled.buffers)
            stored.append(file, frames.encode(frame))
            os.fsync(file)
        finally:
            os.close(file)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def load(path: Path) -> Any:
    """Return the object in a file.

    Raises:
        EOFError: The file was cut short.
    """
    with path.open("rb") as file:
        prefix = frames.Prefix.parse(file.read(frames.PREFIX_SIZE))
        meta, sizes = prefix.split(memoryview(file.read(prefix.head_size)))
        add_import_roots(cast("list[str]", meta.get("import_roots", [])))
        body = file.read(prefix.body_size)
        buffers = []
        for size in sizes:
            memory, view = size.allocate()
            if file.readinto(view) != size:
                msg = f"The file {path.name} was cut short."
                raise EOFError(msg)
            buffers.append(memory)
    return loads_frame(Frame(prefix.kind, meta, body, buffers))
