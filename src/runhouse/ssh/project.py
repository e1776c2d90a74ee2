"""What belongs to a project directory: its files without what git ignores or tools have made."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runhouse.errors import SyncError
from runhouse.ssh.ignored import Ignored, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class FileEntry(NamedTuple):
    """Describe one file of a project; a tuple, since projects have thousands of them.

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
        sources = [file for file in self.files if file.path.endswith(".py")]
        text = "".join(f"{path}\0{size}\0{mtime_ns}\n" for path, size, mtime_ns in sources)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

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

    Left out are what `.rhignore` files name, what git ignores (by git itself in a work tree or
    submodule, else by the `.gitignore` files found), `.git`, virtual environments and the caches of
    tools. Sockets and devices are no files.

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
    files: list[FileEntry] = []
    ignored: list[str] = []
    try:
        for entry in _walk(root):
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
    files.sort()
    total = sum(file.size_bytes for file in files)
    return Listing(root, tuple(files), tuple(sorted(ignored)), total)


def _walk(root: Path) -> Iterator[FileEntry | str]:
    """Give each file, and the path of each thing left out."""
    pending = [("", Ignored(root), False)]
    while pending:
        prefix, ignored, inherited = pending.pop()
        with os.scandir(root / prefix) as scanned:
            entries = list(scanned)
        if prefix and any(entry.name == ".git" for entry in entries):
            ignored = ignored.in_repository(prefix)  # a submodule: its own git speaks of its files
        for entry in entries:
            path = prefix + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and entry.name in TOOL_FOLDERS:
                continue
            if entry.name == ".git":
                yield path  # of a submodule or a further work tree: says where its repository is
                continue
            verdict = ignored.verdict(path, is_folder, inherited)
            if verdict is Verdict.LEFT_OUT or (is_folder and _is_environment(entry.path)):
                yield path + "/" if is_folder else path
            elif is_folder:
                pending.append((path + "/", ignored, verdict is Verdict.SEARCHED))
            elif entry.is_symlink():
                yield FileEntry(path, 0, entry.stat(follow_symlinks=False).st_mtime_ns)
            elif entry.is_file(follow_symlinks=False):
                facts = entry.stat(follow_symlinks=False)
                yield FileEntry(path, facts.st_size, facts.st_mtime_ns)


def _is_environment(folder: str) -> bool:
    """Tell whether a folder is a virtual environment or a conda one."""
    return any(os.path.lexists(os.path.join(folder, mark)) for mark in _ENVIRONMENT_MARKS)  # noqa: PTH118 - called for each folder
