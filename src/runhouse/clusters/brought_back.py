"""A project's copy for a notebook, and how what has changed in it comes back."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.clusters.launching import say
from runhouse.clusters.projects import project_of_directory
from runhouse.ssh.project import list_project

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runhouse.clusters.jupyter import Jupyter

Signature = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Copy:
    """Be the copy of a project that a notebook works in.

    Attributes:
        jupyter: The notebook.
        root: The project here.
        directory: The copy on the host.
        before: What each file here was like when the copy was made.
    """

    jupyter: Jupyter
    root: Path
    directory: str
    before: Mapping[str, Signature]

    @classmethod
    def make(cls, jupyter: Jupyter, path: Path) -> Copy:
        """Make the copy, or bring an earlier one up to date.

        Raises:
            ValueError: The directory is too wide to be a project.
            SyncError: It cannot be copied.
        """
        root = project_of_directory(path)
        files = [each.path for each in list_project(root).files]
        before = {path: _signature(root / path) for path in files}
        placed = jupyter.host.place(root)
        if jupyter.host.is_here:
            return cls(jupyter, root, placed.directory, {})
        directory = jupyter.checked("copy", {"source": placed.directory})["path"]
        return cls(jupyter, root, directory, before)

    def bring_back(self) -> None:
        """Replace the files here by those that have changed in the copy.

        One that has changed here as well is kept: the other is put beside it.
        """
        if self.jupyter.host.is_here:
            return
        gathered = self.jupyter.checked("collect", {})
        if not gathered["count"]:
            return
        with tempfile.TemporaryDirectory(prefix="rh-notebook-") as folder:
            host = self.jupyter.host
            host.copy(gathered["path"], folder, up=False, contents=True)
            files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            for file in files:
                self._take(file, file.relative_to(folder))
        say(f"{len(files)} files have come back to {self.root}")

    def _take(self, file: Path, path: Path) -> None:
        target = self.root / path
        if target.exists() and filecmp.cmp(file, target, shallow=False):
            return
        if _signature(target) != self.before.get(str(path), (0, 0)):
            other = target.with_name(f"{target.stem}.from-{self.jupyter.host.host}{target.suffix}")
            say(f"{target} has changed here too; what it was changed to there is {other}")
            target = other
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copy2(file, beside)
        beside.replace(target)


def _signature(file: Path) -> Signature:
    """Return size and time of a file; zeros when it is not there."""
    try:
        facts = file.stat()
    except FileNotFoundError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns
