"""Envs as data: what they may be, what makes them the same, and what their records hold."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.errors import InvalidNameError
from runhouse.specs.compute import Compute
from runhouse.specs.env import Build, CondaEnv, Env
from runhouse.specs.envs import as_env
from runhouse.specs.requirements import Requirements

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cret-value"


def build(env: Env, *lines: str, conda: tuple[str, ...] = (), python: str = "") -> Build:
    return env.build(Requirements(lines, conda=conda), python=python)


def test_the_same_content_is_the_same_env() -> None:
    one = rh.env(["a", "b"], name="one", env_vars={"A": "1"}, setup_cmds="x")
    two = rh.env(["a", "b"], name="two", setup_cmds=["x"])
    assert build(one, "a", "b").digest == build(two, "a", "b").digest
    others = [
        build(one, "b", "a"),
        build(one, "a"),
        build(rh.env(), "a", "b"),
        build(rh.env(setup_cmds="y"), "a", "b"),
        build(rh.env(setup_cmds="x", python="3.12"), "a", "b"),
        build(one, "a", "b", python="/opt/python"),
        build(one, "a", "b", conda=("jupyter",)),
    ]
    digests = {other.digest for other in others}
    assert len(digests) == len(others)
    assert build(one, "a", "b").digest not in digests


def test_steps_before_a_change_stay_the_same() -> None:
    first = build(rh.env(setup_cmds=["a", "b", "c"])).steps
    second = build(rh.env(setup_cmds=["a", "x", "c"])).steps
    assert [one == two for one, two in zip(first, second, strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_an_env_is_kept_and_comes_back() -> None:
    env = rh.env(
        ["numpy<3", "./", "pyproject.toml[gpu]", "conda:jupyter", "mirror"],
        name="all",
        env_vars={"A": "1"},
        setup_cmds=["x", "y"],
        python="3.12",
        offline=True,
        workers=2,
        compute={"gpus": 1},
    )
    fields = json.loads(json.dumps(env.fields()))
    assert Env.from_fields(fields) == env
    assert pickle.loads(pickle.dumps(env)) == env
    assert hash(env) == hash(Env.from_fields(fields))
    assert rh.env(["numpy"]).fields() == {"reqs": ["numpy"]}
    with pytest.raises(TypeError, match="An env has no 'colour'"):
        Env.from_fields({"colour": "red"})


def test_values_of_variables_are_not_shown() -> None:
    assert SECRET not in repr(rh.env(env_vars={"A": SECRET}))


def test_variables_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nA=1\nexport B='two words'\n\nC= x=y \n")
    assert rh.env(env_vars=str(file)).env_vars == {"A": "1", "B": "two words", "C": "x=y"}
    file.write_text("A=1\nnonsense\n")
    with pytest.raises(ValueError, match="Line 2 is no NAME=value"):
        rh.env(env_vars=str(file))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"reqs": 3}, TypeError, "reqs=3 cannot be used"),
        ({"reqs": [3]}, TypeError, "is no package"),
        ({"reqs": ["no good"]}, ValueError, "is no package"),
        ({"name": "no good"}, InvalidNameError, "cannot be used as a name"),
        ({"working_dir": 3}, TypeError, "It is no path"),
        ({"working_dir": "/no/such"}, ValueError, "There is no such directory"),
        ({"env_vars": 3}, TypeError, "It is of type int"),
        ({"env_vars": {"1A": "x"}}, ValueError, "has the name '1A'"),
        ({"env_vars": {"A": None}}, TypeError, r"env_vars\['A'\]"),
        ({"env_vars": {"A": "\0"}}, TypeError, "without NUL"),
        ({"env_vars": "/no/such"}, ValueError, "There is no such file"),
        ({"setup_cmds": [3]}, TypeError, "Give shell commands"),
        ({"setup_cmds": ["x", " "]}, ValueError, "an empty command"),
        ({"secrets": [3]}, TypeError, "secrets cannot hold a int"),
        ({"python": "3.9"}, ValueError, "need Python 3.10 or newer"),
        ({"python": "2.7"}, ValueError, "python='2.7' cannot be used"),
        ({"workers": 0}, ValueError, "workers=0 cannot be used"),
        ({"workers": True}, ValueError, "workers=True"),
        ({"compute": 1}, TypeError, "compute=1 cannot be used"),
        ({"compute": {"cpus": 1}}, ValueError, "compute has no 'cpus'"),
        ({"compute": {"gpus": -1}}, ValueError, r"compute\['gpus'\] cannot be -1"),
        ({"compute": {"node": 1}}, ValueError, "run on the head"),
    ],
)
def test_what_cannot_be_used_is_told(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rh.env(**arguments)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("3.12", "3.12"),
        ("python3.12.1", "3.12.1"),
        (3.12, "3.12"),
        ("/usr/bin/python3", "/usr/bin/python3"),
        (None, ""),
    ],
)
def test_pythons(given: Any, kept: str) -> None:
    assert rh.env(python=given).python == kept


def test_compute() -> None:
    assert rh.env(compute={"gpus": 2, "node": 0}).compute == Compute(0, 2)
    assert rh.env(compute=Compute(gpus=0)).compute.gpus == 0  # type: ignore[arg-type]


def test_conda_envs(tmp_path: Path) -> None:
    env = rh.conda_env(["conda:jupyter"], {"name": "lab", "dependencies": ["python=3.12"]})
    assert isinstance(env, CondaEnv)
    assert env.name == "lab"
    made = build(env, conda=("jupyter",))
    assert json.loads(made.conda)["dependencies"] == ["python=3.12", "jupyter"]
    assert made.python == "", "conda brings it"
    file = tmp_path / "environment.yml"
    file.write_text("name: mine\ndependencies:\n  - python=3.12\n")
    assert rh.conda_env(conda_env=file).name == "mine"
    assert rh.conda_env(conda_env=str(file)).conda == file.read_text()
    with pytest.raises(ValueError, match="Name the package there"):
        build(rh.conda_env(conda_env=file), conda=("jupyter",))
    assert json.loads(rh.conda_env().conda) == {"dependencies": ["python"]}
    plain = build(rh.env(["conda:jupyter"], python="3.12"), conda=("jupyter",))
    assert json.loads(plain.conda)["dependencies"] == ["python=3.12", "jupyter"]
    assert isinstance(as_env(env.fields()), CondaEnv)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"name": "x"}, ValueError, "no list of dependencies"),
        ("/no/such.yml", ValueError, "There is no such file"),
        (3, TypeError, "conda_env cannot be a int"),
    ],
)
def test_conda_envs_that_cannot_be_used(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rh.conda_env(conda_env=given)


def test_shorthands() -> None:
    assert as_env(None) is None
    assert as_env("tools") == "tools"
    assert as_env(["numpy"]) == rh.env(["numpy"])
    assert as_env("mirror") == rh.env(["mirror"])
    assert as_env("requirements.txt") == rh.env(["requirements.txt"])
    assert as_env("pyproject.toml[gpu]") == rh.env(["pyproject.toml[gpu]"])
    assert as_env("./") == rh.env(["./"])
    assert as_env(rh.package("numpy")) == rh.env(["numpy"])
    env = rh.env(name="x")
    assert as_env(env) is env
    with pytest.raises(TypeError, match="It is of type int"):
        as_env(3)
