"""The runtime: what is in it, what names it, and how it gets unpacked on a host."""

from __future__ import annotations

import gzip
import importlib
import io
import os
import re
import shlex
import stat
import subprocess
import sys
import tarfile
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from runhouse.bootstrap import runtime
from runhouse.bootstrap.unpack import NO_SPACE, READ_ONLY, unpack
from runhouse.errors import RunhouseError
from tests.rigs.bare_host import BareHost, Done, interpreter, make_bare_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DIGEST = "0123456789abcdef"


@pytest.fixture(autouse=True)
def fresh(rh_home: Path) -> Iterator[None]:
    """Forget what this process knows about the runtime, before and after."""
    known = (runtime.digest, runtime.contents)
    for function in known:
        function.cache_clear()
    yield
    for function in known:
        function.cache_clear()


@pytest.fixture
def host(tmp_path: Path) -> BareHost:
    """Give a host to unpack on."""
    return make_bare_host(tmp_path / "host")


def _unpack_command(python: str, digest: str = _DIGEST) -> str:
    program = (files("runhouse.bootstrap") / "unpack.py").read_text(encoding="utf-8")
    return shlex.join([python, "-I", "-S", "-c", program, digest])


def _unpack(host: BareHost, data: bytes, python: str = sys.executable) -> Done:
    return host.run(_unpack_command(python), data)


def _small_archive(size: int = 10) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        info = tarfile.TarInfo("worker/file with space.py")
        info.size = size
        tar.addfile(info, io.BytesIO(os.urandom(size)))
    return memory.getvalue()


def _names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


def test_it_holds_our_package_and_what_the_server_needs() -> None:
    names = _names(runtime.archive())
    assert names == sorted(names)
    for expected in (
        "launch.py",
        "worker/runhouse/__init__.py",
        "worker/runhouse/worker/main.py",
        "worker/runhouse/bootstrap/probe.sh",
        "worker/cloudpickle/cloudpickle.py",
        "worker/pathspec/__init__.py",
        "server/starlette/applications.py",
        "server/typing_extensions.py",
        "server/uvicorn/protocols/http/h11_impl.py",
    ):
        assert expected in names
    unwanted = re.compile(r"__pycache__|\.pyc$|\.so$|/cli/|\.\.|/\.|^/|dist-info|/tests?/")
    assert not [name for name in names if unwanted.search(name)]


def test_it_is_small() -> None:
    assert len(runtime.archive()) < 1_000_000


def test_the_same_content_gives_the_same_bytes_and_digest(rh_home: Path) -> None:
    digest, data = runtime.digest(), runtime.archive()
    assert re.fullmatch(r"[0-9a-f]{16}", digest)
    kept = rh_home / "cache" / f"runtime-{digest}.tar.gz"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.unlink()
    assert runtime.archive() == data
    other = subprocess.run(
        [sys.executable, "-c", "from runhouse.bootstrap import runtime; print(runtime.digest())"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert other.stdout.strip() == digest


def test_the_digest_is_of_content_not_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "runhouse"
    package.mkdir()
    (package / "a.py").write_text("one")
    monkeypatch.setattr(runtime, "_OWN", package)

    def digest() -> str:
        runtime.digest.cache_clear()
        return runtime.digest()

    before = digest()
    os.utime(package / "a.py", (1, 1))
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.pyc").write_bytes(b"x")
    assert digest() == before
    (package / "a.py").write_text("two")
    changed = digest()
    (package / "a.py").rename(package / "b.py")
    assert len({before, changed, digest()}) == 3


def test_an_archive_is_built_once_and_old_ones_go(
    rh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        monkeypatch.setattr(runtime, "digest", lambda number=number: f"d{number}")
        monkeypatch.setattr(runtime, "_build", lambda number=number: b"%d" % number)
        assert runtime.archive() == b"%d" % number
        monkeypatch.setattr(runtime, "_build", lambda: pytest.fail("built again"))
        assert runtime.archive() == b"%d" % number
    assert len(list((rh_home / "cache").iterdir())) == 3


def test_a_home_that_cannot_hold_the_archive_is_no_matter(rh_home: Path) -> None:
    rh_home.write_text("in the way")
    assert _names(runtime.archive())


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            "h11/__init__.py,sha256=x,1\nh11/fast.cpython-311.so,sha256=y,2\n",
            "compiled file h11/fast",
        ),
        ("__editable__.h11.pth,sha256=x,1\n", "not installed as files of its own"),
        ("", "not installed as files of its own"),
    ],
)
def test_packages_that_cannot_be_sent_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str, reason: str
) -> None:
    info = tmp_path / "h11-9.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: h11\nVersion: 9.0\n")
    (info / "RECORD").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(RunhouseError, match=reason) as caught:
        runtime.digest()
    assert str(caught.value).startswith("The runtime for hosts cannot be made. The package h11 ")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "WORKER_PACKAGES", ("no-such-package",))
    with pytest.raises(RunhouseError, match="The package no-such-package is missing"):
        runtime.archive()


