"""Other projects that a project's code imports from, as editable installs make possible."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.clusters.projects import import_root, is_installed, loose_root, project_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Also within functions, and what is only looked at by type checkers: too much does no harm.
_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([^\W\d][\w]*)[\w.]*[ \t]+import\b"
    rb"|import[ \t]+([^#\n;]+))",
    re.MULTILINE,
)
_OWN = "runhouse"  # which every host gets by itself


@dataclass(frozen=True, slots=True)
class Companion:
    """Describe another project whose code is needed too.

    Attributes:
        root: Its directory.
        import_roots: Relative to it, where imports are looked for.
    """

    root: Path
    import_roots: tuple[str, ...]


def companions(root: Path | None, modules: Iterable[str] = ()) -> tuple[Companion, ...]:
    """Return the projects beside one from which its loaded modules import, and theirs again.

    Installed packages are none: those are brought by envs.

    Args:
        root: The project, or None.
        modules: Further modules that are needed, wherever they are.
    """
    found: dict[Path, set[str]] = {}
    _add(found, root, {name.partition(".")[0] for name in modules} - {"__main__", _OWN})
    pending = [root] if root is not None else list(found)
    for each in pending:  # which grows meanwhile
        _add(found, root, _imported_names(each))
        pending += [other for other in found if other not in pending]
    return tuple(Companion(each, tuple(sorted(tops))) for each, tops in found.items())


def _add(found: dict[Path, set[str]], root: Path | None, names: Iterable[str]) -> None:
    """Note the projects of some top-level modules."""
    for name in sorted(names):
        file = _file_of(name)
        if file is None or is_installed(file) or (root is not None and file.is_relative_to(root)):
            continue
        top = import_root(name, file)
        other = project_root(file) or loose_root(top)
        if other is not None:
            found.setdefault(other, set()).add(top.relative_to(other).as_posix())


def imported_by(root: Path | None, modules: Iterable[str]) -> set[str]:
    """Return the top-level modules that some modules import, and those of their project in turn.

    Args:
        root: Their project, or None.
        modules: The modules, by name; those that are not loaded have no imports that are known.
    """
    names = {name.partition(".")[0] for name in modules}
    files = {
        _resolved(file)
        for name in modules
        if isinstance(file := getattr(sys.modules.get(name), "__file__", None), str)
    }
    if root is None:
        return names
    return names | _closure({path for path in files if _is_source(path, root)}, root)


def _imported_names(root: Path) -> set[str]:
    """Return the top-level modules that loaded modules of a project import, the standard ones not.

    Modules of the project that they import only later, within functions, count too.
    """
    return _closure(set(_loaded_files(root)), root)


def _closure(files: set[Path], root: Path) -> set[str]:
    """Return what files of a project import, and what those files of it import that they import."""
    names: set[str] = set()
    while files:
        new = {name for path in files for name in _imports(path, path.stat().st_mtime_ns)} - names
        names |= new
        inside = (_file_of(name) for name in new)
        files = {path for path in inside if path is not None and _is_source(path, root)}
    return names


def _loaded_files(root: Path) -> Iterator[Path]:
    """Give the source files of the modules of a project that are loaded."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and _is_source(path := _resolved(file), root):
            yield path


def _is_source(path: Path, root: Path) -> bool:
    inside = path.suffix == ".py" and path.is_relative_to(root)
    return inside and path.is_file() and not is_installed(path)


@lru_cache(maxsize=4096)
def _resolved(file: str) -> Path:
    folder, name = os.path.split(file)
    path = Path(_resolved_folder(folder), name)
    return path.resolve() if path.is_symlink() else path


@lru_cache(maxsize=1024)
def _resolved_folder(folder: str) -> str:
    return os.path.realpath(folder)


@lru_cache(maxsize=4096)
def _imports(path: Path, mtime_ns: int) -> frozenset[str]:
    """Return the top-level modules that a source file imports, the standard ones not."""
    del mtime_ns  # tells states of the file apart
    names: set[str] = set()
    for one, several in _IMPORT.findall(path.read_bytes()):
        for part in [one] if one else several.split(b","):
            names.add(part.strip().partition(b" ")[0].partition(b".")[0].decode("utf-8", "replace"))
    return frozenset(filter(str.isidentifier, names)) - sys.stdlib_module_names - {_OWN}


def _file_of(name: str) -> Path | None:
    """Return the source of a top-level module or package, without importing it."""
    module = sys.modules.get(name)
    try:
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.origin is not None and spec.has_location:
        return Path(spec.origin).resolve()
    for place in spec.submodule_search_locations or ():  # a namespace package
        return Path(place).resolve() / "__init__.py"
    return None
