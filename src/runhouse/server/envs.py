"""What the server knows about envs: where each one's interpreter is, and what its workers get.

How they are made is the clients' business; the server is told when one is there. Values of
variables are in files that only this user can read, and in no answer.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runhouse.files import write_private
from runhouse.server.names import is_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The mark of an env on the disk: each worker holds a shared lock of it, so that nobody removes what
# is in use, and its time is when the env was used last.
_MARK = ".runhouse-env.json"
# Variables of an interpreter that would lead another one astray.
_STRAY = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX")


@dataclass(frozen=True, slots=True)
class Binding:
    """Say what the workers of an env's name get.

    Attributes:
        name: The env's name.
        digest: Digest of all this: workers of another one are replaced.
        prefix: The env's directory; empty for the host's own interpreter.
        python_version: The version of its Python.
        variables: Variables of its workers.
        workers: How many there are for the code of a project.
        gpus: How many GPUs each of them sees; None: all.
        imports: Directories in which its workers look for imports as well.
        definition: What the client made it of, for those who ask.
    """

    name: str
    digest: str
    prefix: str = ""
    python_version: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    workers: int = 1
    gpus: int | None = None
    imports: Sequence[str] = ()
    definition: Mapping[str, Any] = field(default_factory=dict)

    @property
    def python(self) -> str:
        """Return the interpreter, or nothing for the host's own."""
        return str(Path(self.prefix, "bin", "python")) if self.prefix else ""

    @property
    def is_there(self) -> bool:
        """Tell whether the interpreter is on the disk."""
        return not self.prefix or os.access(self.python, os.X_OK)

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of a worker.

        Args:
            own: Those of the server.
        """
        if not self.prefix:
            return {**own, **self.variables}
        given = {name: value for name, value in own.items() if name not in _STRAY}
        path = f"{self.prefix}/bin:{given.get('PATH', os.defpath)}"
        return {**given, "PATH": path, "VIRTUAL_ENV": self.prefix, **self.variables}

    def open_mark(self) -> int | None:
        """Note that the env is used, and open its mark; None when it has none."""
        path = os.path.join(self.prefix, _MARK)
        try:
            descriptor = os.open(path, os.O_RDONLY)
            os.utime(descriptor)
        except OSError:
            return None
        return descriptor

    def script(self) -> str:
        """Return shell lines that set the same variables for commands."""
        lines = [f"unset {' '.join(_STRAY)}"] if self.prefix else []
        if self.prefix:
            lines += [f"export VIRTUAL_ENV={shlex.quote(self.prefix)}"]
            lines += [f'export PATH={shlex.quote(self.prefix)}/bin:"$PATH"']
        lines += [f"export {name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return "\n".join([*lines, ""])


class Bindings:
    """Keep the bindings of all names, in memory and in files."""

    def __init__(self, directory: Path) -> None:
        """Store where the files are; they are read when somebody asks."""
        self._directory = directory
        self._known: dict[str, Binding] | None = None

    def _all(self) -> dict[str, Binding]:
        if self._known is None:
            found = map(_read, self._directory.glob("*.json"))
            self._known = {each.name: each for each in found if each is not None}
        return self._known

    def find(self, name: str) -> Binding | None:
        """Return what a name is bound to, or None."""
        return self._all().get(name)

    def has(self, name: str, digest: str) -> bool:
        """Tell whether a name stands for what is asked for, and that is on the disk.

        Args:
            name: The env's name.
            digest: What it must be; empty for anything, also the host's own interpreter.
        """
        binding = self.find(name)
        if binding is None:
            return not digest
        return digest in ("", binding.digest) and binding.is_there

    def list(self) -> list[Binding]:
        """Return all bindings by name."""
        return [self._all()[name] for name in sorted(self._all())]

    def set(self, binding: Binding) -> None:
        """Bind a name; what was bound to it before is forgotten."""
        content = json.dumps(asdict(binding)).encode()
        write_private(self._directory / f"{binding.name}.sh", binding.script().encode())
        write_private(self._directory / f"{binding.name}.json", content)
        self._all()[binding.name] = binding

    def remove(self, name: str) -> bool:
        """Forget a name; return whether it was bound."""
        known = self._all().pop(name, None) is not None
        for suffix in ("json", "sh"):
            (self._directory / f"{name}.{suffix}").unlink(missing_ok=True)
        return known

    def to_json(self, binding: Binding) -> dict[str, Any]:
        """Return what is told about a binding: no values of variables."""
        fields = asdict(binding) | {"variables": sorted(binding.variables)}
        return fields | {"script": str(self._directory / f"{binding.name}.sh")}


def _read(path: Path) -> Binding | None:
    """Return the binding of a file; None when it cannot be read."""
    try:
        found = Binding(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return found if is_name(found.name) else None
