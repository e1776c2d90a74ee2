"""Envs: interpreter, packages, variables and set-up commands in which workers run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runhouse.registry.names import check_name
from runhouse.specs.compute import Compute
from runhouse.specs.package import Package
from runhouse.specs.secret import Secret

if TYPE_CHECKING:
    from runhouse.specs.requirements import Requirements

_PYTHON = re.compile(r"3\.(?P<minor>\d+)(?:\.\d+)?")
_LEAST_MINOR = 10
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_HERE = "./"
_FIELDS = ("reqs", "name", "working_dir", "env_vars", "setup_cmds", "python", "conda", "offline")
_ALL_FIELDS = (*_FIELDS, "workers", "compute")


@dataclass(frozen=True, slots=True)
class Build:
    """Hold what makes an env's directory on a host: the same content, the same directory.

    Attributes:
        python: A version (`"3.12"`), a path on the host, or empty: what runs the host's workers.
        lines: Requirements, as lines of a requirements file.
        pylock: The text of a `pylock.toml`, or empty.
        conda: A conda environment file, or empty.
        commands: Shell commands to run in it.
        inherits: Whether packages of the interpreter are seen as well.
    """

    python: str = ""
    lines: tuple[str, ...] = ()
    pylock: str = ""
    conda: str = ""
    commands: tuple[str, ...] = ()
    inherits: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """Return a digest for each state on the way: the packages, then each command after it."""
        first = [self.python, self.lines, self.pylock, self.conda, self.inherits]
        steps = [_digest(first)]
        for command in self.commands:
            steps.append(_digest([steps[-1], command]))
        return tuple(steps)

    @property
    def digest(self) -> str:
        """Return the digest of the whole."""
        return self.steps[-1]


@dataclass(frozen=True, slots=True)
class Env:
    """Be an env: what workers run in. Made by `runhouse.env`.

    Files that it names are read when it is set up on a cluster, so that an edit takes effect with
    the next `.to()`.

    Attributes:
        reqs: What is installed.
        name: Its name; empty for one that is named after its content.
        working_dir: The directory here in which the commands run, and from which paths go.
        env_vars: Variables of its workers.
        setup_cmds: Shell commands that complete it, each run once.
        secrets: Secrets that its workers get as variables.
        python: The version (`"3.12"`) or path of its interpreter; empty: that of the cluster.
        conda: A conda environment: the text of its file; empty for none.
        offline: True: the host installs from what is sent; False: never; None: when it must.
        workers: How many worker processes share its calls.
        compute: Where they run, and on how many GPUs.
    """

    reqs: tuple[Package, ...] = ()
    name: str = ""
    working_dir: str = _HERE
    env_vars: Mapping[str, str] = field(default_factory=dict, repr=False)
    setup_cmds: tuple[str, ...] = ()
    secrets: tuple[str | Secret, ...] = ()
    python: str = ""
    conda: str = ""
    offline: bool | None = None
    workers: int = 1
    compute: Compute = Compute()

    def __hash__(self) -> int:
        """Hash by what it says."""
        return hash(json.dumps(self.fields(), sort_keys=True))

    def fields(self) -> dict[str, Any]:
        """Return what a record holds: JSON values, without what has its default, and no secret."""
        values: dict[str, Any] = {
            **{key: getattr(self, key) for key in _FIELDS},
            "reqs": [
                f"{each.text}[{','.join(each.extras)}]" if each.extras else _as_text(each)
                for each in self.reqs
            ],
            "env_vars": dict(self.env_vars),
            "setup_cmds": list(self.setup_cmds),
            "workers": self.workers,
            "compute": asdict(self.compute),
        }
        plain = _PLAIN
        if self.secrets:
            values["carries"] = self.secret_names  # records refuse keys that look like credentials
        return {key: value for key, value in values.items() if value != plain.get(key)}

    @property
    def secret_names(self) -> list[str]:
        """Return the names of its secrets."""
        return [each if isinstance(each, str) else each.name for each in self.secrets]

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Env:
        """Make the env from what `fields` returned.

        Raises:
            TypeError: A field is unknown or of the wrong type.
            ValueError: A field cannot be used.
        """
        unknown = sorted(set(fields) - {*_ALL_FIELDS, "carries"})
        if unknown:
            msg = f"An env has no {unknown[0]!r}. It has {', '.join(_ALL_FIELDS)}. Remove it."
            raise TypeError(msg)
        rest = {key: value for key, value in fields.items() if key != "carries"}
        return make(**rest, secrets=fields.get("carries"))

    @property
    def base(self) -> Path:
        """Return the directory from which paths go."""
        return Path(self.working_dir).expanduser().resolve()

    def build(self, found: Requirements, *, python: str, inherits: bool = False) -> Build:
        """Return what is to be on the host.

        Args:
            found: What the packages need.
            python: The cluster's own interpreter, for an env that names none.
            inherits: Whether packages of that interpreter are seen as well.
        """
        conda = self.conda
        if found.conda:
            conda = _with_packages(conda, found.conda, self.python)
        return Build(
            python="" if conda else self.python or python,
            lines=found.lines,
            pylock=found.pylock,
            conda=conda,
            commands=self.setup_cmds,
            inherits=inherits,
        )

    def named(self, digest: str) -> str:
        """Return its name, or one made of its content."""
        return self.name or f"env-{digest[:10]}"


class CondaEnv(Env):
    """Be an env that conda makes on the host. Made by `runhouse.conda_env`."""

    __slots__ = ()


_PLAIN: dict[str, Any] = {
    **{"reqs": [], "name": "", "working_dir": _HERE, "env_vars": {}, "setup_cmds": []},
    **{"python": "", "conda": "", "offline": None, "workers": 1, "compute": asdict(Compute())},
}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:20]


def _as_text(package: Package) -> str:
    if package.sort in ("conda", "mirror"):
        return "mirror" if package.sort == "mirror" else f"conda:{package.text}"
    return package.text


def _with_packages(conda: str, packages: Sequence[str], python: str) -> str:
    """Return a conda environment with further packages; JSON is YAML, too."""
    if not conda:
        return json.dumps({"dependencies": [f"python={python or 3}", *packages]})
    try:
        table = json.loads(conda)
    except ValueError as error:
        msg = (
            f"'conda:{packages[0]}' cannot be installed. The env has an environment file of its "
            "own. Name the package there."
        )
        raise ValueError(msg) from error
    table["dependencies"] = [*table.get("dependencies", []), *packages]
    return json.dumps(table)


def make(
    reqs: object = None,
    name: str | None = None,
    working_dir: str | Path | None = _HERE,
    env_vars: object = None,
    setup_cmds: str | Sequence[str] | None = None,
    secrets: str | Sequence[str | Secret] | None = None,
    python: str | float | None = None,
    conda: str = "",
    offline: bool | None = None,
    workers: int = 1,
    compute: object = None,
) -> Env:
    """Check what a user says about an env."""
    kind = CondaEnv if conda else Env
    return kind(
        reqs=packages(reqs),
        name="" if not name else check_name(name),
        working_dir=_directory(working_dir),
        env_vars=_variables(env_vars),
        setup_cmds=_commands(setup_cmds),
        secrets=_secrets(secrets),
        python=_python(python),
        conda=conda,
        offline=None if offline is None else bool(offline),
        workers=_workers(workers),
        compute=Compute.parse(compute),
    )


def packages(reqs: object) -> tuple[Package, ...]:
    """Read what is to be installed: one package, or several.

    Raises:
        TypeError: It is nothing of that.
        ValueError: A package cannot be understood.
    """
    if reqs is None:
        return ()
    if isinstance(reqs, (str, Path, Package)):
        reqs = [reqs]
    if not isinstance(reqs, Sequence):
        msg = (
            f"reqs={reqs!r} cannot be used. It is of type {type(reqs).__name__}. Give a list, for "
            "example ['numpy', './']."
        )
        raise TypeError(msg)
    return tuple(map(Package.parse, reqs))


def _directory(working_dir: object) -> str:
    if working_dir is None:
        return _HERE
    if not isinstance(working_dir, (str, Path)) or not str(working_dir):
        msg = f"working_dir={working_dir!r} cannot be used. It is no path. Give a directory."
        raise TypeError(msg)
    text = str(working_dir)
    if text not in (_HERE, ".") and not Path(text).expanduser().is_dir():
        msg = f"working_dir={text!r} cannot be used. There is no such directory here. Correct it."
        raise ValueError(msg)
    return _HERE if text == "." else text


def _variables(given: object) -> dict[str, str]:
    """Read variables: a mapping, or the path of a file of NAME=value lines."""
    if given is None:
        return {}
    if isinstance(given, (str, Path)):
        given = _variables_of_file(Path(given).expanduser())
    if not isinstance(given, Mapping):
        msg = (
            f"env_vars cannot be used. It is of type {type(given).__name__}. Give a dict of texts, "
            "or the path of a file with NAME=value lines."
        )
        raise TypeError(msg)
    for name, value in given.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            msg = f"env_vars has the name {name!r}. It is no name of a variable. Correct it."
            raise ValueError(msg)
        if not isinstance(value, (str, int, float)) or "\0" in str(value):
            msg = f"env_vars[{name!r}] cannot be used. It is no text without NUL. Correct it."
            raise TypeError(msg)
    return {name: str(value) for name, value in given.items()}


def _variables_of_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        msg = f"env_vars={str(path)!r} cannot be used. There is no such file here. Correct it."
        raise ValueError(msg)
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, mark, value = text.partition("=")
        if not mark:
            msg = f"{path} cannot be read. Line {number} is no NAME=value. Correct it."
            raise ValueError(msg)
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        found[name.strip()] = value[1:-1] if quoted else value.strip()
    return found


def _commands(given: object) -> tuple[str, ...]:
    commands = (given,) if isinstance(given, str) else given or ()
    if not isinstance(commands, Sequence) or not all(isinstance(c, str) for c in commands):
        msg = f"setup_cmds={given!r} cannot be used. Give shell commands: a text, or several."
        raise TypeError(msg)
    if not all(command.strip() and "\0" not in command for command in commands):
        msg = "setup_cmds has an empty command. It does nothing. Remove it."
        raise ValueError(msg)
    return tuple(commands)


def _secrets(given: str | Sequence[str | Secret] | None) -> tuple[str | Secret, ...]:
    secrets = (given,) if isinstance(given, str) else tuple(given or ())
    for secret in secrets:
        if not isinstance(secret, (str, Secret)):
            msg = (
                f"secrets cannot hold a {type(secret).__name__}. It is no secret. Give names, or "
                "what runhouse.secret() returned."
            )
            raise TypeError(msg)
    return secrets


def _python(given: object) -> str:
    if given is None or given == "":
        return ""
    text = str(given)
    if "/" in text and text.isprintable():
        return text
    found = _PYTHON.fullmatch(text.removeprefix("python"))
    if found is None or int(found["minor"]) < _LEAST_MINOR:
        msg = (
            f"python={given!r} cannot be used. Workers need Python 3.{_LEAST_MINOR} or newer. Give "
            "a version as in '3.12', or a path on the host."
        )
        raise ValueError(msg)
    return found[0]


def _workers(given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        msg = f"workers={given!r} cannot be used. It is how many processes. Give 1 or more."
        raise ValueError(msg)
    return given
