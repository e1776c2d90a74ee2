"""Which worker holds which object, and which objects wait on disk.

Workers tell of a key before anybody can rely on it, and `Workers` reads what they have told before
it looks something up: what a client has put is found by the next client that asks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runhouse.wire import stored
from runhouse.wire.messages import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold what is known about one object.

    Attributes:
        key: Its key.
        env: The env of its worker.
        worker_id: The worker that holds it; empty while it is on disk only.
        type: Its type, as `"module:name"`; empty while it is on disk only.
    """

    key: str
    env: str
    worker_id: str
    type: str


@dataclass(frozen=True, slots=True)
class Definition:
    """Hold where a function or class is known under its public name.

    Attributes:
        name: The public name.
        worker_id: The worker.
        key: The key of the code in the worker.
    """

    name: str
    worker_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Asleep:
    """Hold an object that is on disk.

    Attributes:
        path: Its file.
        key: Its key.
        env: The env that it belongs to.
        scope: The code that it needs.
    """

    path: Path
    key: str
    env: str
    scope: Scope


class Index:
    """Hold all keys of a server."""

    def __init__(self, directory: Path) -> None:
        """Store where persisted objects are."""
        self._directory = directory
        self._entries: dict[str, Entry] = {}
        self._definitions: dict[str, Definition] = {}
        self._asleep: dict[str, Asleep] | None = None

    def find(self, key: str) -> Entry | None:
        """Return what is known about the object in a worker, or None."""
        return self._entries.get(key)

    def find_asleep(self, key: str) -> Asleep | None:
        """Return the object on disk under a key, or None."""
        return self._on_disk().get(key)

    def find_definition(self, name: str) -> Definition | None:
        """Return the function or class with a public name, or None."""
        return self._definitions.get(name)

    def definitions(self) -> list[Definition]:
        """Return all functions and classes, by name."""
        return [self._definitions[name] for name in sorted(self._definitions)]

    def entries(self, env: str | None = None) -> list[Entry]:
        """Return all objects, or those of an env, by key."""
        asleep = [
            Entry(item.key, item.env, "", "")
            for item in self._on_disk().values()
            if item.key not in self._entries
        ]
        found = sorted([*self._entries.values(), *asleep], key=lambda entry: entry.key)
        return [entry for entry in found if env in (None, entry.env)]

    def add(self, worker_id: str, env: str, added: dict[str, str]) -> dict[str, list[str]]:
        """Note what a worker holds from now on.

        Returns:
            For each other worker, the keys that it held until now and is to let go of.
        """
        moved: dict[str, list[str]] = {}
        for key, type_name in added.items():
            before = self._entries.get(key)
            if before is not None and before.worker_id != worker_id:
                moved.setdefault(before.worker_id, []).append(key)
            self._entries[key] = Entry(key, env, worker_id, type_name)
        return moved

    def remove(self, worker_id: str, keys: Iterable[str]) -> None:
        """Note what a worker does not hold any more."""
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None and entry.worker_id == worker_id:
                del self._entries[key]

    def define(self, worker_id: str, name: str, key: str) -> str | None:
        """Note where a function or class is; the last one of a name counts.

        Returns:
            The other worker that had one of this name until now, or None.
        """
        before = self._definitions.get(name)
        self._definitions[name] = Definition(name, worker_id, key)
        return before.worker_id if before is not None and before.worker_id != worker_id else None

    def drop_worker(self, worker_id: str) -> None:
        """Forget what a worker held that has ended."""
        self._entries = {k: e for k, e in self._entries.items() if e.worker_id != worker_id}
        self._definitions = {
            name: d for name, d in self._definitions.items() if d.worker_id != worker_id
        }

    # -- on disk ------------------------------------------------------------------------------

    def _on_disk(self) -> dict[str, Asleep]:
        if self._asleep is None:
            found = map(_read, self._directory.glob("*.object"))
            self._asleep = {item.key: item for item in found if item is not None}
        return self._asleep

    def sizes_on_disk(self) -> dict[str, int]:
        """Return the sizes of the files of objects that are on disk only, in bytes."""
        files = {key: item.path for key, item in self._on_disk().items()}
        return {
            key: path.stat().st_size
            for key, path in files.items()
            if key not in self._entries and path.exists()
        }

    def note_persisted(self, key: str) -> None:
        """Note that a worker has written an object to disk."""
        item = _read(stored.object_path(self._directory, key))
        if item is not None:
            self._on_disk()[key] = item

    def forget_persisted(self, key: str) -> bool:
        """Remove the object on disk under a key; return whether there was one."""
        item = self._on_disk().pop(key, None)
        if item is None:
            return False
        item.path.unlink(missing_ok=True)
        return True

    def rename_persisted(self, old: str, new: str) -> bool:
        """Give an object on disk another key; return whether there was one."""
        item = self._on_disk().pop(old, None)
        if item is None:
            return False
        item.path.rename(stored.object_path(self._directory, new))
        self.note_persisted(new)
        return True


def _read(path: Path) -> Asleep | None:
    """Return what is told about an object on disk, without reading it; None when that fails."""
    try:
        with path.open("rb") as file:
            found = stored.frame_at(file.fileno(), 0)
        if found is None:
            return None
        meta = found[0].meta
        scope = Scope(**json.loads(str(meta["scope"])))
        return Asleep(path, stored.object_key(path), str(meta["env"]), scope)
    except (OSError, ValueError, TypeError, KeyError):
        return None
