"""The objects that a worker holds, and the functions and classes that it was told about."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runhouse.errors import ObjectNotFoundError
from runhouse.wire.pickling import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runhouse.wire.messages import Code


def add_import_roots(roots: Iterable[str]) -> None:
    """Let imports look into directories first, as they do where the code comes from."""
    missing = [root for root in roots if root not in sys.path]
    if missing:
        sys.path[:0] = missing
        importlib.invalidate_caches()


def load_code(code: Code) -> Any:
    """Import a function or class by reference; its paths are those of this machine."""
    if code.file and code.module not in sys.modules:
        _load_script(code.module, Path(code.file))
    return resolve(code.module, code.name)


def _load_script(name: str, file: Path) -> None:
    """Import a script under a name of its own; `__name__` is not `"__main__"` in it."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        msg = f"The script {file} cannot be imported. It is no Python source file. Rename it."
        raise ImportError(msg, name=name, path=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


class Objects:
    """Hold definitions and instances by key; safe for use from several threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._definitions: dict[str, Any] = {}
        self._instances: dict[str, Any] = {}

    def __len__(self) -> int:
        """Return how many instances are held; definitions can be sent again and do not count."""
        return len(self._instances)

    def define(self, key: str, value: Any) -> None:
        """Keep a function or class under a key; a later one replaces it."""
        with self._lock:
            self._definitions[key] = value

    def definition(self, key: str) -> Any:
        """Return a function or class.

        Raises:
            ObjectNotFoundError: There is none under the key.
        """
        return self._find(self._definitions, key)

    def put(self, key: str, value: Any) -> None:
        """Keep an instance under a key; a later one replaces it."""
        with self._lock:
            self._instances[key] = value

    def get(self, key: str) -> Any:
        """Return an instance.

        Raises:
            ObjectNotFoundError: There is none under the key.
        """
        return self._find(self._instances, key)

    def _find(self, held: dict[str, Any], key: str) -> Any:
        with self._lock:
            if key in held:
                return held[key]
        msg = (
            f"The worker holds nothing under the key {key!r}. "
            "It was never sent, or was lost with an earlier worker. Send it again with .to()."
        )
        raise ObjectNotFoundError(msg, key=key)
