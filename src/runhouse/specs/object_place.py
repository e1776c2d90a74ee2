"""Files in an object store, or any other place that fsspec knows."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import os
import shutil
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runhouse.errors import SyncError
from runhouse.specs.places import PROTOCOLS, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.files import Copying

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "azure": "azure", "abfs": "azure"}
_CHUNK = 1 << 20


class ObjectPlace:
    """Look at and change files in an object store, and copy them from and to this machine."""

    def __init__(self, system: str, options: dict[str, Any] | None = None) -> None:
        """Store the name; nothing is loaded or connected."""
        self.system = system
        self._options = options or {}
        self._opened: Any = None

    @property
    def _files(self) -> Any:
        """Return fsspec's file system.

        Raises:
            ImportError: What it needs is not installed.
            ValueError: fsspec knows no such system.
            SyncError: It lacks settings or credentials.
        """
        if self._opened is None:
            fsspec = importlib.import_module("fsspec")
            protocol = PROTOCOLS.get(self.system, self.system)
            if protocol not in fsspec.available_protocols():
                msg = (
                    f"There is no system {self.system!r}. Systems are a cluster or its name, here, "
                    "s3, gs, azure, and what else fsspec knows. Correct it."
                )
                raise ValueError(msg)
            extra = _EXTRAS.get(self.system)
            try:
                self._opened = fsspec.filesystem(protocol, **self._options)
            except ImportError as error:
                what = f"'runhouse[{extra}]'" if extra else "what fsspec names"
                msg = f"{self.system} cannot be used. {error}. Install it with: pip install {what}"
                raise ImportError(msg) from error
            except Exception as error:
                raise self._failure("", error) from error
        return self._opened

    @contextlib.contextmanager
    def _told(self, path: str) -> Iterator[Any]:
        """Yield the file system, and put what goes wrong into our words."""
        files = self._files
        try:
            yield files
        except FileNotFoundError as error:
            msg = (
                f"There is no {self.system}://{path}. The store says: {error}. Correct the path; "
                "a bucket that is new is made with mkdir()."
            )
            raise FileNotFoundError(msg) from error
        except (PermissionError, SyncError):
            raise
        except Exception as error:
            raise self._failure(path, error) from error

    def _failure(self, path: str, error: Exception) -> SyncError:
        return SyncError(
            f"{self.system}://{path} cannot be used. {type(error).__name__}: {error}. "
            "Check the path, your credentials and the network."
        )

    def entries(self, path: str) -> list[Entry]:
        """List a folder."""
        with self._told(path) as files:
            files.invalidate_cache()
            rows = files.ls(path, detail=True)
            place = files._strip_protocol(path).rstrip("/")
        found = [
            Entry(
                str(row["name"]).rstrip("/").rpartition("/")[2],
                "folder" if row["type"] == "directory" else "file",
                int(row.get("size") or 0),
            )
            for row in rows
            if str(row["name"]).rstrip("/") != place  # the mark of an empty folder
        ]
        return sorted(found, key=lambda entry: entry.name)

    def kind(self, path: str) -> str:
        """Tell what is at a path."""
        with self._told(path) as files:
            files.invalidate_cache()
            try:
                return "folder" if files.info(path)["type"] == "directory" else "file"
            except FileNotFoundError:
                return ""

    def make(self, path: str) -> None:
        """Make a folder; an object store has buckets only, folders are there with their files."""
        with self._told(path) as files:
            if self.system not in _EXTRAS:
                files.makedirs(path, exist_ok=True)
                return
            files.invalidate_cache()
            bucket = files._strip_protocol(path).strip("/").partition("/")[0]
            if not files.exists(bucket):
                files.mkdir(bucket)

    def remove(self, path: str, *, recursive: bool) -> None:
        """Remove a file or folder."""
        if self.kind(path):
            with self._told(path) as files:
                files.rm(path, recursive=recursive)

    def open(self, path: str, mode: str, encoding: str | None) -> IO[Any]:
        """Open a file; what is written is there when it is closed."""
        with self._told(path) as files:
            files.invalidate_cache()
            file: IO[Any] = files.open(path, mode, encoding=encoding)
            return file

    # -- copies ---------------------------------------------------------------------------------

    def tree(self, path: str) -> dict[str, dict[str, Any]]:
        """Return the files below a path: path from there -> what the store knows of it.

        A file stands for itself, under its name.
        """
        with self._told(path) as files:
            files.invalidate_cache()
            place = files._strip_protocol(path).rstrip("/")
            found = files.find(path, detail=True)
        if place in found:
            return {place.rpartition("/")[2]: found[place]}
        start = f"{place}/" if place else ""
        return {
            str(name)[len(start) :]: row
            for name, row in found.items()
            if str(name).startswith(start) and not str(name).endswith("/")
        }

    def same(self, row: dict[str, Any] | None, file: Path) -> bool:
        """Tell whether a file here is surely the same, by size and the store's own checksum."""
        if row is None or int(row.get("size") or 0) != file.stat().st_size:
            return False
        digest = _md5_of(row)
        return bool(digest) and _md5(file) == digest

    def put(self, file: Path, path: str) -> None:
        """Copy a file of this machine to a path."""
        with self._told(path) as files:
            if self.system not in _EXTRAS:  # there, that would make a bucket of a wrong name
                files.makedirs(files._parent(path), exist_ok=True)
            files.put_file(str(file), path)

    def get(self, path: str, file: Path) -> None:
        """Copy a file to this machine; it is written beside its place and renamed."""
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{os.getpid()}.rh-part")
        try:
            with (
                self._told(path) as files,
                files.open(path, "rb") as source,
                part.open("wb") as out,
            ):
                shutil.copyfileobj(source, out, _CHUNK)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)


