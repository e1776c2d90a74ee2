"""How large a project is, where its bytes are, and when that is too much to send."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runhouse.errors import ProjectTooLargeError, SyncSizeWarning
from runhouse.ssh.project import TOOL_FOLDERS

if TYPE_CHECKING:
    from pathlib import Path

    from runhouse.settings import Settings
    from runhouse.ssh.project import Listing

_MEGABYTE = 1_000_000
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Describe what of a project stays here.

    Attributes:
        path: A file, or a folder with a slash at the end.
        size_bytes: The size of all that is in it.
    """

    path: str
    size_bytes: int


def left_out(listing: Listing) -> tuple[LeftOut, ...]:
    """Return what is not sent, the largest first; of the folders of tools those at the root."""
    folders = [f"{name}/" for name in TOOL_FOLDERS if (listing.root / name).is_dir()]
    found = [LeftOut(path, _size(listing.root / path)) for path in (*listing.ignored, *folders)]
    return tuple(sorted(found, key=lambda each: (-each.size_bytes, each.path)))


def _size(path: Path) -> int:
    """Return the size of a file, or of all files in a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(
        os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH116, PTH118 - thousands of them
        for folder, _, names in os.walk(path)
        for name in names
    )


def check_size(listing: Listing, settings: Settings) -> None:
    """Warn of a large project, and refuse one that is larger than allowed.

    Raises:
        ProjectTooLargeError: It is.
    """
    size = listing.size_bytes
    if size <= min(settings.sync_warn_mb, settings.sync_max_mb) * _MEGABYTE:
        return
    folders = ", ".join(_named(path, of) for path, of in listing.largest_folders())
    what = (
        f"The project {listing.root} has {_megabytes(size)} to copy. Its largest folders are: "
        f"{folders or 'none, the files are at its root'}."
    )
    how = "Leave out what the host does not need with a .rhignore or .gitignore file"
    if size <= settings.sync_max_mb * _MEGABYTE:
        msg = f"{what} {how}, or raise RH_SYNC_WARN_MB."
        warnings.warn(msg, SyncSizeWarning, stacklevel=4)
        return
    kept = ", ".join(_named(each.path, each.size_bytes) for each in left_out(listing)[:_SHOWN])
    msg = (
        f"{what} That is more than the {settings.sync_max_mb:g} MB that are allowed, and nothing "
        f"was sent. Left out already: {kept or 'nothing'}. {how}, or raise RH_SYNC_MAX_MB; "
        "`rh sync --dry-run` shows all."
    )
    raise ProjectTooLargeError(msg, size_bytes=size)


def _named(path: str, size_bytes: int) -> str:
    return f"{path} ({_megabytes(size_bytes)})"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:.0f} MB"
