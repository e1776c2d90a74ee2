"""From files of requirements to what an installer takes; read when an env is set up, not before."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runhouse.specs.package import Package

_TOML_READER = "tomllib" if sys.version_info >= (3, 11) else "tomli"
_INCLUDE = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]*(\S+)")
_EDITABLE = re.compile(r"(?:-e|--editable)[ =]*(\S+)")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_DEEPEST = 10


@dataclass(frozen=True, slots=True)
class Requirements:
    """Hold what is to be installed.

    Attributes:
        lines: Lines of a requirements file, in their order.
        pylock: The text of a `pylock.toml`, or empty.
        conda: Packages of conda.
        projects: Directories here whose code is needed too.
    """

    lines: tuple[str, ...] = ()
    pylock: str = ""
    conda: tuple[str, ...] = ()
    projects: tuple[Path, ...] = ()


class Reader:
    """Collect what packages need."""

    def __init__(self, base: Path, export: Callable[[Path], str], mirror: Sequence[str]) -> None:
        """Start empty.

        Args:
            base: The directory from which relative paths go.
            export: Returns a `uv.lock` as lines with versions and hashes; given its directory.
            mirror: Requirements that `"mirror"` stands for.
        """
        self._base = base
        self._export = export
        self._mirror = mirror
        self._lines: list[str] = []
        self._pylock = ""
        self._conda: list[str] = []
        self._projects: list[Path] = []

    def read(self, packages: Iterable[Package]) -> Requirements:
        """Read packages in their order.

        Raises:
            ValueError: A file is not there, or cannot be understood.
        """
        for package in packages:
            self._add(package)
        if self._pylock and self._lines:
            msg = (
                "The packages cannot be installed. A pylock.toml is all that an env has, and "
                f"{self._lines[0]!r} is named beside it. Add it to the lock file."
            )
            raise ValueError(msg)
        return Requirements(
            tuple(dict.fromkeys(self._lines)),
            self._pylock,
            tuple(dict.fromkeys(self._conda)),
            tuple(dict.fromkeys(self._projects)),
        )

    def _add(self, package: Package) -> None:
        if package.sort == "requirement":
            self._lines.append(package.text)
        elif package.sort == "conda":
            self._conda.append(package.text)
        elif package.sort == "mirror":
            self._lines += self._mirror
        elif package.sort == "project":
            self._add_project(self._existing(package.text))
        else:
            self._add_file(self._existing(package.text), package.extras)

    def _existing(self, text: str) -> Path:
        path = (self._base / Path(text).expanduser()).resolve()
        if not path.exists():
            msg = (
                f"{text!r} cannot be installed. There is no {path} on this machine. Correct the "
                "path; relative ones go from the env's working_dir."
            )
            raise ValueError(msg)
        return path

    def _add_project(self, folder: Path) -> None:
        """Add a project: its code is synced, what it depends on is installed."""
        if not folder.is_dir():
            msg = f"{folder} cannot be installed. It is no directory. Name the project's directory."
            raise ValueError(msg)
        self._projects.append(folder)
        table = _toml(folder / "pyproject.toml") if (folder / "pyproject.toml").is_file() else {}
        if "dependencies" in table.get("project", {}):
            self._lines += _dependencies(table, (), folder / "pyproject.toml")
        elif (folder / "requirements.txt").is_file():
            self._add_file(folder / "requirements.txt", ())

    def _add_file(self, path: Path, extras: Sequence[str]) -> None:
        if path.name == "pyproject.toml":
            self._lines += _dependencies(_toml(path), extras, path)
        elif path.name == "uv.lock":
            self._lines += _statements(self._export(path.parent))
        elif path.suffix == ".toml":
            self._pylock = path.read_text(encoding="utf-8")
        else:
            self._add_text(path, 0)

    def _add_text(self, path: Path, depth: int) -> None:
        """Add the lines of a requirements file, and of those that it names."""
        if depth > _DEEPEST:
            msg = f"{path} cannot be read. Files of requirements name each other in a ring."
            raise ValueError(msg)
        for line in _statements(path.read_text(encoding="utf-8")):
            include, editable = _INCLUDE.fullmatch(line), _EDITABLE.fullmatch(line)
            if include is not None and line.startswith(("-c", "--constraint")):
                msg = f"{path} cannot be used. Constraints (-c) are not known. Write the versions."
                raise ValueError(msg)
            if include is not None:
                self._add_text(self._beside(path, include[1]), depth + 1)
            elif editable is not None or line.startswith(("./", "../", "/")) or line == ".":
                self._add_project(self._beside(path, editable[1] if editable else line))
            else:
                self._lines.append(line)

    def _beside(self, path: Path, text: str) -> Path:
        return self._existing(str(path.parent / Path(text).expanduser()))


def _statements(text: str) -> list[str]:
    """Return the lines of a requirements file: joined, and without comments."""
    joined = re.sub(r"[ \t]*\\\n[ \t]*", " ", text)
    lines = (_COMMENT.sub("", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _toml(path: Path) -> dict[str, Any]:
    try:
        reader = importlib.import_module(_TOML_READER)
        return dict(reader.loads(path.read_text(encoding="utf-8")))
    except ImportError as error:
        msg = f"{path} cannot be read. Python 3.10 has no TOML reader of its own. Install tomli."
        raise ValueError(msg) from error
    except ValueError as error:
        msg = f"{path} cannot be read. It is not valid TOML: {error}. Correct it."
        raise ValueError(msg) from error


def _dependencies(table: dict[str, Any], extras: Sequence[str], path: Path) -> list[str]:
    """Return what a `pyproject.toml` depends on, with some of its extras."""
    project = table.get("project", {})
    optional = {
        _plain(name): lines for name, lines in project.get("optional-dependencies", {}).items()
    }
    groups = {
        _plain(name): [line for line in lines if isinstance(line, str)]
        for name, lines in table.get("dependency-groups", {}).items()
    }
    lines = list(project.get("dependencies", []))
    for extra in extras:
        found = optional.get(_plain(extra), groups.get(_plain(extra)))
        if found is None:
            known = ", ".join(sorted({*optional, *groups})) or "none"
            msg = f"{path} has no extra {extra!r}. It has: {known}. Correct the name."
            raise ValueError(msg)
        lines += found
    return lines


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
