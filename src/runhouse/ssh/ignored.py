"""What of a project stays here: what git ignores, and what `.rhignore` files name."""

from __future__ import annotations

import importlib
import os
from enum import Enum
from typing import TYPE_CHECKING

from runhouse.ssh.repository import ignored_by_git

if TYPE_CHECKING:
    from pathlib import Path

    import pathspec


class Verdict(Enum):
    """What becomes of a file or folder; a folder that git ignores may hold some that are taken."""

    TAKEN = "taken"
    LEFT_OUT = "left out"
    SEARCHED = "searched"


class Ignored:
    """Tell what of a project is left out.

    `.rhignore` files, whose patterns are those of `.gitignore`, come first: they leave out what git
    tracks, and `!pattern` in them takes along what git ignores.
    """

    def __init__(self, root: Path, prefix: str = "", own: _Patterns | None = None) -> None:
        """Ask git, where the directory is a work tree; else its `.gitignore` files are read.

        Args:
            root: The project's directory.
            prefix: The repository inside, as its path from the root with a slash; empty: the root.
            own: The patterns of the project's `.rhignore` files; None: not read yet.
        """
        self._root = root
        self._prefix = prefix
        self._own = own or _Patterns(root, ".rhignore")
        self._by_git = ignored_by_git(root / prefix)
        self._files = _Patterns(root / prefix, ".gitignore")

    def in_repository(self, prefix: str) -> Ignored:
        """Return the same for a repository inside, with its path from the root and a slash."""
        return Ignored(self._root, prefix, self._own)

    def verdict(self, path: str, is_folder: bool, inherited: bool) -> Verdict:
        """Say what becomes of a path from the project's root.

        Args:
            path: The path.
            is_folder: Whether it is a folder.
            inherited: Whether git ignores the folder that it is in.
        """
        own = self._own.verdict(path, is_folder)
        if own is not None:
            return Verdict.LEFT_OUT if own else Verdict.TAKEN
        if not inherited and not self._ignored_by_git(path[len(self._prefix) :], is_folder):
            return Verdict.TAKEN
        return Verdict.SEARCHED if is_folder and self._own.takes_back(path) else Verdict.LEFT_OUT

    def _ignored_by_git(self, path: str, is_folder: bool) -> bool:
        if self._by_git is not None:
            return (path + "/" if is_folder else path) in self._by_git
        return bool(self._files.verdict(path, is_folder))


class _Patterns:
    """Hold the ignore files of one name in a tree: the nearest one that says so decides."""

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._name = name
        self._specs: dict[str, pathspec.GitIgnoreSpec | None] = {}
        self._chains: dict[str, list[tuple[int, pathspec.GitIgnoreSpec]]] = {}

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """Return whether a path is to be left out or taken along, or None when nothing says so."""
        subject = path + "/" if is_folder else path
        for cut, spec in self._above(path):
            verdict = spec.check_file(subject[cut:]).include
            if verdict is not None:
                return verdict
        return None

    def takes_back(self, path: str) -> bool:
        """Tell whether anything that a folder holds might be taken along by an exception."""
        return any(
            pattern.include is False for _, spec in self._above(path) for pattern in spec.patterns
        )

    def _above(self, path: str) -> list[tuple[int, pathspec.GitIgnoreSpec]]:
        """Return the patterns that are about a path, the nearest first, and where theirs begins."""
        folder = path[: path.rfind("/") + 1]
        chain = self._chains.get(folder)
        if chain is None:
            spec = self._spec(folder)
            own = [(len(folder), spec)] if spec is not None else []
            chain = self._chains[folder] = own + (self._above(folder[:-1]) if folder else [])
        return chain

    def _spec(self, folder: str) -> pathspec.GitIgnoreSpec | None:
        if folder not in self._specs:
            file = self._root / folder / self._name
            try:
                lines = os.fsdecode(file.read_bytes()).splitlines()
            except OSError:
                self._specs[folder] = None
            else:
                # Loaded here: code in a worker, which has no pathspec, imports this module too.
                library = importlib.import_module("pathspec")
                self._specs[folder] = library.GitIgnoreSpec.from_lines(lines)
        return self._specs[folder]
