"""Find the Pythons of this machine, so that a rig can show some of them and hide the others."""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

_ASK = (
    "import json, site, sys; print(json.dumps(['%d.%d' % sys.version_info[:2], sys.prefix,"
    " getattr(sys, 'base_prefix', sys.prefix), site.getsitepackages()]))"
)
_DIRECTORIES = ("/usr/bin", "/usr/local/bin", "/usr/local/*/bin", "/bin")
# What runs Python code, or would bring a Python.
_NAMES = ("python", "python[0-9]*", "pypy*", "pip", "pip[0-9]*", "uv", "uvx", "pyenv", "conda")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Describe an installed Python.

    Attributes:
        version: Its version without the last part, as in `"3.11"`.
        executable: The file to run.
        prefix: The directory that it takes itself to be installed in.
        base_prefix: The same, but for a virtual environment that of the Python it was made from.
        packages: Directories of third-party packages.
    """

    version: str
    executable: Path
    prefix: Path
    base_prefix: Path
    packages: tuple[Path, ...]

    @property
    def is_environment(self) -> bool:
        """Tell whether it is a virtual environment."""
        return self.prefix != self.base_prefix

    @property
    def is_system(self) -> bool:
        """Tell whether it shares its prefix with the rest of the system."""
        return self.base_prefix in {Path("/usr"), Path("/usr/local")}

    @property
    def program(self) -> Path:
        """Return the file to run, not a shorter name for it in a directory of the system."""
        if self.is_system and not self.is_environment:
            return self.base_prefix / "bin" / f"python{self.version}"
        return self.executable

    @property
    def chain(self) -> list[Path]:
        """Return the program and what it is a link to, step by step, in real directories."""
        steps = [self.program]
        while steps[-1].is_symlink():
            step = steps[-1].parent / os.readlink(steps[-1])
            steps.append(step.parent.resolve() / step.name)
        return steps

    @property
    def library(self) -> Path:
        """Return the directory of its standard library."""
        return self.base_prefix / "lib" / f"python{self.version}"


@cache
def _examine(executable: str) -> Interpreter | None:
    """Ask an interpreter about itself; None when it does not run."""
    environ = {"PATH": "/usr/bin:/bin"}
    try:
        done = subprocess.run(
            [executable, "-c", _ASK], env=environ, check=False, capture_output=True, timeout=10
        )
    except OSError:
        return None
    if done.returncode:
        return None
    version, prefix, base_prefix, packages = json.loads(done.stdout)
    return Interpreter(
        version, Path(executable), Path(prefix), Path(base_prefix), tuple(map(Path, packages))
    )


def _newest_first(path: str) -> list[int]:
    return [-int(number) for number in re.findall(r"\d+", path)]


def _candidates(version: str) -> list[str]:
    """Return paths at which an interpreter of a version may be, the best first."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    managed = glob.glob(f"{pyenv}/versions/{version}.*/bin/python{version}")
    managed += glob.glob(
        os.path.expanduser(f"~/.local/share/uv/python/cpython-{version}.*/bin/python{version}")
    )
    own = f"{sys.base_prefix}/bin/python{version}"
    rest = [f"{directory}/python{version}" for directory in ("/usr/local/bin", "/usr/bin")]
    return [own, *sorted(managed, key=_newest_first), *rest]


def find(wanted: str) -> Interpreter:
    """Return an installed Python, or skip the test that needs it.

    Args:
        wanted: A version as in `"3.11"`, or the path of an interpreter.
    """
    for path in [wanted] if "/" in wanted else _candidates(wanted):
        found = _examine(path) if os.access(path, os.X_OK) else None
        if found is not None:
            return found
    pytest.skip(f"there is no Python {wanted} here: install it, for example with pyenv")


def own_version() -> str:
    """Return the version of the Python that runs this."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


@cache
def system_programs() -> tuple[str, ...]:
    """Return the paths of all programs of system directories that are, or bring, a Python."""
    return tuple(
        sorted(
            path
            for directory in _DIRECTORIES
            if not os.path.islink(directory)
            for name in _NAMES
            for path in glob.glob(f"{directory}/{name}")
        )
    )
