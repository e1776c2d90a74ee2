"""Copy files between this machine and hosts behind SSH, and between two of these."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runhouse.ssh.between import Between
from runhouse.ssh.host_paths import remote_path
from runhouse.ssh.rsync import NoRsyncError
from runhouse.ssh.sync import SyncReport, download, report, upload

if TYPE_CHECKING:
    from runhouse.files import Copying
    from runhouse.ssh.session import Session


def copy_files(
    session: Session,
    python: str,
    source: str,
    dest: str,
    *,
    up: bool,
    contents: bool,
    how: Copying,
) -> SyncReport:
    """Copy files between this machine and a host.

    Args:
        session: The session to the host.
        python: The host's Python, used where there is no rsync.
        source: What to copy; on the host when `up` is off.
        dest: Where to, as rsync takes it.
        up: Whether to copy to the host.
        contents: Whether to copy what is in a folder, not the folder.
        how: What else is asked for.

    Raises:
        ConnectError: There is no connection.
        FileNotFoundError: There is no such file here.
        SyncError: Something could not be copied.
    """
    options: dict[str, Any] = {
        "contents": contents,
        "delete": how.delete,
        "filters": [f"- {pattern}" for pattern in how.excludes],
        "python": python,
        "checksum": how.checksum,
        "on_bytes": how.on_bytes,
    }
    if up:
        return upload(session, Path(source).expanduser(), dest, **options)
    # A text, as a slash at its end says that it is a folder.
    return download(session, source, os.path.expanduser(dest), **options)


def copy_between(
    origin: Session, target: Session, source: str, dest: str, how: Copying
) -> SyncReport | None:
    """Copy files from one host to another; return None where one of them has no rsync.

    Args:
        origin: The session to the first host.
        target: The session to the second host.
        source: A file or folder; one with a slash at its end stands for its contents.
        dest: The folder into which it comes, made if need be.
        how: What else is asked for.

    Raises:
        ConnectError: One of them cannot be reached.
        SyncError: Something could not be copied.
    """
    started = time.monotonic()
    between = Between(
        origin,
        target,
        remote_path(source),
        remote_path(dest),
        delete=how.delete,
        checksum=how.checksum,
        on_bytes=how.on_bytes,
    )
    try:
        return report(between.run(), started)
    except NoRsyncError:
        return None
