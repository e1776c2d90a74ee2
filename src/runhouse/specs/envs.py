"""The factories of envs, and the shorthands for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from runhouse.specs.env import Env, make
from runhouse.specs.package import MIRROR, Package

if TYPE_CHECKING:
    from runhouse.specs.env import CondaEnv
    from runhouse.specs.secret import Secret

_FILES = (".txt", ".toml", ".lock")
_PATHS = ("./", "../", "/", "~/")


def env(
    reqs: str | Sequence[str | Path | Package] | None = None,
    name: str | None = None,
    working_dir: str | Path | None = "./",
    env_vars: Mapping[str, str] | str | None = None,
    setup_cmds: str | Sequence[str] | None = None,
    secrets: str | Sequence[str | Secret] | None = None,
    python: str | None = None,
    *,
    offline: bool | None = None,
    workers: int = 1,
    compute: Mapping[str, int] | None = None,
) -> Env:
    """Describe what workers run in: packages, variables, commands and a Python.

    Nothing is read, connected or installed before it is used: `.to(cluster, env=...)`. On the host
    it is a directory of its own in `~/.rh/envs`, named by its content: what is the same is shared,
    and what is in use is never changed. The host's own Python is not touched.

    Args:
        reqs: What to install, in any of the forms of `runhouse.package`; one, or a list.
        name: Its name, by which it is found again; None: one made of its content.
        working_dir: The project here in which the commands run; relative paths go from it.
        env_vars: Variables of its workers and commands; or the path of a file of NAME=value lines.
        setup_cmds: Shell commands that complete it, with its Python first in PATH. Each runs once:
            again when it, one before it, or the packages have changed.
        secrets: Names of secrets, or secrets, whose variables its workers get.
        python: Its Python, `"3.12"` or a path on the host; None: the cluster's. A version that the
            host has not is brought by uv, where the host has internet.
        offline: True: packages are downloaded here and sent; False: never; None: when the host
            cannot install them by itself.
        workers: How many worker processes share its calls.
        compute: `{"gpus": 1}`: how many GPUs each worker sees; `{"node": 0}`: on which node.

    Returns:
        The env.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument cannot be used.
        InvalidNameError: The name cannot be used.

    Example:
        >>> import runhouse as rh
        >>> rh.env(["numpy<3", "./"], name="train", python="3.12").name
        'train'
    """
    return make(
        reqs,
        name,
        working_dir,
        env_vars,
        setup_cmds,
        secrets,
        python,
        offline=offline,
        workers=workers,
        compute=compute,
    )


def conda_env(
    reqs: str | Sequence[str | Path | Package] | None = None,
    conda_env: Mapping[str, Any] | str | Path | None = None,
    name: str | None = None,
    working_dir: str | Path | None = "./",
    env_vars: Mapping[str, str] | str | None = None,
    setup_cmds: str | Sequence[str] | None = None,
    secrets: str | Sequence[str | Secret] | None = None,
    *,
    workers: int = 1,
    compute: Mapping[str, int] | None = None,
) -> CondaEnv:
    """Describe an env that conda makes on the host, which must have micromamba, mamba or conda.

    Args:
        reqs: What to install into it beside: `"conda:NAME"` by conda, everything else by uv.
        conda_env: The environment: a dict as in `environment.yml`, or the path of such a file; None
            for one with Python alone.
        name: Its name; None for the one that the environment has, or else one made of its content.
        working_dir: See `runhouse.env`.
        env_vars: See `runhouse.env`.
        setup_cmds: See `runhouse.env`.
        secrets: See `runhouse.env`.
        workers: See `runhouse.env`.
        compute: See `runhouse.env`.

    Returns:
        The env.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument cannot be used.
        InvalidNameError: The name cannot be used.

    Example:
        >>> import runhouse as rh
        >>> rh.conda_env(conda_env={"name": "lab", "dependencies": ["python=3.12"]}).name
        'lab'
    """
    text, own = _environment(conda_env)
    found = make(
        reqs,
        name or own,
        working_dir,
        env_vars,
        setup_cmds,
        secrets,
        conda=text,
        workers=workers,
        compute=compute,
    )
    return cast("CondaEnv", found)


def _environment(given: object) -> tuple[str, str | None]:
    """Return the text of a conda environment, and its name if it is known."""
    if given is None:
        return json.dumps({"dependencies": ["python"]}), None
    if isinstance(given, Mapping):
        if type(given.get("dependencies")) is not list:
            msg = (
                "conda_env has no list of dependencies. It is as in environment.yml. Give for "
                "example {'dependencies': ['python=3.12']}."
            )
            raise ValueError(msg)
        name = given.get("name")
        return json.dumps(dict(given)), str(name) if name else None
    if not isinstance(given, (str, Path)):
        msg = (
            f"conda_env cannot be a {type(given).__name__}. Give a dict as in environment.yml, or "
            "the path of such a file."
        )
        raise TypeError(msg)
    path = Path(given).expanduser()
    if not path.is_file():
        msg = f"conda_env={str(given)!r} cannot be used. There is no such file here. Correct it."
        raise ValueError(msg)
    text = path.read_text(encoding="utf-8")
    names = [line[5:].strip() for line in text.splitlines() if line.startswith("name:")]
    return text, names[0] if names else None


def as_env(given: object) -> str | Env | None:
    """Return what a user gave as `env=`: an env, or the name of one; None for None.

    A list is the packages of an env; so are `"mirror"` and the name of a file of requirements.

    Raises:
        TypeError: It is neither.
        ValueError: It has a package that cannot be understood.
    """
    if given is None or isinstance(given, Env):
        return given
    if isinstance(given, str):
        is_file = given.endswith(_FILES) or (given.endswith("]") and ".toml[" in given)
        is_packages = given == MIRROR or is_file or given.startswith(_PATHS)
        return make([given]) if is_packages else given
    if isinstance(given, Package) or (isinstance(given, Sequence) and not isinstance(given, bytes)):
        return make(given)
    if isinstance(given, Mapping):
        return Env.from_fields(given)
    msg = (
        f"env={given!r} cannot be used. It is of type {type(given).__name__}. Give the name of an "
        "env, what runhouse.env() returned, or a list of packages."
    )
    raise TypeError(msg)
