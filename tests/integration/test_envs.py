"""Envs on a real host: built once, shared, swapped, with their own packages and variables."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.errors import EnvSetupError, WorkerDiedError
from tests.integration import sample_envs
from tests.integration.env_calls import cluster_of, version_in
from tests.rigs.fixtures import default_spec, running
from tests.rigs.package_index import PASSWORD, Index, only_index
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rigs.client import Client
    from tests.rigs.machine import Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

# Of the host's own Python: what it has of these is of no use to us, and must do us no harm.
_BROKEN = ("anyio", "starlette", "uvicorn", "click", "h11", "cloudpickle", "typing_extensions")
_NVIDIA_SMI = """\
#!/bin/sh
[ "$1" = --list-gpus ] || exit 1
echo 'GPU 0: Test (UUID: a)'
echo 'GPU 1: Test (UUID: b)'
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Give an index with a few packages, which hosts do not reach."""
    made = Index(tmp_path_factory.mktemp("index"))
    for version in ("1.0", "2.0"):
        made.add("tiny", version)
    made.add("needy", "1.0", requires=["tiny<2"])
    with only_index(made.url):
        yield made
    made.close()


@pytest.fixture(scope="module")
def host(client: Client, index: Index) -> Iterator[Machine]:
    """Give a host with two Pythons, GPUs to see, and broken versions of what we need."""
    del index
    own = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = f"/home/ada/.local/lib/{own}/site-packages"
    files = {
        f"{site}/{name}.py": ('raise RuntimeError("the host has a broken one")\n', 0o644)
        for name in _BROKEN
    }
    files |= {
        f"{site}/theirs.py": ("VERSION = 'of the host'\n", 0o644),
        "/usr/local/bin/nvidia-smi": (_NVIDIA_SMI, 0o755),
    }
    spec = default_spec(client)
    pythons = (*spec.pythons[:1], "3.12")
    spec = dataclasses.replace(spec, name="env-host", pythons=pythons, files=files)
    with running(client, spec) as machine:
        yield machine


@pytest.fixture(scope="module")
def box(host: Machine, client: Client) -> Iterator[rh.Cluster]:
    """Give the cluster of that host."""
    del host
    with cluster_of(client, "env-box", "env-host") as made:
        yield made


def _about(box: rh.Cluster, env: object, *names: str) -> dict[str, object]:
    return dict(rh.function(sample_envs.about).to(box, env)(*names))  # type: ignore[arg-type]


def test_the_host_cannot_reach_the_index_and_gets_the_packages_from_here(
    box: rh.Cluster, index: Index, capfd: pytest.CaptureFixture[str]
) -> None:
    assert version_in(box, ["tiny==1.0"]) == "1.0"
    assert "env-host cannot install the packages; they are sent from here" in capfd.readouterr().err
    index.asked.clear()
    assert version_in(box, ["tiny==1.0"]) == "1.0"
    assert not index.asked, "what is there needs no index"


def test_conflicting_versions_live_at_once_and_each_env_has_its_own_process(
    box: rh.Cluster,
) -> None:
    old = rh.env(["needy"], name="old", env_vars={"COLOUR": "red"}, offline=True)
    new = rh.env(["tiny>1"], name="new", env_vars={"COLOUR": "blue"}, offline=True)
    assert (version_in(box, old), version_in(box, new)) == ("1.0", "2.0")
    first, second = _about(box, old, "COLOUR"), _about(box, new, "COLOUR")
    assert (first["COLOUR"], second["COLOUR"]) == ("red", "blue")
    assert first["pid"] != second["pid"]
    with pytest.raises(WorkerDiedError):
        rh.function(sample_envs.die).to(box, old)()
    assert _about(box, new)["pid"] == second["pid"], "killing one leaves the other"


def test_two_envs_with_the_same_content_share_it(box: rh.Cluster) -> None:
    one, two = rh.env(["tiny==1.0"], name="one"), rh.env(["tiny==1.0"], name="two")
    first, second = _about(box, one), _about(box, two)
    assert first["prefix"] == second["prefix"]
    assert first["pid"] != second["pid"]
    (found,) = [env for env in box.envs() if env.prefix == first["prefix"]]
    assert {"one", "two"} <= set(found.names)
    assert found.packages == ("tiny==1.0",)
    assert found.in_use
    assert {first["pid"], second["pid"]} <= set(found.pids)


def test_only_what_changed_runs_again(
    box: rh.Cluster, host: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    count = "date +%N >>~/ran-{}"
    commands = [count.format("first"), count.format("second")]

    def runs() -> tuple[int, int, int]:
        found = [host.home / f"ran-{name}" for name in ("first", "second", "third")]
        lines = [len(p.read_text().split()) if p.exists() else 0 for p in found]
        return lines[0], lines[1], lines[2]

    assert version_in(box, rh.env(["tiny==1.0"], name="cmds", setup_cmds=commands)) == "1.0"
    assert runs() == (1, 1, 0)
    assert "$ date +%N" in capfd.readouterr().err, "what is run is shown"
    assert version_in(box, rh.env(["tiny==1.0"], name="other", setup_cmds=commands)) == "1.0"
    assert runs() == (1, 1, 0)
    commands.append(f"{count.format('third')}; python -c 'import tiny; print(tiny.VERSION)'")
    assert version_in(box, rh.env(["tiny==1.0"], name="cmds", setup_cmds=commands)) == "1.0"
    assert runs() == (1, 1, 1)
    assert "1.0" in capfd.readouterr().err
    changed = rh.env(["tiny==2.0"], name="cmds", setup_cmds=commands, offline=True)
    assert version_in(box, changed) == "2.0"
    assert runs() == (2, 2, 2), "they may depend on the packages"


def test_an_env_in_use_is_swapped_and_never_changed(box: rh.Cluster) -> None:
    first = rh.function(sample_envs.about).to(box, rh.env(["tiny==1.0"], name="swap"))
    wait = rh.function(sample_envs.wait).to(box, rh.env(["tiny==1.0"], name="swap"))
    before = first()
    run = wait.run(60.0)
    assert version_in(box, rh.env(["tiny==2.0"], name="swap", offline=True)) == "2.0"
    after = _about(box, "swap")
    assert after["prefix"] != before["prefix"]
    assert run.status == "running", "what runs in the old one goes on"
    assert box.run(f"cat {before['prefix']}/lib/*/site-packages/tiny.py", stream_logs=False)[0][
        1
    ] == ("VERSION = '1.0'\n")
    run.cancel()


def test_a_failure_says_why_and_leaves_what_was_there(box: rh.Cluster, host: Machine) -> None:
    good = rh.env(["tiny==1.0"], name="fails")
    assert version_in(box, good) == "1.0"
    before = sorted(path.name for path in (host.home / ".rh/envs").glob("[!.]*"))
    with pytest.raises(EnvSetupError, match="could not be sent from here either") as caught:
        version_in(box, rh.env(["tiny==9.9"], name="fails"))
    assert "tiny==9.9" in caught.value.output_tail or "9.9" in str(caught.value)
    assert (caught.value.step, caught.value.host) == ("packages", "env-host")
    broken = rh.env(["tiny==1.0"], name="fails", setup_cmds="echo no such luck; exit 7")
    with pytest.raises(EnvSetupError, match="no such luck") as command:
        version_in(box, broken)
    assert (command.value.step, command.value.exit_code) == ("commands", 7)
    assert sorted(path.name for path in (host.home / ".rh/envs").glob("[!.]*")) == before
    assert version_in(box, "fails") == "1.0"


def test_a_python_of_the_host_and_one_that_it_has_not(box: rh.Cluster) -> None:
    env = rh.env(["tiny==1.0"], name="py", python="3.12", offline=True)
    assert _about(box, env)["python"] == (3, 12)
    with pytest.raises(EnvSetupError, match="Its Python could not be had") as caught:
        _about(box, rh.env(name="no-py", python="3.10"))
    assert caught.value.step == "python"


def test_several_workers_share_calls_and_each_sees_its_gpu(box: rh.Cluster) -> None:
    env = rh.env(name="pool", workers=2, compute={"gpus": 1})
    about = rh.function(sample_envs.about).to(box, env)
    meet = rh.function(sample_envs.meet).to(box, env)
    runs = [meet.run("meeting", 2) for _ in range(2)]
    pids = {run.result(timeout=15) for run in runs}
    assert len(pids - {-1}) == 2
    workers = [worker for worker in box.status().workers if worker.env == "pool"]
    assert sorted(worker.gpus for worker in workers) == [(0,), (1,)]
    assert about("CUDA_VISIBLE_DEVICES")["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    with pytest.raises(rh.WorkerStartError, match="is to have 3 GPUs, and the host has 2"):
        _about(box, rh.env(name="greedy", compute={"gpus": 3}))


def test_the_versions_of_the_host_break_nothing_and_ours_never_win(box: rh.Cluster) -> None:
    assert version_in(box, None, "theirs") == "of the host"
    with pytest.raises(RuntimeError, match="the host has a broken one"):
        version_in(box, None, "cloudpickle")
    assert box.status().workers
    with pytest.raises(ModuleNotFoundError):
        version_in(box, ["tiny==1.0"], "theirs")


def test_commands_and_programs_run_in_an_env(box: rh.Cluster) -> None:
    env = rh.env(["tiny==1.0"], name="shell", env_vars={"PLACE": 'it\'s "here" $HOME'})
    line = "python -c 'import tiny; print(tiny.VERSION)' && echo \"$PLACE\""
    for given in (env, "shell"):
        ran = box.run(line, env=given, stream_logs=False)
        assert ran == [(0, '1.0\nit\'s "here" $HOME\n', "")]
    program = ["import os, tiny", "print(tiny.VERSION, os.environ['PLACE'])"]
    assert box.run_python(program, env="shell", stream_logs=False)[0][1].startswith("1.0 it's")


def test_packages_are_added_to_an_env_and_to_the_hosts_own(box: rh.Cluster) -> None:
    assert version_in(box, rh.env(["tiny==1.0"], name="grows")) == "1.0"
    box.install_packages("needy", env="grows")
    assert version_in(box, "grows", "needy") == "1.0"
    rh.package("tiny==1.0").to(box, env="plain")
    assert version_in(box, "plain") == "1.0"
    assert version_in(box, "plain", "theirs") == "of the host"
    with pytest.raises(EnvSetupError):
        box.install_packages(["tiny==9.9"], env="grows")
    assert version_in(box, "grows", "needy") == "1.0"


def test_an_env_is_removed_and_what_was_pruned_is_made_again(box: rh.Cluster) -> None:
    env = rh.env(["tiny<=1.0"], name="gone", env_vars={"KEPT": "yes"}, offline=True)
    about = rh.function(sample_envs.about).to(box, env)
    prefix = str(about()["prefix"])
    box.run(f"kill -9 {about()['pid']}", stream_logs=False)
    wait_until(lambda: not any(each.pids for each in box.envs() if "gone" in each.names))
    kept = box.prune_envs(idle_days=1)
    assert not kept["removed"], "all were used today"
    box.run(f"touch -d '3 days ago' {prefix}/.runhouse-env.json", stream_logs=False)
    pruned = box.prune_envs(idle_days=2)
    assert pruned["removed"] == [prefix.rpartition("/")[2]]
    assert about("KEPT")["KEPT"] == "yes"
    assert box.remove_conda_env("gone")
    assert not box.remove_conda_env("gone")
    assert prefix not in [each.prefix for each in box.envs()]


def test_a_build_that_is_killed_completes_the_next_time(box: rh.Cluster, host: Machine) -> None:
    gate = host.home / "gate"
    env = rh.env(
        ["tiny==1.0"], name="killed", setup_cmds="touch ~/begun; until [ -e ~/gate ]; do :; done"
    )
    failed: list[BaseException] = []

    def build() -> None:
        try:
            version_in(box, env)
        except EnvSetupError as error:
            failed.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    wait_until((host.home / "begun").exists, timeout_s=20)
    for process in host.processes("env_host"):
        os.kill(process.pid, signal.SIGKILL)
    thread.join(20)
    assert failed
    wait_until(lambda: not host.processes("until [ -e"))  # what it has started ends with it
    gate.touch()
    assert version_in(box, env) == "1.0"
    marks = [path for path in (host.home / ".rh/envs").glob("[!.]*")]
    assert all((path / ".runhouse-env.json").exists() for path in marks)
    assert not list((host.home / ".rh/envs").glob(".trash-*"))


def test_a_private_index_is_used_and_its_password_is_nowhere(
    box: rh.Cluster, host: Machine, index: Index, capfd: pytest.CaptureFixture[str]
) -> None:
    index.add("hidden", "1.0")
    index.private = True
    try:
        with only_index(index.url):
            assert version_in(box, rh.env(["hidden"], name="private"), "hidden") == "1.0"
    finally:
        index.private = False
    shown = capfd.readouterr()
    assert PASSWORD not in shown.out + shown.err
    assert host.exec(f"grep -rlF --exclude-dir=code {PASSWORD} ~ /tmp").stdout == ""
    assert PASSWORD not in box.logs()
    assert PASSWORD not in str(box.client.get("/envs"))


def test_a_lock_a_file_and_a_project_are_installed(
    box: rh.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "side"
    (project / "src").mkdir(parents=True)
    (project / "src" / "sideways.py").write_text("VERSION = 'synced'\n")
    (project / "pyproject.toml").write_text(
        '[project]\nname = "side"\nversion = "1"\ndependencies = ["tiny==1.0"]\n'
        '[project.optional-dependencies]\nmore = ["needy"]\n'
    )
    (project / "requirements.txt").write_text("tiny == 2.0  # newer\n")
    monkeypatch.chdir(project)
    assert version_in(box, ["./"], "sideways") == "synced"
    (project / "src" / "sideways.py").write_text("VERSION = 'edited'\n")
    assert version_in(box, ["./"], "sideways") == "edited"
    assert version_in(box, ["./"]) == "1.0"
    assert version_in(box, "requirements.txt") == "2.0"
    assert version_in(box, "pyproject.toml[more]", "needy") == "1.0"


def test_an_env_of_a_cluster_is_kept_in_its_record(box: rh.Cluster) -> None:
    env = rh.env(["tiny==1.0"], name="own", env_vars={"A": "1"})
    mine = rh.cluster("env-box", host="env-host", env=env)
    again = rh.Cluster.from_config(mine.config())
    assert again == mine
    assert rh.function(sample_envs.version).to(again)() == "1.0"
    again.put("something", 1)
    assert again.keys(env) == ["something"]
    again.delete("something")
    again.disconnect()
    mine.disconnect()


def test_the_full_disk_of_a_host_is_told(client: Client, index: Index) -> None:
    index.add("large", "1.0", files={"large.py": "VERSION = ''", "data.txt": 20_000_000 * "0"})
    spec = dataclasses.replace(default_spec(client), name="full-host", home_size_mb=200)
    with running(client, spec) as machine, client.used_by_this_process():
        full = rh.cluster("full", host="full-host").up()
        assert version_in(full, rh.env(["tiny==1.0"], offline=True)) == "1.0"
        fill = "head -c $(($(df --output=avail -k ~ | tail -n 1) - 9000))k /dev/zero >~/filler"
        machine.exec(fill, check=True)
        before = [path.name for path in (machine.home / ".rh/envs").glob("[!.]*")]
        with pytest.raises(EnvSetupError, match="The disk there is full: make room"):
            version_in(full, rh.env(["large"], name="large", offline=True), "large")
        assert [path.name for path in (machine.home / ".rh/envs").glob("[!.]*")] == before
        machine.exec("rm ~/filler", check=True)
        assert version_in(full, rh.env(["large"], name="large", offline=True), "large") == ""
        full.stop()
        full.disconnect()
