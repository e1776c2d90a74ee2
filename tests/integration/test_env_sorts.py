"""Envs of all sorts on a real host: locks, mirrors, conda, secrets, an index there; and rh env."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.bootstrap.uv import uv_here
from runhouse.errors import EnvSetupError
from tests.integration import sample_envs
from tests.integration.env_calls import cluster_of, version_in
from tests.rigs.fixtures import default_spec, running
from tests.rigs.package_index import Index, only_index
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.client import Client
    from tests.rigs.machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

# No conda comes from the registries that tests may use. This one stands for micromamba: it takes
# the same command line, and makes a virtual environment of what it was asked for.
_MICROMAMBA = """\
#!/bin/sh
[ "$1 $2" = "create --yes" ] || exit 64
while [ $# -gt 0 ]; do
  case $1 in --prefix) prefix=$2 ;; --file) file=$2 ;; esac
  shift
done
grep -q impossible "$file" && echo "nothing provides impossible" && exit 1
"$(readlink -f "$(command -v python3)")" -m venv --without-pip "$prefix"
mkdir "$prefix/conda-meta" && cp "$file" "$prefix/conda-meta/asked.json"
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Give an index with a few packages."""
    made = Index(tmp_path_factory.mktemp("index"))
    for version in ("1.0", "2.0"):
        made.add("tiny", version)
    with only_index(made.url):
        yield made
    made.close()


@pytest.fixture(scope="module")
def host(client: Client, index: Index) -> Iterator[Machine]:
    """Give a host."""
    del index
    spec = dataclasses.replace(default_spec(client), name="sorts-host")
    with running(client, spec) as machine:
        yield machine


@pytest.fixture(scope="module")
def box(host: Machine, client: Client) -> Iterator[rh.Cluster]:
    """Give the cluster of that host."""
    del host
    with cluster_of(client, "sorts-box", "sorts-host") as made:
        yield made


def test_conflicting_versions_of_numpy_live_at_once(box: rh.Cluster) -> None:
    versions = ["1.26.4", "2.1.3"]
    with only_index("") as patch:
        patch.delenv("UV_DEFAULT_INDEX")
        there = [
            rh.function(sample_envs.sum_with_numpy).to(
                box, rh.env([f"numpy=={version}"], name=f"np-{version[0]}", offline=True)
            )
            for version in versions
        ]
    for _ in range(2):
        assert [f(10) for f in there] == [(version, 45) for version in versions]


def test_a_host_that_reaches_the_index_installs_by_itself(
    box: rh.Cluster, host: Machine, index: Index, capfd: pytest.CaptureFixture[str]
) -> None:
    index.add("there", "1.0")
    box.rsync(index.folder, "index", contents=True)
    serve = f"nohup python3 -m http.server --directory index --bind 127.0.0.1 {index.port}"
    host.exec(f"{serve} >/dev/null 2>served & ")
    wait_until(lambda: host.exec(f"python3 -c '{_ASK.format(index.port)}'").returncode == 0)
    assert version_in(box, ["there"], "there") == "1.0"
    shown = capfd.readouterr().err
    assert "+ there==1.0" in shown
    assert "sent from here" not in shown
    assert "GET /there/" in (host.home / "served").read_text()
    for process in host.processes("http.server"):
        os.kill(process.pid, 9)


_ASK = 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:{}/there/")'


def test_lock_files_are_reproduced_exactly(
    box: rh.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "locked"
    project.mkdir()
    text = '[project]\nname = "locked"\nversion = "1"\nrequires-python = ">=3.10"\n'
    (project / "pyproject.toml").write_text(f'{text}dependencies = ["tiny<2"]\n')
    uv = str(uv_here())
    subprocess.run([uv, "lock", "--quiet"], cwd=project, check=True)
    words = [uv, "export", "--quiet", "--no-emit-project", "--format", "pylock.toml"]
    subprocess.run([*words, "-o", "pylock.toml"], cwd=project, check=True)
    text = text.replace('version = "1"', 'version = "2"')
    (project / "pyproject.toml").write_text(f'{text}dependencies = ["tiny"]\n')
    monkeypatch.chdir(project)
    assert version_in(box, rh.env(["uv.lock"], offline=True)) == "1.0"
    assert version_in(box, rh.env(["pylock.toml"], name="exact", offline=True)) == "1.0"
    with pytest.raises(ValueError, match="exactly what its lock file says"):
        box.install_packages("tiny==2.0", env="exact")


def test_a_mirror_has_what_the_module_imports(
    box: rh.Cluster, index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = index.add("mirrored", "3.0")
    site = tmp_path / "site-packages"
    subprocess.run(
        [str(uv_here()), "pip", "install", "--quiet", "--target", str(site), str(made)], check=True
    )
    monkeypatch.syspath_prepend(site)
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text("")
    code = "import mirrored\n\ndef version():\n    return mirrored.VERSION\n"
    (project / "uses_mirrored.py").write_text(code)
    monkeypatch.syspath_prepend(project)
    import uses_mirrored  # type: ignore[import-not-found]  # noqa: PLC0415 - made just now

    monkeypatch.setattr("runhouse.specs.mirror._distributions", lambda: {"mirrored": ["mirrored"]})
    assert rh.function(uses_mirrored.version).to(box, "mirror")() == "3.0"
    del sys.modules["uses_mirrored"], sys.modules["mirrored"]


def test_a_conda_env_is_made_by_the_conda_of_the_host(box: rh.Cluster, host: Machine) -> None:
    environment = {"name": "lab", "dependencies": ["python=3"]}
    env = rh.conda_env(["tiny==1.0", "conda:jupyter"], environment, setup_cmds=["echo done"])
    with pytest.raises(EnvSetupError, match="none of micromamba, mamba and conda") as caught:
        version_in(box, env)
    assert caught.value.step == "conda"
    tool = host.path("/usr/local/bin/micromamba")
    tool.write_text(_MICROMAMBA)
    tool.chmod(0o755)
    about = rh.function(sample_envs.about).to(box, env)
    prefix = str(about()["prefix"])
    asked = json.loads(host.path(f"{prefix}/conda-meta/asked.json").read_text())
    assert asked["dependencies"] == ["python=3", "jupyter"]
    with pytest.raises(EnvSetupError, match="nothing provides impossible"):
        version_in(box, rh.conda_env(conda_env={"dependencies": ["impossible"]}))
    assert [each.names for each in box.envs() if each.prefix == prefix] == [("lab",)]
    box.run(f"kill -9 {about()['pid']}", stream_logs=False)
    assert box.remove_conda_env(env)
    assert not host.path(prefix).exists()


def test_the_secrets_of_an_env_are_variables_of_its_workers_only(
    box: rh.Cluster, host: Machine
) -> None:
    secret = rh.secret("weather", values={"WEATHER_KEY": "clouds-and-rain"})
    env = rh.env(name="outside", secrets=[secret], env_vars={"CITY": "Turin"})
    about = rh.function(sample_envs.about)
    names = ("WEATHER_KEY", "CITY")
    there = about.to(box, env)(*names)
    assert (there["WEATHER_KEY"], there["CITY"]) == ("clouds-and-rain", "Turin")
    other = about.to(box, rh.env(name="inside"))(*names)
    assert (other["WEATHER_KEY"], other["CITY"]) == (None, None)
    box.remove_secrets("weather")
    assert host.exec("grep -rlF clouds-and-rain ~/.rh --exclude-dir=code").stdout == ""
    with pytest.raises(rh.SecretNotFoundError):
        about.to(box, rh.env(name="none", secrets=["weather"]))


def test_objects_and_classes_live_in_an_env(box: rh.Cluster) -> None:
    env = rh.env(["tiny==1.0"], name="keeps")
    box.put("kept", [1], env=env)
    assert box.keys(env="keeps") == ["kept"]
    where = rh.function(sample_envs.about).to(box)
    assert where.options(env=env)()["prefix"] != where()["prefix"]
    looker = rh.module(sample_envs.Looker).to(box, env)()
    assert looker.version() == "1.0"
    box.put("saved", 7, env=env, persist=True)
    box.restart_server()
    assert box.get("saved") == 7, "its env is known after a restart"
    box.delete(["kept", "saved"])


def _rh(client: Client, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("rh")), "env", *words]
    return subprocess.run(
        command, env=client.environment(), capture_output=True, text=True, check=False
    )


def test_the_command_line_lists_shows_and_prunes(box: rh.Cluster, client: Client) -> None:
    env = rh.env(["tiny==1.0"], name="cli", setup_cmds="true", env_vars={"A": "1"})
    assert version_in(box, env)
    listed = _rh(client, "list", "ada@sorts-host")
    assert listed.returncode == 0, listed.stderr
    (row,) = [line for line in listed.stdout.splitlines() if line.startswith("cli ")]
    assert "kB" in row
    assert "ago" in row
    shown = _rh(client, "show", "ada@sorts-host", "cli").stdout
    assert "tiny==1.0" in shown
    assert "  true\n" in shown
    assert "  A\n" in shown
    found = json.loads(_rh(client, "show", "ada@sorts-host", "cli", "--json").stdout)
    assert (found["names"], found["in_use"]) == (["cli"], True)
    assert any(
        each["names"] == ["cli"]
        for each in json.loads(_rh(client, "list", "ada@sorts-host", "--json").stdout)
    )
    missing = _rh(client, "show", "ada@sorts-host", "nothing")
    assert (missing.returncode, "There is no env 'nothing'" in missing.stderr) == (4, True)
    refused = _rh(client, "prune", "ada@sorts-host")
    assert (refused.returncode, "Add --yes" in refused.stderr) == (2, True)
    would = _rh(client, "prune", "ada@sorts-host", "--days", "0", "--dry-run")
    assert "would be removed" in would.stdout
    done = json.loads(
        _rh(client, "prune", "ada@sorts-host", "--days", "0", "--cache", "--yes", "--json").stdout
    )
    assert found["digest"] in done["in_use"]
    assert done["freed_bytes"] > 0
    assert version_in(box, "cli") == "1.0"
