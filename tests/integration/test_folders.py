"""Folders on real hosts and in a real store: copied, resumed, and copied between them."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse import settings
from runhouse.files import Copying
from tests.rigs.cli import RH, Cli, environment, record
from tests.rigs.fixtures import default_spec, running
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.client import Client
    from tests.rigs.machine import Machine

pytestmark = pytest.mark.timeout(60)

BLOCK = 1 << 17  # the most that rsync compares at once
BIG = 150_000_000
BETWEEN = "runhouse.ssh.between"


@dataclasses.dataclass(frozen=True)
class Rig:
    """Hold three hosts: `one`, `inner`, which only it and we through it reach, and `bare`."""

    one: rh.Cluster
    inner: rh.Cluster
    bare: rh.Cluster
    machines: dict[str, Machine]


@pytest.fixture(scope="module")
def rig(client: Client) -> Iterator[Rig]:
    spec = default_spec(client)
    with (
        running(client, dataclasses.replace(spec, name="one")) as one,
        running(client, dataclasses.replace(spec, name="inner"), one) as inner,
        running(client, dataclasses.replace(spec, name="bare", rsync=False)) as bare,
        client.used_by_this_process(),
    ):
        machines = {"one": one, "inner": inner, "bare": bare}
        clusters = {name: rh.cluster(name, host=name, python=sys.executable) for name in machines}
        yield Rig(**clusters, machines=machines)
        for cluster in clusters.values():
            cluster.disconnect()


@pytest.fixture
def data(tmp_path: Path) -> rh.Folder:
    """Give a folder with what is hard: spaces, quotes, links, folders, modes."""
    place = tmp_path / "the data"
    (place / "sub folder" / "empty").mkdir(parents=True)
    (place / "a 'quoted' \"name\" *").write_text("hello")
    (place / "sub folder" / "x").write_bytes(os.urandom(100_000))
    (place / "link").symlink_to("sub folder/x")
    (place / "run").write_text("#!/bin/sh\n")
    (place / "run").chmod(0o755)
    return rh.folder(place)


def tree(root: Path) -> dict[str, object]:
    """Return what is below a folder: links, folders, and files with their modes."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            mode = path.stat().st_mode & 0o777
            found[name] = (path.read_bytes(), mode) if path.is_file() else "folder"
    return found


@pytest.mark.parametrize("name", ["one", "inner", "bare"])
def test_a_folder_goes_to_a_host_and_comes_back(
    name: str, rig: Rig, data: rh.Folder, tmp_path: Path
) -> None:
    cluster: rh.Cluster = getattr(rig, name)
    there = data.to(cluster, path="it's a copy/of it")
    machine = rig.machines[name]
    assert tree(machine.home / "it's a copy/of it") == tree(Path(data.path))
    again = data.to(there)
    assert again.copied is not None
    assert (again.copied.files, again.copied.sent_bytes) == (0, 0)
    assert there.ls() == data.ls()
    assert there.get("sub folder/x") == data.get("sub folder/x")
    there.put({"new/w": "ö", "sub folder/x": b"other"})
    with there.open("new/w", "r") as file:
        assert file.read() == "ö"
    with pytest.raises(ZeroDivisionError), there.open("new/w", "w") as file:
        file.write(str(1 / 0))
    assert there.get("new/w") == "ö".encode(), "what failed goes nowhere"
    with there.open("new/w", "wb") as file:
        file.write(b"1")
    back = there.to("here", path=tmp_path / "back")
    assert tree(tmp_path / "back") == tree(machine.home / "it's a copy/of it")
    there.rm("new")
    assert not there.exists("new")
    mirrored = there.to(back, delete=True)
    assert mirrored.copied is not None
    assert mirrored.copied.deleted == 2
    with pytest.raises(FileNotFoundError, match=f"on {name}"):
        there.ls("none")
    with pytest.raises(FileNotFoundError, match=f"on {name}"):
        there.get("none")
    with pytest.raises(PermissionError, match=f"on {name}"):
        rh.folder("/etc/new", system=cluster).mkdir()
    there.rm()
    assert not there.exists()