def _md5_of(row: dict[str, Any]) -> str:
    """Return the checksum that a store knows of a file, in hexadecimal; nothing where it has none.

    S3 has it as the ETag (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html), Google
    and Azure as base64.
    """
    kept = row.get("md5Hash") or dict(row.get("content_settings") or {}).get("content_md5")
    if kept:
        return (base64.b64decode(kept) if isinstance(kept, str) else bytes(kept)).hex()
    digest = str(row.get("ETag", "")).strip('"')
    return "" if "-" in digest else digest  # uploaded in parts: not a checksum of the whole


def _md5(file: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Counted:
    """Count what a copy does, and tell of it."""

    def __init__(self, total: int, how: Copying) -> None:
        """Store how many bytes there are in all."""
        self.files = self.size_bytes = self.deleted = self.sent_bytes = 0
        self._done, self._total, self._how = 0, total, how

    def passed(self, size: int, *, sent: bool) -> None:
        """Count a file that is through."""
        self._done += size
        if sent:
            self.files, self.size_bytes = self.files + 1, self.size_bytes + size
            self.sent_bytes += size
        if self._how.on_bytes is not None:
            self._how.on_bytes(self._done, self._total)


def upload_tree(source: Path, target: ObjectPlace, dest: str, how: Copying) -> Counted:
    """Make a place in a store the same as a file or folder of this machine.

    Files that the store's checksum shows to be the same are not sent again.
    """
    single = source.is_file()
    names = [source.name] if single else _files_below(source)
    root = source.parent if single else source
    there = _tree_or_nothing(target, dest)
    sizes = {name: (root / name).stat().st_size for name in names}
    counted = Counted(sum(sizes.values()), how)
    for name in names:
        place = dest if single else f"{dest.rstrip('/')}/{name}"
        known = there.get(dest.rstrip("/").rpartition("/")[2] if single else name)
        same = target.same(known, root / name)
        if not same:
            target.put(root / name, place)
        counted.passed(sizes[name], sent=not same)
    for name in sorted(there.keys() - set(names)) if how.delete and not single else ():
        target.remove(f"{dest.rstrip('/')}/{name}", recursive=False)
        counted.deleted += 1
    return counted


def download_tree(origin: ObjectPlace, source: str, dest: Path, how: Copying) -> Counted:
    """Make a file or folder of this machine the same as a place in a store."""
    single = origin.kind(source) == "file"
    found = _tree_or_nothing(origin, source)
    if not found and not origin.kind(source):
        msg = f"There is no {origin.system}://{source}. Correct the path."
        raise FileNotFoundError(msg)
    counted = Counted(sum(int(row.get("size") or 0) for row in found.values()), how)
    if not single:
        dest.mkdir(parents=True, exist_ok=True)
    for name, row in found.items():
        file = dest if single else dest / name
        same = file.is_file() and origin.same(row, file)
        if not same:
            origin.get(source if single else f"{source.rstrip('/')}/{name}", file)
        counted.passed(int(row.get("size") or 0), sent=not same)
    gone = [] if single or not how.delete else sorted({*_files_below(dest)} - found.keys())
    for name in gone:
        (dest / name).unlink()
        counted.deleted += 1
        for above in (dest / name).relative_to(dest).parents:
            with contextlib.suppress(OSError):  # something else is in it
                if above != Path():
                    (dest / above).rmdir()
    return counted


def _tree_or_nothing(place: ObjectPlace, path: str) -> dict[str, dict[str, Any]]:
    try:
        return place.tree(path)
    except FileNotFoundError:
        return {}


def _files_below(folder: Path) -> list[str]:
    """Return the files below a folder; symbolic links to files are files in a store."""
    return sorted(
        Path(path, name).relative_to(folder).as_posix()
        for path, _, names in os.walk(folder)
        for name in names
        if Path(path, name).is_file()
    )
