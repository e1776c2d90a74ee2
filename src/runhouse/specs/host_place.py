"""Files on a cluster's head, and on this machine, which is one such host."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runhouse.errors import SyncError
from runhouse.files import PLAINLY, Copying
from runhouse.specs import listing
from runhouse.specs.places import Entry
from runhouse.specs.systems import find_system

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_ERRORS: dict[str, type[OSError]] = {
    "ENOENT": FileNotFoundError,
    "EACCES": PermissionError,
    "EPERM": PermissionError,
    "EROFS": PermissionError,
    "ENOTDIR": NotADirectoryError,
    "EISDIR": IsADirectoryError,
    "EEXIST": FileExistsError,
}


class HostPlace:
    """Look at and change files on a host, and copy them."""

    def __init__(self, system: Any) -> None:
        """Store the cluster, whose head is meant; nothing is connected."""
        self._system = system

    @property
    def system(self) -> str:
        """Return the cluster's name."""
        return str(self._system.name)

    @property
    def host(self) -> Any:
        """Return the host, for copies."""
        return self._system.host_of()

    def _ask(self, action: str, path: str, **more: object) -> Any:
        program = (files("runhouse.specs") / "listing.py").read_text(encoding="utf-8")
        request = json.dumps({"action": action, "path": path, **more}).encode("ascii")
        done = self.host.run_program(program, request)
        try:
            found = json.loads(done.stdout)
        except ValueError:
            msg = (
                f"{path} on {self.system} was not looked at. Its Python ended with code "
                f"{done.exit_code}: {done.stderr.strip()[-500:]}. Look at the host."
            )
            raise SyncError(msg) from None
        if "code" in found:
            kind = _ERRORS.get(found["code"], OSError)
            msg = f"{found['path'] or path} on {self.system}: {found['said']}."
            raise kind(msg)
        return found["answer"]

    def entries(self, path: str) -> list[Entry]:
        """List a folder."""
        return [
            Entry(row["name"], row["kind"], row["size_bytes"]) for row in self._ask("list", path)
        ]

    def kind(self, path: str) -> str:
        """Tell what is at a path."""
        return str(self._ask("kind", path))

    def make(self, path: str) -> None:
        """Make a folder, and those above it."""
        self._ask("make", path)

    def remove(self, path: str, *, recursive: bool) -> None:
        """Remove a file or folder."""
        self._ask("remove", path, recursive=recursive)

    def open(self, path: str, mode: str, encoding: str | None) -> IO[Any]:
        """Open a file: a copy of it is read, and what was written is copied when it is closed."""
        descriptor, name = tempfile.mkstemp(prefix="rh-open-")
        os.close(descriptor)
        draft = Path(name)
        if "w" in mode:
            return _writing(draft, mode, encoding, lambda: self.put_file(draft, path))
        try:
            if self.kind(path) != "file":
                msg = f"{path} on {self.system}: No such file."
                raise FileNotFoundError(msg)
            self.host.copy(path, str(draft), up=False, contents=False, how=PLAINLY)
            return draft.open(mode, encoding=encoding)
        finally:
            draft.unlink(missing_ok=True)

    def put_file(self, draft: Path, path: str) -> None:
        """Copy a file of this machine to a path."""
        draft.chmod(0o644)
        self.host.copy(str(draft), path, up=True, contents=False, how=PLAINLY)


class LocalPlace(HostPlace):
    """Look at and change files of this machine, without a program of its own."""

    def __init__(self) -> None:
        """Find this machine as a cluster."""
        super().__init__(find_system("here"))

    @property
    def system(self) -> str:
        """Return that it is here."""
        return "here"

    def _ask(self, action: str, path: str, **more: object) -> Any:
        return listing.answer({"action": action, "path": os.path.abspath(_local(path)), **more})

    def open(self, path: str, mode: str, encoding: str | None) -> IO[Any]:
        """Open a file."""
        file = Path(_local(path))
        if "w" in mode:
            file.parent.mkdir(parents=True, exist_ok=True)
        return file.open(mode, encoding=encoding)


def _local(path: str) -> str:
    return os.path.expanduser(path)


# -- files that go somewhere when they are closed -----------------------------------------------


class _Going(io.IOBase):
    """Send a file on when it is closed, unless an exception is why."""

    send: Callable[[], None] | None = None
    draft: Path | None = None

    def close(self) -> None:
        """Close it, and send it on."""
        if self.closed:
            return
        super().close()
        send, self.send = self.send, None
        try:
            if send is not None:
                send()
        finally:
            if self.draft is not None:
                self.draft.unlink(missing_ok=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; after an exception, what was written goes nowhere."""
        if kind is not None:
            self.send = None
        self.close()


class _GoingBytes(_Going, io.BufferedWriter):
    pass


class _GoingText(_Going, io.TextIOWrapper):
    pass


def _writing(draft: Path, mode: str, encoding: str | None, send: Callable[[], None]) -> IO[Any]:
    """Open a draft for writing that is sent on when it is closed."""
    raw = io.FileIO(draft, "w")
    going: _GoingBytes | _GoingText
    if "b" in mode:
        going = _GoingBytes(raw)
    else:
        going = _GoingText(io.BufferedWriter(raw), encoding=encoding or "utf-8")
    going.draft, going.send = draft, send
    return going


def copy_files(
    origin: HostPlace, source: str, target: HostPlace, dest: str, *, contents: bool, how: Copying
) -> Any:
    """Copy a file or folder from one host to another, this machine being one.

    Raises:
        SyncError: Something could not be copied.
        ConnectError: A host cannot be reached.
    """
    if isinstance(target, LocalPlace):
        return origin.host.copy(source, dest, up=False, contents=contents, how=how)
    if isinstance(origin, LocalPlace):
        return target.host.copy(source, dest, up=True, contents=contents, how=how)
    into = _folder_for(origin, source, target, dest, contents=contents)
    if into is not None:
        start = f"{source.rstrip('/')}/" if contents else source.rstrip("/")
        report = origin.host.copy_to(target.host, start, into, how)
        if report is not None:
            return report
    folder = tempfile.mkdtemp(prefix="rh-between-")
    try:
        inside = f"{folder}/{Path(source).name or 'root'}"
        origin.host.copy(source, inside, up=False, contents=contents, how=how)
        return target.host.copy(inside, dest, up=True, contents=contents, how=how)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder_for(
    origin: HostPlace, source: str, target: HostPlace, dest: str, *, contents: bool
) -> str | None:
    """Return the folder into which something is to come, or None when it gets another name."""
    if contents or dest.endswith("/") or origin.kind(source) == "folder":
        return dest
    if target.kind(dest) == "folder":
        return dest
    above, _, name = dest.rpartition("/")
    return (
        (above or "/" if dest.startswith("/") else above or ".")
        if (name == Path(source).name)
        else None
    )
