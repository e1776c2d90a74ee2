"""Copy files on this machine: what is the same already is not copied again."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from runhouse.ssh import copying
from runhouse.ssh.rsync import Counts

if TYPE_CHECKING:
    from pathlib import Path

    from runhouse.files import Copying

_PART = ".rh-part"


def copy_here(origin: Path, place: Path, how: Copying) -> Counts:
    """Copy a file or a folder so that `place` is its copy.

    Each file is written beside its place and renamed.

    Raises:
        OSError: Something cannot be read or written.
    """
    if not origin.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and _same(origin, place, _row(origin), _row(place), how):
            return Counts(0, 0, 0)
        _copy(origin, place)
        size = place.stat().st_size
        return Counts(1, size, 0, size)
    wanted = {
        path: row
        for path, row in copying.scan(str(origin), [], []).items()
        if not _is_left_out(path, how)
    }
    there = copying.scan(str(place), [], [])
    total = sum(int(row[3]) for row in wanted.values())
    place.mkdir(parents=True, exist_ok=True)
    files, size_bytes, done = 0, 0, 0
    for path, row in wanted.items():
        known = there.get(path)
        done += int(row[3])
        if known is None or not _same(origin / path, place / path, row, known, how):
            _make(origin / path, place / path, row)
            if row[0] == "file":
                files, size_bytes = files + 1, size_bytes + int(row[3])
        if how.on_bytes is not None:
            how.on_bytes(done, total)
    gone = [path for path in there if path not in wanted and not _is_left_out(path, how)]
    for path in sorted(gone if how.delete else [], reverse=True):
        copying.remove(str(place / path))
    return Counts(files, size_bytes, len(gone) if how.delete else 0, size_bytes)


def _is_left_out(path: str, how: Copying) -> bool:
    parts = path.split("/")
    return any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in how.excludes)


def _row(path: Path) -> list[Any]:
    facts = path.stat()
    return ["file", facts.st_mode & 0o7777, facts.st_mtime_ns, facts.st_size, ""]


def _same(origin: Path, place: Path, row: list[Any], known: list[Any], how: Copying) -> bool:
    if row != known:
        return False
    return row[0] != "file" or not how.checksum or _digest(origin) == _digest(place)


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def _make(origin: Path, place: Path, row: list[Any]) -> None:
    """Make one entry of a folder, in place of whatever else has its name."""
    kind, mode = row[0], row[1]
    is_folder = place.is_dir() and not place.is_symlink()
    if is_folder and kind != "folder":
        copying.remove(str(place), with_content=True)
    if kind == "folder":
        if not is_folder:
            copying.remove(str(place))
            place.mkdir()
        place.chmod(mode | 0o700)
    elif kind == "link":
        copying.remove(str(place))
        place.symlink_to(os.readlink(origin))
    else:
        _copy(origin, place)


def _copy(origin: Path, place: Path) -> None:
    part = place.with_name(f"{place.name}.{os.getpid()}{_PART}")
    try:
        shutil.copy2(origin, part)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
