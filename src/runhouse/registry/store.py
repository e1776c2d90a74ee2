"""Where records are saved: a directory, or any URL that fsspec knows."""

from __future__ import annotations

import contextlib
import difflib
import importlib
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote

from runhouse import settings
from runhouse.errors import ClusterNotFoundError, RecordError, SettingsError
from runhouse.files import write_private
from runhouse.registry.names import check_name, is_name
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
        write_private(Path(self.where(name)), text.encode("utf-8"))

    def delete(self, name: str) -> None:
        Path(self.where(name)).unlink(missing_ok=True)

    def names(self) -> list[str]:
        files = self._root.glob(f"*{_SUFFIX}") if self._root.is_dir() else ()
        return [file.name.removesuffix(_SUFFIX) for file in files]


class _Url:
    """Keep texts below an fsspec URL, to share them; nothing is loaded before the first use."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._opened: tuple[Any, str] | None = None

    def _open(self) -> tuple[Any, str]:
        """Return the file system and the path of the root in it."""
        if self._opened is None:
            try:
                fsspec = importlib.import_module("fsspec")
                self._opened = fsspec.core.url_to_fs(self._url)
            except (ImportError, ValueError) as error:
                msg = (
                    f"The registry {self._url} cannot be used. {error}. Install what its protocol "
                    "needs, or correct the setting registry (RH_REGISTRY)."
                )
                raise SettingsError(msg) from error
        return self._opened

    def where(self, name: str) -> str:
        return f"{self._url}/{name}{_SUFFIX}"

    def _path(self, name: str) -> tuple[Any, str]:
        files, root = self._open()
        return files, f"{root}/{name}{_SUFFIX}"

    def read(self, name: str) -> str | None:
        files, path = self._path(name)
        try:
            return str(files.cat_file(path).decode("utf-8"))
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        files, path = self._path(name)
        files.makedirs(self._open()[1], exist_ok=True)
        files.pipe_file(path, text.encode("utf-8"))

    def delete(self, name: str) -> None:
        files, path = self._path(name)
        with contextlib.suppress(FileNotFoundError):
            files.rm_file(path)

    def names(self) -> list[str]:
        files, root = self._open()
        files.invalidate_cache(root)  # others write there too
        try:
            paths = [PurePosixPath(path) for path in files.ls(root, detail=False)]
        except FileNotFoundError:
            return []
        return [path.name.removesuffix(_SUFFIX) for path in paths if path.suffix == _SUFFIX]


def _place(root: Path | str) -> _Place:
    """Return the folder or the URL that a root stands for."""
    if isinstance(root, str) and "://" in root:
        protocol, _, path = root.partition("://")
        return _Folder(Path(unquote(path))) if protocol == "file" else _Url(root)
    return _Folder(Path(root).expanduser())


class Store:
    """Save, load and delete records by name; safe with several writers at once."""

    def __init__(self, root: Path | str) -> None:
        """Store the place; nothing is read or made.

        Args:
            root: A directory, made on the first save; or a URL such as `s3://team/rh`.
        """
        self._place = _place(root)

    def save(self, record: Record) -> None:
        """Save a record under its name, in place of an earlier one.

        Raises:
            InvalidNameError: The record's name cannot be used.
            RecordError: The place cannot be written to.
        """
        name = check_name(record.name)
        try:
            self._place.write(name, record.to_json())
        except OSError as error:
            msg = (
                f"The record {self._place.where(name)} was not saved. {error}. "
                "Make the place writable, or choose another with the setting registry."
            )
            raise RecordError(msg) from error

    def load(self, name: str) -> Record:
        """Return the record of a name.

        Raises:
            ClusterNotFoundError: There is none; lists names that look alike.
            RecordError: It cannot be read; it is left as it is.
        """
        where = self._place.where(check_name(name))
        try:
            text = self._place.read(name)
        except (OSError, UnicodeDecodeError) as error:
            msg = f"The record {where} cannot be read. {error}. Correct or delete it."
            raise RecordError(msg) from error
        if text is None:
            raise self._not_found(name)
        try:
            record = Record.from_json(text)
        except RecordError as error:
            msg = f"The record {where} cannot be used. {error}"
            raise RecordError(msg) from error
        if record.name != name:
            msg = (
                f"The record {where} cannot be used. It is the definition of {record.name!r}, not "
                f"of {name!r}. Correct the name in it, or rename the file."
            )
            raise RecordError(msg)
        return record

    def delete(self, name: str) -> None:
        """Delete the record of a name; safe to repeat."""
        self._place.delete(check_name(name))

    def names(self) -> list[str]:
        """Return the names of all records, sorted; files with other names are not ours."""
        return sorted(name for name in self._place.names() if is_name(name))

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


def clusters() -> Store:
    """Return the place where records of clusters are saved, as the settings say."""
    chosen = settings.load()
    return Store(chosen.registry or chosen.home / "clusters")
