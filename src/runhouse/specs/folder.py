"""Folders: data on this machine, on clusters and in object stores, and copies between them."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runhouse.files import Copying
from runhouse.specs.host_place import HostPlace, LocalPlace, copy_files
from runhouse.specs.object_place import ObjectPlace, download_tree, upload_tree
from runhouse.specs.paths import checked_path, mode_of, name_of, texts_of
from runhouse.specs.places import HERE, below, split_url
from runhouse.specs.progress import shown
from runhouse.specs.systems import find_system

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from runhouse.specs.systems import System

AnyPlace = HostPlace | ObjectPlace
_STORES = frozenset({"s3", "s3a", "gs", "gcs", "azure", "abfs"})


@dataclass(frozen=True, slots=True)
class Copied:
    """Say what a copy did.

    Attributes:
        files: Files that were transferred, those that were the same not counted.
        size_bytes: The sum of their sizes.
        sent_bytes: What of it travelled; the rest was there from an earlier attempt.
        deleted: Files and folders that were deleted in the copy.
        seconds: How long it took.
    """

    files: int
    size_bytes: int
    sent_bytes: int
    deleted: int
    seconds: float


class Folder:
    """Be a folder on this machine, on a cluster's head, or in an object store.

    Made by `runhouse.folder`. Nothing is connected, made or checked before it is used.

    Example:
        >>> import runhouse as rh
        >>> notes = rh.folder("notes", system="memory")
        >>> notes.put({"a.txt": "hello"})
        >>> notes.ls(), notes.get("a.txt")
        (['a.txt'], b'hello')
        >>> notes.rm()
    """

    def __init__(self, path: str, place: AnyPlace, copied: Copied | None = None) -> None:
        """Store where it is; use `runhouse.folder` instead.

        Attributes:
            path: Its path there.
            copied: What the copy did that it came from; None if it is none.
        """
        self.path = path
        self.copied = copied
        self._place = place

    @property
    def system(self) -> str:
        """Return where it is, as in `here`, the name of a cluster, or `s3`."""
        return self._place.system

    def __repr__(self) -> str:
        """Return system and path."""
        return f"<runhouse.Folder {self.system}:{self.path}>"

    def ls(self, name: str = "") -> list[str]:
        """Return the names of what is in it, sorted; those of folders end with a slash.

        Args:
            name: A folder in it to list instead.

        Raises:
            FileNotFoundError: There is no such folder.
            ConnectError: Its host cannot be reached.
            SyncError: The object store cannot be used.
            ValueError: The name leads out of the folder.

        Example:
            >>> import runhouse as rh
            >>> notes = rh.folder("notes", system="memory")
            >>> notes.put({"a.txt": "a", "more/b.txt": "b"})
            >>> notes.ls(), notes.ls("more")
            (['a.txt', 'more/'], ['b.txt'])
            >>> notes.rm()
        """
        return [
            f"{entry.name}/" if entry.kind == "folder" else entry.name
            for entry in self._place.entries(below(self.path, name))
        ]

    def exists(self, name: str = "") -> bool:
        """Tell whether it, or something in it, is there.

        Args:
            name: Something in it; empty for the folder itself.

        Raises:
            ConnectError: Its host cannot be reached.
            SyncError: The object store cannot be used.
            ValueError: The name leads out of the folder.

        Example:
            >>> import runhouse as rh
            >>> notes = rh.folder("notes", system="memory")
            >>> notes.exists("a.txt")
            False
        """
        return bool(self._place.kind(below(self.path, name)))

    def open(self, name: str, mode: str = "rb", encoding: str | None = None) -> IO[Any]:
        """Open a file in it.

        On a host, a copy of the whole file is read, and what was written comes to its place when
        the file is closed; not when an exception ends its `with` block.

        Args:
            name: The file's name.
            mode: `r`, `rb`, `w` or `wb`.
            encoding: Of text; None for UTF-8.

        Returns:
            The file, to be used in a `with` block or closed.

        Raises:
            FileNotFoundError: There is no such file.
            ConnectError: Its host cannot be reached.
            SyncError: The object store cannot be used.
            ValueError: The name leads out of the folder, or there is no such mode.

        Example:
            >>> import runhouse as rh
            >>> notes = rh.folder("notes", system="memory")
            >>> with notes.open("a.txt", "w") as file:
            ...     length = file.write("hello")
            >>> notes.open("a.txt", "r").read()
            'hello'
            >>> notes.rm()
        """
        checked = mode_of(mode)
        text = None if "b" in checked else encoding or "utf-8"
        return self._place.open(below(self.path, name_of(name)), checked, text)

    def get(self, name: str) -> bytes:
        """Return the content of a file in it.

        Args:
            name: The file's name.

        Raises:
            Exception: See `open`.

        Example:
            >>> import runhouse as rh
            >>> notes = rh.folder("notes", system="memory")
            >>> notes.put({"a.txt": "hello"})
            >>> notes.get("a.txt")
            b'hello'
            >>> notes.rm()
        """
        with self.open(name) as file:
            content: bytes = file.read()
        return content

    def put(self, contents: Mapping[str, bytes | str]) -> None:
        """Write files into it, in place of those of the same names; it is made if need be.

        Args:
            contents: Names and contents; text becomes UTF-8.

        Raises:
            ConnectError: Its host cannot be reached.
            SyncError: They could not be written.
            TypeError: A content is neither bytes nor text.
            ValueError: A name leads out of the folder.

        Example:
            >>> import runhouse as rh
            >>> notes = rh.folder("notes", system="memory")
            >>> notes.put({"a.txt": "hello"})
            >>> notes.ls()
            ['a.txt']
            >>> notes.rm()
        """
        checked = texts_of(contents)
        with tempfile.TemporaryDirectory(prefix="rh-put-") as draft:
            for name, content in checked.items():
                file = Path(below(draft, name))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            Path(draft).chmod(0o755)
            Folder(draft, LocalPlace())._copy_to(self._place, self.path, Copying())

    def rm(self, name: str = "", *, recursive: bool = True) -> None:
        """Remove it, or something in it; safe to repeat.

        Args:
            name: What to remove in it; empty for the folder itself.
            recursive: Remove what is in a folder, too; False raises `OSError` unless it is empty.

        Raises:
            ConnectError: Its host cannot be reached.
            SyncError: The object store cannot be used.
            OSError: It cannot be removed.
            ValueError: The name leads out of the folder, or it is a home or root directory.

        Example:
            >>> import runhouse as rh
            >>> notes = rh.folder("notes", system="memory")
            >>> notes.put({"a.txt": "hello"})
            >>> notes.rm("a.txt")
            >>> notes.exists("a.txt")
            False
        """
        path = below(self.path, name)
        if not name:
            checked_path(path, "removed")
        self._place.remove(path, recursive=recursive)

    def mkdir(self) -> Folder:
        """Make it, with all folders above it; safe to repeat.

        Returns:
            The folder itself.

        Raises:
            ConnectError: Its host cannot be reached.
            OSError: It cannot be made.

        Example:
            >>> import runhouse as rh
            >>> folder = rh.folder("/tmp/rh-made/deep").mkdir()
            >>> folder.ls()
            []
            >>> rh.folder("/tmp/rh-made").rm()
        """
        self._place.make(self.path)
        return self

    def to(
        self,
        system: System | str | Folder,
        path: str | PathLike[str] | None = None,
        *,
        delete: bool = False,
        checksum: bool = False,
    ) -> Folder:
        """Copy what is in it to another place, showing how far it is if that takes over a second.

        What is there already is not sent again, and a copy that was interrupted goes on where it
        stopped: rsync, which checks each file's checksum on arrival, does that also within a file.
        Between two hosts files go directly, if the first can reach the second, else through this
        machine without being stored here.

        Args:
            system: A cluster or its name, `here`, `s3`, `gs`, `azure`, another system of fsspec, or
                a folder, whose place it is.
            path: The folder there; None for one of the same name, in the home directory of a host
                or in the current directory here. For object stores it begins with the bucket.
            delete: Delete there what this folder does not have.
            checksum: Compare files of the same size and time by content, too.

        Returns:
            The folder there; its `copied` says what was done.

        Raises:
            FileNotFoundError: This folder is not there.
            ConnectError: A host cannot be reached.
            SyncError: Something could not be copied.
            ImportError: What the object store needs is not installed; says how to install it.
            ClusterNotFoundError: No cluster is saved under the name.
            ValueError: There is no such system, or it needs a path.

        Example:
            >>> import runhouse as rh
            >>> data = rh.folder("/tmp/rh-data").mkdir()
            >>> data.put({"a.txt": "hello"})
            >>> data.to("here", path="/tmp/rh-data-copy").ls()
            ['a.txt']
            >>> data.rm(), rh.folder("/tmp/rh-data-copy").rm()
            (None, None)
        """
        if isinstance(system, Folder):
            place, target = system._place, system.path if path is None else str(path)
        else:
            place = find_place(system)
            target = self._default(place) if path is None else str(path)
        target = checked_path(target, "copied to") if delete else target
        if self._place.kind(self.path) != "folder":
            msg = f"There is no folder {self.path} on {self.system}. Correct the path."
            raise FileNotFoundError(msg)
        how = Copying(delete=bool(delete), checksum=bool(checksum))
        return Folder(target, place, self._copy_to(place, target, how))

    def _default(self, place: AnyPlace) -> str:
        name = self.path.rstrip("/").rpartition("/")[2]
        has_home = isinstance(place, HostPlace)
        if not has_home:
            msg = (
                f"{self.path} was not copied to {place.system}. An object store has no place by "
                "itself. Give path='BUCKET/FOLDER'."
            )
            raise ValueError(msg)
        return checked_path(name, "copied")

    def _copy_to(self, place: AnyPlace, path: str, how: Copying) -> Copied:
        with shown(f"{self.path} -> {place.system}") as on_bytes:
            told = Copying(how.delete, how.checksum, how.excludes, on_bytes)
            return copy(self._place, self.path, place, path, contents=True, how=told)


def copy(
    origin: AnyPlace, source: str, target: AnyPlace, dest: str, *, contents: bool, how: Copying
) -> Copied:
    """Copy a file or folder from one place to another.

    Args:
        origin: Where it is.
        source: Its path there.
        target: Where it is to be.
        dest: The path there: of the folder when `contents` is set, else as rsync takes it.
        contents: Copy what is in a folder, not the folder.
        how: What else is asked for.

    Raises:
        FileNotFoundError: It is not there.
        ConnectError: A host cannot be reached.
        SyncError: Something could not be copied.
    """
    started = time.monotonic()
    if isinstance(origin, HostPlace) and isinstance(target, HostPlace):
        done = copy_files(origin, source, target, dest, contents=contents, how=how)
    elif isinstance(origin, ObjectPlace) and isinstance(target, LocalPlace):
        done = download_tree(origin, source, Path(dest).expanduser(), how)
    elif isinstance(origin, LocalPlace) and isinstance(target, ObjectPlace):
        done = upload_tree(Path(source).expanduser(), target, dest, how)
    else:
        done = _stored_here(origin, source, target, dest, how)
    seconds = time.monotonic() - started
    return Copied(done.files, done.size_bytes, done.sent_bytes, done.deleted, seconds)


def _stored_here(origin: AnyPlace, source: str, target: AnyPlace, dest: str, how: Copying) -> Any:
    """Copy between an object store and a host or another store, by way of this machine's disk."""
    single = origin.kind(source) == "file"
    folder = tempfile.mkdtemp(prefix="rh-between-")
    try:
        middle = f"{folder}/{source.rstrip('/').rpartition('/')[2] or 'root'}"
        here = LocalPlace()
        plainly = Copying(on_bytes=how.on_bytes)
        copy(origin, source, here, middle, contents=not single, how=plainly)
        return copy(here, middle, target, dest, contents=not single, how=how)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_place(system: object) -> AnyPlace:
    """Return the place that a user means.

    Raises:
        ClusterNotFoundError: It is a name, but neither of a cluster nor of a system.
        TypeError: It is neither a cluster nor a text.
    """
    if system is None or (isinstance(system, str) and system in HERE):
        return LocalPlace()
    if isinstance(system, str) and (system in _STORES or system == "memory"):
        return ObjectPlace(system)
    found = find_system(system)
    return LocalPlace() if getattr(found, "kind", "") == "local" else HostPlace(found)


def folder(path: str | PathLike[str], system: System | str | None = None) -> Folder:
    """Name a folder on this machine, on a cluster, or in an object store.

    Args:
        path: Its path: on a host, one that is not absolute starts at the home directory; in an
            object store it begins with the bucket. `s3://bucket/folder` names both.
        system: A cluster or the name of a saved one, `here`, `s3`, `gs`, `azure`; None for what the
            path says, or this machine.

    Returns:
        The folder; nothing is connected, made or checked yet.

    Raises:
        ClusterNotFoundError: It is a name, but neither of a cluster nor of a system.
        TypeError: The path is no text, or the system neither a cluster nor a text.
        ValueError: The path is empty, or names another system.

    Example:
        >>> import runhouse as rh
        >>> rh.folder("s3://data/train")
        <runhouse.Folder s3:data/train>
    """
    named, inside = split_url(name_of(path, "path"))
    if named is not None and system is not None and named != system:
        msg = f"The folder {path} cannot be on {system}. It names {named}. Leave one of them out."
        raise ValueError(msg)
    if named is not None and named not in HERE:
        return Folder(inside, ObjectPlace(named))
    return Folder(inside, find_place(system))
