"""Copy files and projects to and from a host: by rsync, or without it where there is none."""

from __future__ import annotations

import json
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from weakref import WeakSet

from runhouse.errors import CommandFailedError, SyncError
from runhouse.ssh import copying
from runhouse.ssh.command import quote
from runhouse.ssh.host_paths import literal, remote_path
from runhouse.ssh.project import TOOL_FOLDERS, FileEntry, Listing, list_project
from runhouse.ssh.project_size import check_size
from runhouse.ssh.rsync import Counts, NoRsyncError, Rsync, anchored

if TYPE_CHECKING:
    from runhouse.ssh.copying import Manifest
    from runhouse.ssh.rsync import OnBytes
    from runhouse.ssh.session import Session

__all__ = [
    "FileEntry",
    "Listing",
    "SyncReport",
    "download",
    "list_project",
    "mirror_project",
    "upload",
]

_WITHOUT_RSYNC: WeakSet[Session] = WeakSet()
_COPYING_SOURCE = Path(copying.__file__)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Say what a copy did.

    Attributes:
        files: How many files were transferred, those that were the same not counted.
        size_bytes: The sum of their sizes.
        deleted: How many files, links and folders were deleted.
        seconds: How long it took.
        sent_bytes: What of the sizes travelled; the rest was there already.
    """

    files: int
    size_bytes: int
    deleted: int
    seconds: float
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Mirrored:
    """Say what of a project is on a host now, and what was done for it.

    Attributes:
        listing: What the project consists of.
        report: What was copied.
    """

    listing: Listing
    report: SyncReport


def upload(
    session: Session,
    source: Path | str,
    dest: str,
    *,
    contents: bool = False,
    delete: bool = False,
    filters: Sequence[str] = (),
    python: str | None = None,
    on_progress: Callable[[str], None] | None = None,
    checksum: bool = False,
    on_bytes: OnBytes | None = None,
) -> SyncReport:
    """Copy a file or a directory to the host; what is the same there is not sent again.

    A transfer that was interrupted goes on where it stopped, within a file as well (by rsync).

    Args:
        session: The session to the host.
        source: What to copy.
        dest: Directory on the host to copy into, made if need be; a path that is not absolute
            starts at the home directory. For a file, a path without a slash at the end that is
            no directory is the file's new path.
        contents: Whether to copy what is in the directory rather than the directory.
        delete: Whether to delete in the copy what the source does not have.
        filters: Rules of `rsync --filter`.
        python: A Python >= 3.10 on the host, used where there is no rsync.
        on_progress: Called with each name that is transferred (by rsync).
        checksum: Whether files of one size and time are compared by their content (by rsync).
        on_bytes: Called with the bytes that are through and those in all (by rsync).

    Raises:
        FileNotFoundError: There is no `source`.
        ConnectError: There is no connection.
        SyncError: Something could not be copied.
    """
    started = time.monotonic()
    local = Path(source).expanduser().absolute()
    if not local.exists():
        msg = f"{local} cannot be copied. There is no such file here. Give one that exists."
        raise FileNotFoundError(msg)
    remote = remote_path(dest)
    _check_filters(filters)
    if local.is_file():
        into = remote.endswith("/") or remote == "."
        make = remote if into else remote.rpartition("/")[0] or "."
        rsync = Rsync(
            session,
            filters=filters,
            on_progress=on_progress,
            checksum=checksum,
            resumable=True,
            on_bytes=on_bytes,
        )
        counts = _try_rsync(session, lambda: rsync.push(str(local), remote, make=make))
        if counts is None:
            counts = _send_file(session, local, remote)
    else:
        rsync = Rsync(
            session,
            delete,
            filters,
            on_progress=on_progress,
            checksum=checksum,
            resumable=True,
            on_bytes=on_bytes,
        )
        name = f"{local}/" if contents else str(local)
        counts = _try_rsync(session, lambda: rsync.push(name, remote, make=remote))
        if counts is None:
            root = remote if contents else f"{remote.rstrip('/') or '/'}/{local.name}"
            copy = _Copy(session, python, delete, filters)
            counts = copy.push(local, root, copying.scan(str(local), [], []), [], [])
    return report(counts, started)


def download(
    session: Session,
    source: str,
    dest: Path | str,
    *,
    contents: bool = False,
    delete: bool = False,
    filters: Sequence[str] = (),
    python: str | None = None,
    checksum: bool = False,
    on_bytes: OnBytes | None = None,
) -> SyncReport:
    """Copy a file or a directory from the host; the arguments are those of `upload`, mirrored.

    Raises:
        ConnectError: There is no connection.
        SyncError: Something could not be copied.
    """
    started = time.monotonic()
    remote = remote_path(source)
    _check_filters(filters)
    local = Path(dest).expanduser().absolute()
    as_folder = contents or str(dest).endswith("/") or local.is_dir()
    (local if as_folder else local.parent).mkdir(parents=True, exist_ok=True)
    rsync = Rsync(session, delete, filters, checksum=checksum, resumable=True, on_bytes=on_bytes)
    start = remote.rstrip("/") + "/" if contents else remote.rstrip("/") or "/"
    place = f"{local}/" if as_folder else str(local)
    counts = _try_rsync(session, lambda: rsync.pull(literal(start), place))
    if counts is None:
        counts = _Copy(session, python, delete, filters).pull(remote, local, contents=contents)
    return report(counts, started)


def mirror_project(
    session: Session,
    root: Path,
    dest: str,
    *,
    python: str | None = None,
    like: str | None = None,
    dry_run: bool = False,
    listing: Listing | None = None,
) -> Mirrored:
    """Make a directory on the host the same as a project here.

    What `list_project` leaves out is not sent, and stays on the host if it is there; all else that
    the project does not have is deleted there.

    Args:
        session: The session to the host.
        root: The project's directory.
        dest: Its copy on the host, made if need be.
        python: A Python >= 3.10 on the host, used where there is no rsync.
        like: A directory beside `dest` that may have the same files, which are taken from there.
        dry_run: Whether to copy nothing, and only say what would be.
        listing: What the project consists of, where that is known already.

    Raises:
        ConnectError: There is no connection.
        ProjectTooLargeError: It is larger than the settings allow.
        SyncError: Something could not be copied.
    """
    started = time.monotonic()
    remote = remote_path(dest)
    listing = listing or list_project(root)
    if not dry_run:
        check_size(listing, session.settings)
    excludes = [f"{name}/" for name in TOOL_FOLDERS] + [anchored(path) for path in listing.ignored]
    rsync = Rsync(
        session, delete=True, excludes=excludes, exact_times=True, like=like, dry_run=dry_run
    )
    counts = _try_rsync(session, lambda: rsync.push(f"{listing.root}/", remote, make=remote))
    if counts is None:
        left_out, names = list(listing.ignored), list(TOOL_FOLDERS)
        wanted = copying.scan(str(listing.root), left_out, names)
        copy = _Copy(session, python, delete=True, dry_run=dry_run)
        counts = copy.push(listing.root, remote, wanted, left_out, names)
    return Mirrored(listing, report(counts, started))


@dataclass(frozen=True, slots=True)
class _Copy:
    """Copy trees where there is no rsync, by our own program on both sides."""

    session: Session
    python: str | None
    delete: bool = False
    filters: Sequence[str] = ()
    dry_run: bool = False

    def push(
        self, local: Path, remote: str, wanted: Manifest, left_out: list[str], names: list[str]
    ) -> Counts:
        _, there = self._scan(remote, left_out, names)
        changed = {path: row for path, row in wanted.items() if there.get(path) != row}
        removed = [path for path in there if path not in wanted] if self.delete else []
        if (changed or removed or not there) and not self.dry_run:
            with tempfile.TemporaryFile() as stream:
                copying.pack(str(local), changed, removed, stream)
                stream.flush()
                self._run("unpack", remote, _mapped(stream))
        return _counts(changed, removed)

    def pull(self, remote: str, local: Path, *, contents: bool) -> Counts:
        is_folder, found = self._scan(remote, [], [])
        if not is_folder:
            return self._pull_file(remote, local)
        root = local if contents else local / Path(remote).name
        here = copying.scan(str(root), [], [])
        changed = {path: row for path, row in found.items() if here.get(path) != row}
        removed = [path for path in here if path not in found] if self.delete else []
        with tempfile.TemporaryFile() as stream:
            self._run("pack", remote, _json({"wanted": changed}), stdout_to=stream)
            stream.seek(0)
            copying.unpack(str(root), stream)
        for path in sorted(removed, reverse=True):
            copying.remove(str(root / path))
        return _counts(changed, removed)

    def _pull_file(self, remote: str, local: Path) -> Counts:
        place = local / Path(remote).name if local.is_dir() else local
        draft = place.with_name(f"{place.name}.{os.getpid()}.part")
        try:
            with draft.open("wb") as file:
                line = f"cat -- {quote(remote)}"
                self.checked(line, b"", stdout_to=file)
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
        size = place.stat().st_size
        return Counts(1, size, 0, size)

    def _scan(self, remote: str, left_out: list[str], names: list[str]) -> tuple[bool, Manifest]:
        request = _json({"left_out": left_out, "names_left_out": names})
        is_folder, found = json.loads(self._run("scan", remote, request))
        return is_folder, found

    def _run(
        self, action: str, remote: str, data: bytes | memoryview, stdout_to: IO[bytes] | None = None
    ) -> str:
        label = self.session.target.label
        if self.filters:
            msg = (
                f"Files could not be copied with filters to or from {label}. Only rsync knows "
                "filters, and one side has none. Install rsync, or leave the filters out."
            )
            raise SyncError(msg)
        if self.python is None:
            msg = (
                f"Files could not be copied to or from {label}. One side has no rsync, and no "
                "Python of the host is known. Install rsync there (Debian: apt install rsync)."
            )
            raise SyncError(msg)
        source = _COPYING_SOURCE.read_text(encoding="utf-8")
        words = [self.python, "-c", source, action, remote]
        return self.checked(" ".join(quote(word) for word in words), data, stdout_to)

    def checked(
        self, line: str, data: bytes | memoryview, stdout_to: IO[bytes] | None = None
    ) -> str:
        """Run a line on the host; one that fails is a `SyncError`."""
        try:
            completed = self.session.run(line, input=data, stdout_to=stdout_to, check=True)
        except CommandFailedError as error:
            tail = error.stderr_tail.strip().splitlines()[-1:] or ["nothing"]
            msg = (
                f"Files could not be copied to or from {self.session.target.label}. The host's "
                f"side ended with code {error.exit_code}. It wrote: {tail[0]}"
            )
            raise SyncError(msg) from error
        return completed.stdout


def _send_file(session: Session, local: Path, remote: str) -> Counts:
    """Send one file by the shell alone; it is written beside its place and renamed."""
    script = (
        'd=$1; case $d in */|.) mkdir -p -- "$d" && d=$d/$2 ;; *) if [ -d "$d" ]; then d=$d/$2; '
        'else mkdir -p -- "$(dirname -- "$d")"; fi ;; esac; '
        'cat >"$d.rh-part" && chmod "$3" "$d.rh-part" && mv -f -- "$d.rh-part" "$d"'
    )
    mode = f"{local.stat().st_mode & 0o7777:o}"
    words = ["sh", "-c", script, "sh", remote, local.name, mode]
    size = local.stat().st_size
    line = " ".join(quote(word) for word in words)
    copy = _Copy(session, None)
    if not size:
        copy.checked(line, b"")
        return Counts(1, 0, 0, 0)
    with local.open("rb") as file:
        copy.checked(line, _mapped(file))
    return Counts(1, size, 0, size)


def _try_rsync(session: Session, copy: Callable[[], Counts]) -> Counts | None:
    """Return what rsync did, or None where it cannot be used, which is then remembered."""
    if session in _WITHOUT_RSYNC:
        return None
    try:
        return copy()
    except NoRsyncError:
        _WITHOUT_RSYNC.add(session)
        return None


def _check_filters(filters: object) -> None:
    if isinstance(filters, str) or not isinstance(filters, Sequence):
        kind = type(filters).__name__
        msg = f"The filters cannot be used. They are of type {kind}. Give a list of rules."
        raise TypeError(msg)
    if not all(isinstance(rule, str) for rule in filters):
        msg = "The filters cannot be used. One of them is not a text. Give a list of rules."
        raise TypeError(msg)


def _mapped(file: IO[bytes]) -> memoryview:
    """Return a file's content without reading it into memory."""
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _json(value: object) -> bytes:
    return json.dumps(value).encode("ascii")


def _counts(changed: Manifest, removed: list[str]) -> Counts:
    files = [row for row in changed.values() if row[0] == "file"]
    size_bytes = sum(int(row[3]) for row in files)
    return Counts(len(files), size_bytes, len(removed), size_bytes)


def report(counts: Counts, started: float) -> SyncReport:
    """Say what a copy did that began at a time of `time.monotonic()`."""
    seconds = time.monotonic() - started
    return SyncReport(counts.files, counts.size_bytes, counts.deleted, seconds, counts.sent_bytes)
