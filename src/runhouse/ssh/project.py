"""What belongs to a project directory: its files without what git ignores or tools have made."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.errors import SyncError

if TYPE_CHECKING:
    import pathspec

# Left out wherever they are, together with virtual environments.
TOOL_FOLDERS = (
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".tox",
    ".nox",
)
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")

_IsIgnored = Callable[[str, bool], bool]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Describe one file of a project.

    Attributes:
        path: Its path from the root, with slashes.
        size_bytes: Its size; 0 for a symbolic link.
        mtime_ns: When it was last changed.
    """

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Hold what of a project is to be copied, and what not.

    Attributes:
        root: The project's directory.
        files: Its files and symbolic links, sorted by path.
        ignored: Paths that are left out, folders with a slash at the end; nothing inside an
            ignored folder is named, nor are the folders of `TOOL_FOLDERS`.
        size_bytes: The sum of the sizes.
    """

    root: Path
    files: tuple[FileEntry, ...]
    ignored: tuple[str, ...]
    size_bytes: int

    @property
    def generation(self) -> str:
        """Return a digest that changes when a Python source file has changed."""
        digest = hashlib.sha256()
        for file in self.files:
            if file.path.endswith(".py"):
                line = f"{file.path}\0{file.size_bytes}\0{file.mtime_ns}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    def largest_folders(self, count: int = 5) -> tuple[tuple[str, int], ...]:
        """Return the folders with the most bytes in them, as (path, bytes), largest first.

        A folder that owes most of its size to one folder in it is not named beside that one.
        """
        sizes: dict[str, int] = {}
        for file in self.files:
            folder = file.path.rpartition("/")[0]
            while folder:
                sizes[folder] = sizes.get(folder, 0) + file.size_bytes
                folder = folder.rpartition("/")[0]
        shadowed = {
            folder.rpartition("/")[0]
            for folder, size in sizes.items()
            if size > 0.8 * sizes.get(folder.rpartition("/")[0], size)
        }
        rest = [(folder, size) for folder, size in sizes.items() if folder not in shadowed]
        return tuple(sorted(rest, key=lambda pair: (-pair[1], pair[0]))[:count])


def list_project(root: Path) -> Listing:
    """List the files of a project directory.

    Left out are what git ignores (by git itself in a work tree, else by the `.gitignore` files
    found), `.git`, virtual environments and the caches of tools. Sockets and devices are no files.

    Args:
        root: The project's directory.

    Raises:
        NotADirectoryError: `root` is none.
        SyncError: A folder in it cannot be read.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        msg = f"The project {root} cannot be listed. It is not a directory. Give one that exists."
        raise NotADirectoryError(msg)
    by_git = _ignored_by_git(root)
    is_ignored: _IsIgnored
    if by_git is None:
        is_ignored = _GitignoreFiles(root)
    else:
        names = by_git

        def is_ignored(path: str, is_folder: bool) -> bool:
            return path + "/" in names if is_folder else path in names

    files: list[FileEntry] = []
    ignored: list[str] = []
    try:
        for entry in _walk(root, is_ignored):
            if isinstance(entry, str):
                ignored.append(entry)
            else:
                files.append(entry)
    except OSError as error:
        msg = (
            f"The project {root} cannot be listed. {error.filename!r}: {error.strerror}. "
            "Make it readable, or leave it out with .gitignore."
        )
        raise SyncError(msg) from error
    files.sort(key=lambda file: file.path)
    total = sum(file.size_bytes for file in files)
    return Listing(root, tuple(files), tuple(sorted(ignored)), total)


def _walk(root: Path, is_ignored: _IsIgnored) -> Iterator[FileEntry | str]:
    """Give each file, and the path of each thing left out."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name in TOOL_FOLDERS:
                        continue
                    if is_ignored(path, True) or _is_environment(entry.path):
                        yield path + "/"
                    else:
                        pending.append(path + "/")
                elif is_ignored(path, False):
                    yield path
                elif entry.is_symlink():
                    yield FileEntry(path, 0, entry.stat(follow_symlinks=False).st_mtime_ns)
                elif entry.is_file(follow_symlinks=False):
                    facts = entry.stat(follow_symlinks=False)
                    yield FileEntry(path, facts.st_size, facts.st_mtime_ns)


def _is_environment(folder: str) -> bool:
    """Tell whether a folder is a virtual environment or a conda one."""
    return any(os.path.lexists(os.path.join(folder, mark)) for mark in _ENVIRONMENT_MARKS)  # noqa: PTH118 - called for each folder


def _ignored_by_git(root: Path) -> frozenset[str] | None:
    """Return what git ignores under a root, folders with a slash; None outside a work tree."""
    command = ["git", "ls-files", "-oi", "--exclude-standard", "--directory", "-z"]
    environment = {key: value for key, value in os.environ.items() if key not in _GIT_VARIABLES}
    try:
        answer = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, check=False
        )
    except FileNotFoundError:
        return None
    if answer.returncode:
        return None
    names = frozenset(os.fsdecode(name) for name in answer.stdout.split(b"\0") if name)
    # The project is itself in an ignored folder of a repository around it, which says nothing.
    return None if "./" in names else names


class _GitignoreFiles:
    """Answer from the `.gitignore` files of a tree, where the nearest one that says so decides."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._specs: dict[str, pathspec.GitIgnoreSpec | None] = {}

    def __call__(self, path: str, is_folder: bool) -> bool:
        """Tell whether a path is ignored; its parents must not be."""
        subject = path + "/" if is_folder else path
        cut = len(path)
        while cut > 0:
            cut = path.rfind("/", 0, cut)
            spec = self._spec(path[: cut + 1])
            if spec is not None:
                verdict = spec.check_file(subject[cut + 1 :]).include
                if verdict is not None:
                    return verdict
        return False

    def _spec(self, folder: str) -> pathspec.GitIgnoreSpec | None:
        if folder not in self._specs:
            file = self._root / folder / ".gitignore"
            try:
                lines = os.fsdecode(file.read_bytes()).splitlines()
            except OSError:
                self._specs[folder] = None
            else:
                # Loaded here: code in a worker, which has no pathspec, imports this module too.
                library = importlib.import_module("pathspec")
                self._specs[folder] = library.GitIgnoreSpec.from_lines(lines)
        return self._specs[folder]
