"""Which project code belongs to, and what of it is imported from where."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

_MARKERS = (".git", "pyproject.toml")
_INSTALLED = {"site-packages", "dist-packages"}  # also of other interpreters, through PYTHONPATH


@lru_cache(maxsize=1)
def _installed_places() -> tuple[Path, ...]:
    """Return where the interpreter keeps its own and installed modules."""
    paths = sysconfig.get_paths()
    named = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(
        Path(place).resolve()
        for place in {*named, *site.getsitepackages(), site.getusersitepackages()}
    )


@lru_cache(maxsize=4096)
def is_installed(path: Path) -> bool:
    """Tell whether a file belongs to the interpreter or to an installed package."""
    if not _INSTALLED.isdisjoint(path.parts):
        return True
    return any(path.is_relative_to(place) for place in _installed_places())


def project_root(path: Path) -> Path | None:
    """Return the project of a file or directory: the nearest one with `.git` or `pyproject.toml`.

    The home directory and what is above it are never a project.
    """
    for directory in (path, *path.parents):
        if _too_wide(directory):
            return None
        if any((directory / marker).exists() for marker in _MARKERS):
            return directory
    return None


def _too_wide(directory: Path) -> bool:
    """Tell whether a directory surely holds more than one project."""
    return directory in _wide_places(Path.home(), tempfile.gettempdir())


@lru_cache(maxsize=4)
def _wide_places(home: Path, temporary: str) -> frozenset[Path]:
    """Return the home directory, the one for temporary files, and what is above them."""
    both = home.resolve(), Path(temporary).resolve()
    return frozenset(place for end in both for place in (end, *end.parents))


def loose_root(directory: Path) -> Path | None:
    """Return the directory of code that is in no project, unless that is too wide to send."""
    return None if _too_wide(directory) else directory


def homeless_modules() -> list[ModuleType]:
    """Return the loaded modules whose directory is too wide to send, as the home directory is."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name == "__main__" or not isinstance(file, str) or not os.path.isabs(file):
            continue
        if _too_wide(import_root(name, Path(file))):
            found.append(module)
    return found


def project_of_directory(directory: Path) -> Path:
    """Return the project of a directory, or the directory itself.

    Raises:
        ValueError: It is too wide to be one, as the home directory is.
    """
    path = directory.expanduser().resolve()
    root = project_root(path) or loose_root(path)
    if root is None:
        msg = (
            f"{path} is no project. It holds all that there is. Give a directory of its own to "
            "what is to be sent."
        )
        raise ValueError(msg)
    return root


def import_root(module: str, path: Path) -> Path:
    """Return the directory from which a module was imported."""
    depth = module.count(".") + (1 if path.stem == "__init__" else 0)
    return path.parents[min(depth, len(path.parents) - 1)]  # some modules have made up their names


def import_roots(root: Path, first: Path) -> tuple[str, ...]:
    """Return, relative to a project, where its imports are looked for."""
    places = [first, *(Path(entry or os.getcwd()).resolve() for entry in sys.path)]
    inside = [place for place in places if place.is_relative_to(root) and not is_installed(place)]
    return tuple(dict.fromkeys(place.relative_to(root).as_posix() for place in inside))


def project_of_modules(modules: Iterable[str]) -> tuple[Path | None, tuple[str, ...]]:
    """Return the project that the first of some modules with a project belongs to.

    Returns:
        Its directory, or None when all of them are installed or unknown here; and, relative to it,
        where imports are looked for.
    """
    for name in sorted(modules):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None or is_installed(Path(file).resolve()):
            continue
        path = Path(file).resolve()
        top = path.parent if name == "__main__" else import_root(name, path)
        root = project_root(path) or loose_root(top)
        if root is not None:
            return root, import_roots(root, top)
    return None, ()