def test_a_copy_that_was_interrupted_goes_on_where_it_stopped(rig: Rig, tmp_path: Path) -> None:
    source, machine = tmp_path / "big", rig.machines["one"]
    source.mkdir()
    (source / "file").write_bytes(os.urandom(BIG))
    (source / "small").write_bytes(b"x" * 1000)
    there = machine.home / "big"
    rig.one.up()

    def break_off() -> None:
        wait_until(lambda: any(x.stat().st_size > BIG // 5 for x in there.glob(".file.*")))
        machine.kill_sshd_sessions()

    breaker = threading.Thread(target=break_off)
    breaker.start()
    with pytest.raises((rh.SyncError, rh.ConnectError)):
        rh.folder(source).to(rig.one, path="big")
    breaker.join()
    partial = there / ".rh-partial" / "file"
    wait_until(partial.exists)
    kept = partial.stat().st_size
    assert BIG // 5 < kept < BIG
    copied = rh.folder(source).to(rig.one, path="big").copied
    assert copied is not None
    assert copied.size_bytes == BIG + 1000
    rest = BIG + 1000 - kept
    assert rest <= copied.sent_bytes < rest + 2 * BLOCK, "exactly the rest was sent"
    assert not partial.exists()
    assert (there / "file").read_bytes() == (source / "file").read_bytes()
    shutil.rmtree(there)


# -- from host to host --------------------------------------------------------------------------


class Watch:
    """Note the lines that are in a file for a while."""

    def __init__(self, file: Path) -> None:
        self.lines: set[str] = set()
        self._file = file
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.is_set():
            self.lines |= set(self._file.read_text().splitlines())


def test_hosts_that_reach_each_other_copy_directly_and_no_key_is_left(
    rig: Rig, data: rh.Folder, caplog: pytest.LogCaptureFixture
) -> None:
    one, inner = rig.machines["one"], rig.machines["inner"]
    origin = data.to(rig.one, path="between")
    authorized = inner.home / ".ssh" / "authorized_keys"
    before = authorized.read_bytes(), authorized.stat().st_mode
    with caplog.at_level(logging.DEBUG, BETWEEN), Watch(authorized) as watch:
        copied = origin.to(rig.inner, path="a \"quoted\" 'copy'/of it").copied
    assert [record for record in caplog.records if record.name == BETWEEN] == []
    assert copied is not None
    assert copied.files == 3
    assert tree(inner.home / "a \"quoted\" 'copy'/of it") == tree(Path(data.path))
    (line,) = watch.lines - set(before[0].decode().splitlines()) - {""}
    assert line.startswith('restrict,expiry-time="')
    assert "rsync" in line
    assert "--server" in line
    assert (authorized.read_bytes(), authorized.stat().st_mode) == before
    assert os.listdir(inner.home / ".ssh") == ["authorized_keys"]
    assert one.processes("ssh-agent") == []
    places = "/home /tmp /var /run /dev/shm"
    search = f"grep -rl --exclude-dir=runtime 'PRIVATE KEY' {places}"
    found = one.exec(search, as_root=True)
    assert found.stdout == ""
    assert os.listdir(one.path("/tmp")) == []


@pytest.mark.parametrize("dest", ["one", "bare"])
def test_hosts_that_do_not_are_connected_through_here(
    dest: str, rig: Rig, data: rh.Folder, caplog: pytest.LogCaptureFixture
) -> None:
    origin = data.to(rig.inner, path="from")
    target: rh.Cluster = getattr(rig, dest)
    with caplog.at_level(logging.DEBUG, BETWEEN):
        copied = origin.to(target, path="through").copied
    assert copied is not None
    assert copied.files == 3
    said = [each.message for each in caplog.records if each.name == BETWEEN]
    assert len(said) == (0 if dest == "bare" else 1), "without rsync there is nothing to try"
    place = rig.machines[dest].home / "through"
    assert tree(place) == tree(Path(data.path))
    again = origin.to(target, path="through").copied
    assert again is not None
    assert again.sent_bytes == 0


def test_what_cannot_be_written_is_told(rig: Rig, data: rh.Folder) -> None:
    origin = data.to(rig.one, path="between")
    with pytest.raises(rh.SyncError, match="to inner"):
        origin.to(rig.inner, path="/proc/none")
    with pytest.raises(rh.SyncError, match="one"):
        data.to(rig.one, path="/proc/none")
    host = rig.one.host_of()
    with pytest.raises(rh.SyncError, match="from one"):
        host.copy_to(rig.inner.host_of(), "none/", "x", Copying())


# -- in an object store -------------------------------------------------------------------------


@contextmanager
def s3_server() -> Iterator[None]:
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield
    server.stop()


@contextmanager
def gs_server() -> Iterator[None]:
    server_module = pytest.importorskip("gcp_storage_emulator.server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = server_module.create_server("127.0.0.1", port, in_memory=True)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # it would ask Google
        yield
    server.stop()


@pytest.fixture(scope="module", params=["s3", "gs"])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a kind of store that is there, with a bucket `data`."""
    system = str(request.param)
    with {"s3": s3_server, "gs": gs_server}[system]():
        for _ in range(2):  # safe to repeat
            rh.folder(f"{system}://data").mkdir()
        yield system


def test_a_folder_in_a_store(rig: Rig, data: rh.Folder, store: str, tmp_path: Path) -> None:
    stored = data.to(store, path="data/train set")
    assert stored.copied is not None
    assert stored.copied.files == 4, "a link is the file that it leads to"
    assert stored.ls() == ["a 'quoted' \"name\" *", "link", "run", "sub folder/"]
    again = data.to(stored).copied
    assert again is not None
    assert (again.files, again.sent_bytes) == (0, 0), "the store's own checksum tells"
    stored.put({"new/w": "ö"})
    with stored.open("new/w", "r") as file:
        assert file.read() == "ö"
    assert stored.exists("new")
    mirrored = data.to(stored, delete=True).copied
    assert mirrored is not None
    assert mirrored.deleted == 1
    there = stored.to(rig.one, path="from-s3")
    assert there.get("sub folder/x") == data.get("sub folder/x")
    there.put({"result": "1"})
    back = there.to(store, path="data/results")
    assert back.get("result") == b"1"
    assert back.to("here", path=tmp_path / "results").ls() == there.ls()
    stored.rm()
    assert not stored.exists()
    with pytest.raises(FileNotFoundError, match=f"There is no {store}://data/train set"):
        stored.ls()
    with pytest.raises(FileNotFoundError, match=f"There is no {store}://no-such-bucket-/x"):
        data.to(store, path="no-such-bucket-/x")


# -- the command line ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cli(rig: Rig, client: Client) -> Iterator[Cli]:
    home = settings.load().home / "cli"
    home.mkdir()
    for name in rig.machines:
        record(home, name, host=[name], python=sys.executable)
    yield Cli(home, environ=environment(home) | client.variables())
    shutil.rmtree(home)


def test_rh_cp(rig: Rig, data: rh.Folder, cli: Cli, tmp_path: Path) -> None:
    one, inner = rig.machines["one"].home, rig.machines["inner"].home
    copied = cli.json("cp", f"{data.path}/", "one:cp/contents")
    assert copied["files"] == 3
    assert tree(one / "cp/contents") == tree(Path(data.path))
    assert "3 files copied" in cli("cp", "one:cp/contents", "inner:cp").stdout
    assert tree(inner / "cp/contents") == tree(Path(data.path))
    cli.json("cp", "inner:cp/contents/run", str(tmp_path / "run"))
    assert (tmp_path / "run").read_text() == "#!/bin/sh\n"


def test_rh_cp_that_is_interrupted_says_how_it_goes_on(rig: Rig, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(BIG))
    words = ("cp", str(tmp_path / "file"), "one:interrupted/")
    home = rig.machines["one"].home / "interrupted"
    process = subprocess.Popen([RH, *words], env=cli.environ, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any(x.stat().st_size > BIG // 5 for x in home.glob(".file.*")))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=15)[1].startswith("Interrupted. What is copied stays")
    assert process.returncode == 130
    assert "were there" in cli(*words).stdout
    shutil.rmtree(home)


@pytest.mark.skipif(not shutil.which("sshfs"), reason="needs sshfs: apt install sshfs")
@pytest.mark.parametrize(("form", "said"), [((), "Ctrl-C"), (("--json",), '"folder": ')])
def test_rh_mount_shows_a_folder_until_it_is_interrupted(
    rig: Rig, cli: Cli, tmp_path: Path, form: tuple[str, ...], said: str
) -> None:
    rh.folder("mounted", system=rig.one).put({"a b": "hello"})
    folder = tmp_path / "mnt"
    process = subprocess.Popen(
        [RH, "mount", "one:mounted", str(folder), *form],
        env=cli.environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert said in process.stdout.readline()
        assert (folder / "a b").read_text() == "hello"
        (folder / "new").write_text("1")
        assert (rig.machines["one"].home / "mounted/new").read_text() == "1"
        for place, why in ((tmp_path, "not empty"), (folder, "mounted there already")):
            with pytest.raises(rh.SyncError, match=why):
                rig.one.host_of().mount("x", place)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
    assert process.returncode == 0
    assert not folder.exists()
    with pytest.raises(rh.SyncError, match="sshfs wrote"):
        rig.one.host_of().mount("none", folder)
    assert not folder.exists()


def test_without_sshfs_it_is_said_what_to_install(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = rig.one.host_of()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(rh.SyncError, match="apt install sshfs"):
        host.mount("x", tmp_path / "m")
