"""Secrets on real hosts: they are where they belong, and nowhere else."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.specs.providers import PROVIDERS
from tests.integration import sample
from tests.rigs.cli import Cli, environment, record
from tests.rigs.fixtures import default_spec, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.client import Client
    from tests.rigs.machine import Machine

pytestmark = pytest.mark.timeout(60)

# Together nowhere else, not even in this file.
TOKEN = "-".join(("hf", "Q7fz", "open", "sesame", "93"))
OWN = "-".join(("pg", "K2vx", "sesame", "57"))
THEIRS = "[default]\naws_access_key_id = THEIRS\n"


@dataclasses.dataclass(frozen=True)
class Rig:
    """Hold a host, the cluster of it, and the home of a user here who has secrets."""

    machine: Machine
    cluster: rh.Cluster
    home: Path


@pytest.fixture(scope="module")
def rig(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    home = tmp_path_factory.mktemp("user")
    spec = dataclasses.replace(
        default_spec(client),
        name="safe",
        files={"/home/ada/.aws/credentials": (THEIRS, 0o644)},
    )
    with (
        running(client, spec) as machine,
        client.used_by_this_process(),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("HOME", str(home))
        for provider in PROVIDERS.values():
            for name in provider.known_variables():
                patch.delenv(name, raising=False)
        (home / ".cache/huggingface").mkdir(parents=True)
        (home / ".cache/huggingface/token").write_text(TOKEN)
        (home / ".aws").mkdir()
        (home / ".aws/credentials").write_text("[work]\naws_secret_access_key = W\n")
        (home / ".kube").mkdir()
        (home / ".kube/config").write_text("apiVersion: v1\n")
        cluster = rh.cluster("safe", host="safe", python=sys.executable).up()
        yield Rig(machine, cluster, home)
        cluster.disconnect()


def variable(name: str) -> str | None:
    return os.environ.get(name)


def in_child(name: str) -> str:
    return os.popen(f'printf %s "${name}"').read()  # noqa: S605 - of this test


def core_limit() -> str:
    lines = Path("/proc/self/limits").read_text().splitlines()
    return next(line.split()[4] for line in lines if line.startswith("Max core file size"))


class Watch:
    """Look at the command lines and environments of all processes, over and over."""

    def __init__(self, *values: str) -> None:
        self.seen: set[str] = set()
        self.rounds = 0
        self._values = [value.encode() for value in values]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread.start()
        yield
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with suppress(OSError):
                        data = (process / name).read_bytes()
                        if any(value in data for value in self._values):
                            self.seen.add(f"{process / name}: {data[:200]!r}")
            self.rounds += 1


def holding(folder: Path, *values: str) -> list[str]:
    """Return the files below a folder that hold one of some texts."""
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            file = Path(path, name)
            with suppress(OSError):
                if stat.S_ISREG(file.lstat().st_mode):
                    data = file.read_bytes()
                    if any(value.encode() in data for value in values):
                        found.append(str(file))
    return sorted(found)


def memory_holds(pid: int, value: str) -> bool:
    """Tell whether a process has a text in its memory, as a core file of it would."""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, access = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if access.startswith("rw"):
                with suppress(OSError, ValueError, OverflowError):
                    memory.seek(start)
                    if value.encode() in memory.read(end - start):
                        return True
    return False


def test_secrets_are_found_only_where_they_should_be(
    rig: Rig, session_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine, cluster = rig.machine, rig.cluster
    assert rh.function(variable).to(cluster)("PGPASSWORD") is None, "its worker runs already"
    watch = Watch(TOKEN, OWN)
    with watch.watching(), caplog.at_level(0):
        sent = {each.name: each for each in cluster.sync_secrets()}
        cluster.add_secrets({"database": {"PGPASSWORD": OWN}}, env="train")
        assert rh.function(variable).to(cluster, env="train")("PGPASSWORD") == OWN
    assert {name: each.state for name, each in sent.items()} == {
        "aws": "sent",
        "huggingface": "sent",
        "kubeconfig": "sent",
    }
    assert watch.rounds > 3
    assert watch.seen == set()
    assert TOKEN not in caplog.text
    assert OWN not in caplog.text
    root = machine.path("/")
    places = ("home", "root", "tmp", "var", "run", "etc", "dev/shm", "srv", "opt/rh")
    there = [file for place in places for file in holding(root / place, TOKEN, OWN)]
    server = next((machine.home / ".rh/hosts").iterdir())
    assert there == [
        str(machine.home / ".cache/huggingface/token"),
        str(server / "secrets/env-train.json"),
    ]
    for file in map(Path, there):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert holding(rig.home, TOKEN, OWN) == [str(rig.home / ".cache/huggingface/token")]
    assert holding(session_home, TOKEN, OWN) == []
    inside = json.loads((server / "server.json").read_text())["pid"]
    (process,) = [each for each in machine.processes() if each.pid_inside == inside]
    assert not memory_holds(process.pid, TOKEN), "nor would they be in a core file of the server"
    assert not memory_holds(process.pid, OWN)
    assert rh.function(core_limit).to(cluster, env="train")() == "0"
    with pytest.raises(rh.SecretError) as raised:
        rh.secret("database", {"PGPASSWORD": OWN}).to(cluster, path="/proc/denied")
    assert OWN not in str(raised.value)


def test_what_the_host_has_stays_beside_it_and_comes_back(rig: Rig) -> None:
    machine, cluster = rig.machine, rig.cluster
    cluster.sync_secrets("aws")
    file = machine.home / ".aws/credentials"
    assert file.read_text() == THEIRS + "[work]\naws_secret_access_key = W\n"
    (rig.home / ".aws/credentials").write_text("[default]\naws_access_key_id = OURS\n")
    (kept,) = cluster.sync_secrets(["aws"])
    assert (kept.state, kept.places) == ("kept", ("~/.aws/credentials (default)",))
    assert "THEIRS" in file.read_text()
    rh.secret("aws").to(cluster, overwrite=True)
    assert "OURS" in file.read_text()
    assert [each.state for each in cluster.remove_secrets("aws")] == ["removed"]
    assert file.read_text() == THEIRS


def test_variables_are_in_effect_with_the_next_call_of_one_env_or_of_all(rig: Rig) -> None:
    cluster = rig.cluster
    everywhere, train = (rh.function(in_child).to(cluster, env=env) for env in (None, "train"))
    assert (everywhere("T_ONE"), train("T_ONE")) == ("", "")
    cluster.add_secrets({"one": {"T_ONE": OWN}}, env="train")
    assert (everywhere("T_ONE"), train("T_ONE")) == ("", OWN), "child processes have it, too"
    cluster.add_secrets({"one": {"T_ONE": "all"}})
    assert (everywhere("T_ONE"), train("T_ONE")) == ("all", OWN)
    names = {each.name: each.places for each in cluster.secrets()}
    assert names["one"] == ("$T_ONE", "train:$T_ONE")
    cluster.remove_secrets(["one"])
    assert (everywhere("T_ONE"), train("T_ONE")) == ("", "")


def test_all_that_was_sent_is_removed(rig: Rig) -> None:
    cluster = rig.cluster
    cluster.add_secrets({"T_TWO": "x"})
    before = {each.name for each in cluster.secrets()}
    assert {each.name for each in cluster.remove_secrets()} == before
    assert cluster.secrets() == []
    assert holding(rig.machine.home, TOKEN, OWN) == []
    assert cluster.remove_secrets("huggingface")[0].state == "unchanged"


def test_what_cannot_be_sent(rig: Rig) -> None:
    cluster = rig.cluster
    with pytest.raises(rh.SecretNotFoundError, match="not on this machine"):
        cluster.sync_secrets(["openai"])
    with pytest.raises(rh.SecretNotFoundError, match="look like it: openai"):
        cluster.sync_secrets(["opena"])
    with pytest.raises(TypeError, match="list of texts"):
        cluster.sync_secrets(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Give a dict"):
        cluster.add_secrets(["x"])  # type: ignore[arg-type]
    with pytest.raises(rh.InvalidNameError):
        cluster.remove_secrets("a/b")
    with pytest.raises(rh.NotSerializableError, match="cannot be pickled"):
        rh.function(sample.identity).to(cluster)(rh.secret("x", {"A": OWN}))


def test_the_command_line(rig: Rig, client: Client, tmp_path: Path) -> None:
    environ = environment(tmp_path) | client.variables() | {"HOME": str(rig.home)}
    rh_cli = Cli(tmp_path, environ=environ)
    record(tmp_path, "safe", host=["safe"], python=sys.executable)
    (sent,) = rh_cli.json("secrets", "send", "safe", "huggingface")
    assert sent == {
        "name": "huggingface",
        "state": "sent",
        "places": ["~/.cache/huggingface/token"],
    }
    assert "~/.cache/huggingface/token" in rh_cli("secrets", "list", "safe").stdout
    (gone,) = rh_cli.json("secrets", "rm", "safe", "--all", "--yes")
    assert gone["state"] == "removed"
