"""What git says of a project: what it ignores, which branch is checked out, and so its names."""

from __future__ import annotations

import os
import socket
import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


def ignored_by_git(root: Path) -> frozenset[str] | None:
    """Return what git ignores under a root, folders with a slash; None outside a work tree."""
    answer = _git(root, "ls-files", "-oi", "--exclude-standard", "--directory", "-z")
    if answer is None:
        return None
    names = frozenset(os.fsdecode(name) for name in answer.split(b"\0") if name)
    # The project is itself in an ignored folder of a repository around it, which says nothing.
    return None if "./" in names else names


def current_branch(root: Path) -> str:
    """Return the branch of a work tree, or nothing outside of one or between branches."""
    answer = _git(root, "symbolic-ref", "--quiet", "HEAD")
    return os.fsdecode(answer.strip()) if answer is not None else ""


def _git(root: Path, *words: str) -> bytes | None:
    """Return what git answers, or None without git or a repository."""
    environment = {key: value for key, value in os.environ.items() if key not in _VARIABLES}
    try:
        answer = subprocess.run(
            ["git", *words], cwd=root, env=environment, capture_output=True, check=False
        )
    except FileNotFoundError:
        return None
    return None if answer.returncode else answer.stdout


def copy_names(root: Path, home: Path) -> tuple[str, str]:
    """Return what a project's copies on hosts are called: in general, and that of its branch.

    Args:
        root: The project's directory; another user's or another machine's has other copies.
        home: Where this user's files of runhouse are.
    """
    identity = f"{socket.gethostname()}\0{home}\0{root}"
    name = f"{root.name or 'root'}-{_digest(identity)}"
    branch = current_branch(root)
    return name, f"{name}-{_digest(branch)}" if branch else name


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
