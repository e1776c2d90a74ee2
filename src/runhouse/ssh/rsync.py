"""Copy with rsync over the connection that is open."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from runhouse.errors import SyncError
from runhouse.ssh.command import quote
from runhouse.ssh.leash import leashed
from runhouse.ssh.session import LANES, Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HOST = "host"  # any name does: the connection is open, and named by its control socket
_FILES_VANISHED = 24
_CHUNK = 1 << 16
# Of an rsync that does not know our options, or speaks another protocol.
_NOT_CAPABLE = (1, 2, 4)
# Said by the host's side; rsync does not always pass an exit code on.
_NOT_FOUND = "runhouse: this host has no rsync"
_REFUSED = "refused by peer"
_COUNTS = re.compile(
    rb"^(Number of regular files transferred|Total transferred file size"
    rb"|Number of deleted files|Literal data): (\d+)",
    re.MULTILINE,
)
_PROGRESS = re.compile(rb"\s*(\d+)\s+(\d+)%\s")
# A file that was not finished is kept under this name in a folder beside it, and gone on with.
PARTIAL = ".rh-partial"
OnBytes = Callable[[int, int], None]


class NoRsyncError(Exception):
    """One of the two sides has no rsync that could be used."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Hold what rsync says it did.

    Attributes:
        files: Regular files transferred.
        size_bytes: Sum of their sizes.
        deleted: Files, links and folders deleted.
        sent_bytes: What of these sizes travelled, as the other side had no such data; before
            compression, and without rsync's own words.
    """

    files: int
    size_bytes: int
    deleted: int
    sent_bytes: int = 0


def anchored(path: str) -> str:
    """Return the exclude pattern for exactly one path from the root of the transfer."""
    if re.search(r"[*?\[]", path):  # only then is a backslash not just a backslash
        path = re.sub(r"([*?\[\\])", r"\\\1", path)
    return "/" + path


def quoted_shell(argv: Sequence[str]) -> str:
    """Quote a command line for `rsync -e`, which knows quotes, doubled inside, but no escapes."""
    return " ".join("'" + word.replace("'", "''") + "'" for word in argv)


@dataclass(frozen=True, slots=True)
class Rsync:
    """Run rsync between this machine and the host of a session.

    Attributes:
        session: The session, whose connection is used.
        delete: Whether to delete on the receiving side what the sending side does not have.
        filters: Further filter rules, as in `rsync --filter`.
        excludes: Patterns to leave out, any bytes; see `anchored`.
        exact_times: Whether two files of one size are the same only if their times are so to the
            nanosecond: an edit within the second of the last copy must not be missed.
        like: A directory beside the receiving one, from which files that are the same are taken.
        dry_run: Whether to copy nothing, and only count.
        on_progress: Called with each name that is transferred.
        checksum: Whether files of one size and time are compared by their content.
        resumable: Whether what was sent of an unfinished file is kept there, for the next time.
        on_bytes: Called about once a second with the bytes that are through, and with how many
            there are in all.
    """

    session: Session
    delete: bool = False
    filters: Sequence[str] = ()
    excludes: Sequence[str] = ()
    exact_times: bool = False
    like: str | None = None
    dry_run: bool = False
    on_progress: Callable[[str], None] | None = None
    checksum: bool = False
    resumable: bool = False
    on_bytes: OnBytes | None = None

    def push(self, source: str, dest: str, *, make: str) -> Counts:
        """Copy to the host; `make` is the folder there to make before."""
        return self._run([source, f"{_HOST}:{dest}"], None if self.dry_run else make)

    def pull(self, source: str, dest: str) -> Counts:
        """Copy from the host."""
        return self._run([f"{_HOST}:{source}", dest], None)

    def _run(self, places: list[str], make: str | None) -> Counts:
        if shutil.which("rsync") is None:
            msg = "there is no rsync on this machine"
            raise NoRsyncError(msg)
        session = self.session
        for _ in range(LANES):
            session.connect()
            code, output, errors = self._once(session, places, make)
            if code in (0, _FILES_VANISHED):
                return read_counts(output)
            if _REFUSED not in errors:
                break
            session = session.next_lane()
        if code in _NOT_CAPABLE or _NOT_FOUND in errors:
            raise NoRsyncError(errors)
        msg = (
            f"Files could not be copied between here and {self.session.target.label}. rsync ended "
            f"with code {code}. It wrote: {errors[-2000:].strip() or 'nothing'}"
        )
        raise SyncError(msg)

    def _once(
        self, session: Session, places: list[str], make: str | None
    ) -> tuple[int, bytes, str]:
        argv = ["rsync", "-rlpt", "--protect-args", "--stats", "--no-human-readable"]
        argv += ["-e", quoted_shell(session.shell_command()), "--rsync-path", _far_side(make)]
        if self.delete:
            argv.append("--delete")
        if self.like is not None:
            argv.append(f"--copy-dest=../{self.like}")
        if self.dry_run:
            argv.append("--dry-run")
        if self.exact_times:
            argv.append("--modify-window=-1")
        if self.on_progress is not None:
            argv.append("--out-format=+%n")
        argv += transfer_options(self.checksum, self.resumable, self.on_bytes is not None)
        argv += [f"--filter={rule}" for rule in self.filters]
        argv += ["--from0", "--exclude-from=-", "--", *places]
        patterns = b"".join(_encoded(pattern) + b"\0" for pattern in self.excludes)
        output = b""
        with (
            tempfile.TemporaryFile() as errors,
            tempfile.TemporaryFile() as rules,
        ):
            rules.write(patterns)
            rules.seek(0)
            with leashed(
                argv, stdin=rules.fileno(), stdout=subprocess.PIPE, stderr=errors.fileno()
            ) as process:
                for line in lines(process.stdout):
                    if self.on_bytes is not None and told_progress(line, self.on_bytes):
                        continue
                    if self.on_progress is not None and line.startswith(b"+"):
                        self.on_progress(line[1:].decode("utf-8", "replace"))
                    else:
                        output += line + b"\n"
                code = process.wait()
            errors.seek(0)
            return code, output, errors.read().decode("utf-8", "replace")


_COUNT_NAMES = (
    b"Number of regular files transferred",
    b"Total transferred file size",
    b"Number of deleted files",
    b"Literal data",
)


def transfer_options(checksum: bool, resumable: bool, progress: bool) -> list[str]:
    """Return the options of transfers that may be large."""
    options = ["--checksum"] if checksum else []
    if resumable:
        options.append(f"--partial-dir={PARTIAL}")
    if progress:  # its percentage is of all files only if all are looked at first
        options += ["--info=progress2", "--outbuf=N", "--no-inc-recursive"]
    return options


def read_counts(output: bytes) -> Counts:
    """Return what the figures at the end of rsync's output say."""
    found = {name: int(number) for name, number in _COUNTS.findall(output)}
    return Counts(*(found.get(name, 0) for name in _COUNT_NAMES))


def lines(stream: IO[bytes] | None) -> Iterator[bytes]:
    """Yield what rsync writes line by line, as it comes; its progress ends with returns."""
    rest = b""
    while stream is not None and (chunk := os.read(stream.fileno(), _CHUNK)):
        *whole, rest = re.split(rb"[\r\n]", rest + chunk)
        yield from whole
    if rest:
        yield rest


def told_progress(line: bytes, on_bytes: OnBytes) -> bool:
    """Pass on how far a transfer is; return whether the line was about that."""
    found = _PROGRESS.match(line)
    if found is None:
        return not line
    done, percent = int(found[1]), int(found[2])
    on_bytes(done, done * 100 // percent if percent else 0)
    return True


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _far_side(make: str | None) -> str:
    """Return what to run on the host: rsync, after making a folder."""
    first = "" if make is None else 'mkdir -p -- "$0" || exit 11; '
    found = f"command -v rsync >/dev/null || {{ echo {_NOT_FOUND} >&2; exit 127; }}"
    script = f'{found}; {first}exec rsync "$@"'
    return f"sh -c {quote(script)} {quote(make or 'rsync')}"
