"""Import the functions and classes that calls name from the copies of users' projects."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runhouse.wire.pickling import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.abc import PathEntryFinder

    from runhouse.wire.messages import Code

_roots: list[str] = []
_INSTALLED = (os.sep + "site-packages", os.sep + "dist-packages")


def add_import_roots(roots: Iterable[str]) -> None:
    """Let imports look into directories first, as they do where the code comes from."""
    missing = [root for root in roots if root not in sys.path]
    if missing:
        if _finder not in sys.path_hooks:
            sys.path_hooks.insert(0, _finder)
        _roots.extend(missing)
        sys.path[:0] = missing
        importlib.invalidate_caches()


def load_code(code: Code) -> Any:
    """Import a function or class by reference; its paths are those of this machine."""
    if code.file and code.module not in sys.modules:
        _load_script(code.module, Path(code.file))
    return resolve(code.module, code.name)


class _SourceLoader(SourceFileLoader):
    """Take no bytecode that is older than its source, as far as this machine's clock tells.

    Python compares the whole seconds of the source's time and its size, and an edit right after a
    call may change neither.
    """

    def get_data(self, path: str) -> bytes:
        if path.endswith(".pyc") and os.stat(path).st_mtime_ns <= os.stat(self.path).st_ctime_ns:
            msg = "the source has changed since"
            raise OSError(msg)  # to the caller there is no bytecode
        return super().get_data(path)


_found_by = FileFinder.path_hook(
    (ExtensionFileLoader, EXTENSION_SUFFIXES), (_SourceLoader, SOURCE_SUFFIXES)
)


def _finder(path: str) -> PathEntryFinder:
    """Find modules in the directories that were added, and below them; see `sys.path_hooks`."""
    inside = any(path == root or path.startswith(root + os.sep) for root in _roots)
    if not inside or any(name in path for name in _INSTALLED):
        msg = "not in a user's project"
        raise ImportError(msg)
    return _found_by(path)


def _load_script(name: str, file: Path) -> None:
    """Import a script under a name of its own; `__name__` is not `"__main__"` in it."""
    known = file.suffix in SOURCE_SUFFIXES
    loader = _SourceLoader(name, str(file)) if known else None
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
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
