"""The objects that a worker holds, and the functions and classes that it was sent."""

from __future__ import annotations

import itertools
import os
import threading
from typing import TYPE_CHECKING, Any

from runhouse.errors import ObjectNotFoundError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runhouse.wire.messages import Call

_MOST_NAMES = 256
_OF_OBJECTS = ("method", "read", "write")


class Objects:
    """Hold definitions and objects by key; safe for use from several threads."""

    def __init__(self, on_change: Callable[[dict[str, str], list[str], bool], None]) -> None:
        """Start empty.

        Args:
            on_change: Called with the keys that were added, each with the type of its object, the
                keys that were removed, and whether what was added is on disk as well; before
                anybody can rely on it.
        """
        self._lock = threading.Lock()
        self._definitions: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._objects: dict[str, Any] = {}
        self._on_change = on_change
        self._memory_limit: int | None = None

    def __len__(self) -> int:
        """Return how many objects are held; definitions can be sent again and do not count."""
        return len(self._objects)

    def define(self, key: str, value: Any, name: str = "") -> None:
        """Keep a function or class under a key; a later one replaces it.

        Args:
            key: The key.
            value: The function or class.
            name: Its public name, for those who call it without having sent it.
        """
        with self._lock:
            self._definitions[key] = value
            if name:
                self._names[name] = key

    def forget_name(self, name: str) -> None:
        """Forget a public name: another worker has newer code of this name."""
        with self._lock:
            self._names.pop(name, None)

    def definition(self, key: str) -> Any:
        """Return a function or class.

        Raises:
            ObjectNotFoundError: There is none under the key or public name.
        """
        return self._find(self._definitions, self._names.get(key, key))

    def definitions(self) -> dict[str, Any]:
        """Return all functions and classes by key."""
        with self._lock:
            return dict(self._definitions)

    def check(self, call: Call) -> None:
        """See that what a call is for is here.

        Raises:
            ObjectNotFoundError: It is not.
        """
        if call.op in ("call", "new"):
            self.definition(call.key)
        elif call.op == "get":
            self.get(call.key)
        elif call.op in _OF_OBJECTS:
            self.owner(call.key)

    def owner(self, key: str) -> Any:
        """Return an object, or else the function or class of the key or public name.

        Raises:
            ObjectNotFoundError: There is neither.
        """
        found = self.find(key, self)
        return self.definition(key) if found is self else found

    def put(self, key: str, value: Any, *, on_disk: bool = False) -> None:
        """Keep an object under a key, in this process's memory; a later one replaces it.

        Args:
            key: The key.
            value: The object.
            on_disk: Whether the object on disk is this one; another one there is removed.
        """
        with self._lock:
            self._objects[key] = value
        self._on_change({key: type_name(value)}, [], on_disk)

    def get(self, key: str) -> Any:
        """Return an object.

        Raises:
            ObjectNotFoundError: There is none under the key.
        """
        return self._find(self._objects, key)

    def find(self, key: str, default: Any = None) -> Any:
        """Return an object, or a default when there is none under the key."""
        with self._lock:
            return self._objects.get(key, default)

    def all(self) -> dict[str, Any]:
        """Return all objects by key."""
        with self._lock:
            return dict(self._objects)

    def rename(self, old: str, new: str) -> bool:
        """Move an object to another key; return whether there was one."""
        with self._lock:
            if old not in self._objects:
                return False
            self._objects[new] = self._objects.pop(old)
        self._on_change({new: type_name(self._objects[new])}, [old], True)
        return True

    def delete(self, keys: Iterable[str]) -> list[str]:
        """Let go of objects; return the keys under which there was one."""
        with self._lock:
            gone = {key: self._objects.pop(key) for key in keys if key in self._objects}
        if gone:
            self._on_change({}, list(gone), False)
        return list(gone)

    def set_memory_limit(self, limit_bytes: int | None) -> None:
        """Take no further objects once the process uses more memory than this."""
        self._memory_limit = limit_bytes

    def check_room(self, size_bytes: int = 0) -> None:
        """See that another object may be kept.

        Args:
            size_bytes: What it will add to the memory that is in use already.

        Raises:
            StoreFullError: The env's limit is reached.
        """
        limit = self._memory_limit
        if limit is None:
            return
        used = memory_in_use() + size_bytes
        if used > limit:
            msg = (
                f"The object was not kept. The worker would use {used / 1e6:,.0f} MB with it, and "
                f"the limit of its env is {limit / 1e6:,.0f} MB. Delete keys that are not needed "
                f"(it holds {len(self)}), or raise the limit with cluster.set_limits()."
            )
            raise StoreFullError(msg, used_bytes=used, limit_bytes=limit)

    def _find(self, held: dict[str, Any], key: str) -> Any:
        with self._lock:
            if key in held:
                return held[key]
        msg = (
            f"The worker holds nothing under the key {key!r}. It was never sent, was deleted or "
            "renamed, or was lost with an earlier worker. Send it again with .to()."
        )
        raise ObjectNotFoundError(msg, key=key)


def type_name(value: object) -> str:
    """Return the type of a value as `"module:qualified.name"`."""
    cls = type(value)
    return f"{cls.__module__}:{cls.__qualname__}"


def attribute_names(value: object) -> list[str]:
    """Return the names of the public attributes that an object has beside those of its class.

    Of an object with very many, only the first ones.
    """
    names = list(itertools.islice(getattr(value, "__dict__", ()), _MOST_NAMES))
    return [name for name in names if isinstance(name, str) and not name.startswith("_")]


def memory_in_use() -> int:
    """Return the resident memory of this process in bytes (proc(5), statm)."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
