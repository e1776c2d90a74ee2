"""Where records are saved: a directory, or any URL that fsspec knows."""

from __future__ import annotations

import difflib
import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from runhouse import extras
from runhouse.errors import ClusterNotFoundError, RecordError
from runhouse.registry.names import check_name
from runhouse.registry.record import Record

_SUFFIX = ".json"


class _Place(Protocol):
    """Read and write texts by name."""

    def read(self, name: str) -> str | None:
        """Return a text, or None when there is none."""

    def write(self, name: str, text: str) -> None:
        """Replace a text as a whole."""

    def delete(self, name: str) -> None:
        """Remove a text, if there is one."""

    def names(self) -> list[str]:
        """Return all names."""

    def where(self, name: str) -> str:
        """Return where a text is, for messages."""


class _Folder:
    """Keep texts in a directory that only this user can enter."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def where(self, name: str) -> str:
        return str(self._root / f"{name}{_SUFFIX}")

    def read(self, name: str) -> str | None:
        try:
            return Path(self.where(name)).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Write beside and rename: a reader, or a crash, sees the old or the new one."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=self._root, prefix=f".{name}.")  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(self.where(name))
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise

    def delete(self, name: str) -> None:
        Path(self.where(name)).unlink(missing_ok=True)

    def names(self) -> list[str]:
        files = self._root.glob(f"*{_SUFFIX}") if self._root.is_dir() else ()
        return [file.stem for file in files if not file.name.startswith(".")]


class _Url:
    """Keep texts below an fsspec URL, to share them."""

    def __init__(self, url: str) -> None:
        fsspec: Any = extras.load("fsspec", extra="registry")
        self._files, self._root = fsspec.core.url_to_fs(url)

    def where(self, name: str) -> str:
        return str(PurePosixPath(self._root) / f"{name}{_SUFFIX}")

    def read(self, name: str) -> str | None:
        try:
            return str(self._files.cat_file(self.where(name)).decode("utf-8"))
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        self._files.makedirs(self._root, exist_ok=True)
        self._files.pipe_file(self.where(name), text.encode("utf-8"))

    def delete(self, name: str) -> None:
        if self._files.exists(self.where(name)):
            self._files.rm_file(self.where(name))

    def names(self) -> list[str]:
        if not self._files.exists(self._root):
            return []
        paths = map(PurePosixPath, self._files.ls(self._root, detail=False))
        return [path.stem for path in paths if path.suffix == _SUFFIX]


class Store:
    """Save, load and delete records by name; safe with several writers at once."""

    def __init__(self, root: Path | str) -> None:
        """Store the place.

        Args:
            root: A directory, made on the first save; or a URL such as `s3://team/rh`.
        """
        self._place: _Place = (
            _Url(root) if isinstance(root, str) and "://" in root else _Folder(Path(root))
        )

    def save(self, record: Record) -> None:
        """Save a record under its name, in place of an earlier one."""
        self._place.write(check_name(record.name), record.to_json())

    def load(self, name: str) -> Record:
        """Return the record of a name.

        Raises:
            ClusterNotFoundError: There is none; lists names that look alike.
            RecordError: It cannot be read.
        """
        text = self._place.read(check_name(name))
        if text is None:
            raise self._not_found(name)
        try:
            return Record.from_json(text)
        except RecordError as error:
            msg = f"The record {self._place.where(name)} cannot be used. {error}"
            raise RecordError(msg) from error

    def delete(self, name: str) -> None:
        """Delete the record of a name; safe to repeat."""
        self._place.delete(check_name(name))

    def names(self) -> list[str]:
        """Return the names of all records, sorted."""
        return sorted(self._place.names())

    def _not_found(self, name: str) -> ClusterNotFoundError:
        names = self.names()
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        known = f"Did you mean {' or '.join(map(repr, near))}?" if near else ""
        if not near:
            known = f"Saved are {', '.join(names[:10])}." if names else "None is saved."
        return ClusterNotFoundError(
            f"There is no cluster {name!r}. {known} "
            "Define it with runhouse.cluster(name, host=...) and keep it with .save().",
            name=name,
            near=near,
        )
