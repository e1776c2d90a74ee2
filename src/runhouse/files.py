"""Files and directories that only this user can enter, and how files are to be copied."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Copying:
    """Say how files are to be copied.

    Attributes:
        delete: Whether to delete in the copy what the source does not have.
        checksum: Whether files of one size and time are compared by their content.
        excludes: Patterns of names to leave out, as rsync's `--exclude` takes them.
        on_bytes: Called now and then with the bytes that are through and with those in all, which
            is 0 as long as it is not known.
    """

    delete: bool = False
    checksum: bool = False
    excludes: Sequence[str] = ()
    on_bytes: Callable[[int, int], None] | None = None


PLAINLY = Copying()


def make_private_directory(path: Path) -> None:
    """Make a directory, and every missing one above it, that only this user can enter.

    Safe to repeat, and with several processes at once. What is there already is left as it is: a
    registry may be shared on purpose.
    """
    for missing in reversed([path, *path.parents]):
        if not missing.exists():
            missing.mkdir(mode=0o700, exist_ok=True)


def private_directory(path: Path) -> Path:
    """Make a directory as `make_private_directory` does, and see that nobody else can enter it.

    Returns:
        The path itself.

    Raises:
        PermissionError: It is there already, and not a directory of this user.
    """
    make_private_directory(path)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        msg = f"{path} is not a directory of this user. Remove it, and start again."
        raise PermissionError(msg)
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


def write_private(path: Path, content: bytes, *, executable: bool = False) -> None:
    """Write a file that only this user can read, beside its place, then rename it into it.

    A crash leaves either the old file or the new one. The last of several writers wins.
    """
    make_private_directory(path.parent)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(6).hex()}")
    mode = 0o700 if executable else 0o600
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