@pytest.mark.parametrize("minor", ["3.10", "3.12", "3.13"])
def test_it_works_with_another_python_and_nothing_else(host: BareHost, minor: str) -> None:
    python = interpreter(minor)
    done = _unpack(host, runtime.archive(), python)
    assert (done.exit_code, done.stderr) == (0, "")
    folder = host.home / ".rh" / "runtime" / _DIGEST
    assert (folder / ".complete").read_text() == _DIGEST
    worker = "import sys; sys.path.append(sys.argv[1]); import runhouse.worker.main"
    server = "import sys; sys.path += sys.argv[1:]; import runhouse.server.app, uvicorn"
    for program, folders in ((worker, ["worker"]), (server, ["worker", "server"])):
        paths = [str(folder / name) for name in folders]
        argv = [python, "-I", "-S", "-W", "error", "-c", program, *paths]
        subprocess.run(argv, check=True)


def test_a_worker_on_a_host_can_send_its_own_runtime_on(host: BareHost) -> None:
    archive = runtime.archive()
    assert _unpack(host, archive).exit_code == 0
    folder = host.home / ".rh" / "runtime" / _DIGEST
    program = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from runhouse.bootstrap import runtime\n"
        "sys.stdout.write(runtime.digest()); sys.stdout.flush()\n"
        "sys.stdout.buffer.write(runtime.archive())"
    )
    argv = [sys.executable, "-I", "-S", "-c", program, str(folder / "worker")]
    environ = {"RH_HOME": str(host.home / ".rh")}
    done = subprocess.run(argv, check=True, capture_output=True, env=environ)
    assert done.stdout[:16] == _DIGEST.encode()
    assert gzip.decompress(done.stdout[16:]) == gzip.decompress(archive)


def test_everything_unpacked_is_private(host: BareHost) -> None:
    assert _unpack(host, _small_archive()).exit_code == 0
    for path in (host.home / ".rh").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert stat.S_IMODE((host.home / ".rh").stat().st_mode) == 0o700


def test_unpacking_again_changes_nothing(host: BareHost) -> None:
    assert _unpack(host, _small_archive()).exit_code == 0
    file = host.home / ".rh" / "runtime" / _DIGEST / "worker" / "file with space.py"
    before = (file.read_bytes(), file.stat().st_ino)
    assert _unpack(host, _small_archive()).exit_code == 0
    assert (file.read_bytes(), file.stat().st_ino) == before


def test_several_at_once_end_in_one_complete_copy(host: BareHost) -> None:
    data, command = runtime.archive(), _unpack_command(sys.executable)
    environ = {"HOME": str(host.home), "PATH": str(host.bin)}
    unpackers = [
        subprocess.Popen([host.bin / "sh", "-c", command], stdin=subprocess.PIPE, env=environ)
        for _ in range(4)
    ]
    for unpacker in unpackers:
        assert unpacker.stdin is not None
        unpacker.stdin.write(data[:-1])
        unpacker.stdin.flush()
    for unpacker in unpackers:  # all of them are waiting for the last byte
        unpacker.communicate(data[-1:])
    assert [unpacker.returncode for unpacker in unpackers] == [0] * 4
    folder = host.home / ".rh" / "runtime"
    assert [path.name for path in folder.iterdir()] == [_DIGEST]
    unpacked = {
        p.relative_to(folder / _DIGEST).as_posix() for p in folder.rglob("*") if p.is_file()
    }
    assert unpacked == {*_names(data), ".complete"}


def test_half_a_runtime_is_replaced(host: BareHost) -> None:
    remains = host.home / ".rh" / "runtime" / _DIGEST / "worker"
    remains.mkdir(parents=True)
    (remains / "old.py").write_text("x")
    assert _unpack(host, _small_archive()).exit_code == 0
    folder = host.home / ".rh" / "runtime"
    assert [path.name for path in folder.iterdir()] == [_DIGEST]
    assert not (remains / "old.py").exists()


def test_what_a_killed_one_left_is_removed_after_a_day(tmp_path: Path) -> None:
    for name, age_s in (("aa.x1", 2 * 86400), ("aa.x2", 60), ("bb", 2 * 86400)):
        (tmp_path / name).mkdir()
        stamp = (tmp_path / name).stat().st_mtime - age_s
        os.utime(tmp_path / name, (stamp, stamp))
    unpack(str(tmp_path), "cc", _small_archive())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aa.x2", "bb", "cc"]


@pytest.mark.parametrize("cut", [1, 100, 0])
def test_an_archive_that_did_not_arrive_whole_is_told(host: BareHost, cut: int) -> None:
    data = _small_archive(5000)
    done = _unpack(host, data[:-cut] if cut else data[:-8] + bytes(8))
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert list((host.home / ".rh" / "runtime").iterdir()) == []


def test_a_full_disk_is_told_by_the_exit_code(host: BareHost) -> None:
    home = f'"{host.home}"'
    host.mount(f"mount -t tmpfs -o size=256k tmpfs {home}")
    listing = f"; code=$?; {shlex.join([sys.executable, '-I', '-c', _LIST])}; exit $code"
    done = host.run(_unpack_command(sys.executable) + listing, _small_archive(1_000_000))
    assert done.exit_code == NO_SPACE
    assert "No space left on device" in done.stderr
    assert done.stdout.strip() == "[]"


_LIST = "import os; print(os.listdir(os.path.expanduser('~/.rh/runtime')))"


def test_a_read_only_home_is_told_by_the_exit_code(host: BareHost) -> None:
    home = f'"{host.home}"'
    host.mount(f"mount --bind {home} {home}; mount -o remount,bind,ro {home}")
    done = _unpack(host, _small_archive())
    assert done.exit_code == READ_ONLY
    assert "Read-only file system" in done.stderr
