"""Bringing a Python to a host that has none, by uv, from a stand-in for its download site."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tarfile
import zipfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from runhouse.bootstrap.probe import HostFacts, probe
from runhouse.bootstrap.python import bring_python
from runhouse.bootstrap.uv import uv_here
from runhouse.errors import HostNotWritableError, NoUsablePythonError
from tests.rigs.bare_host import BareHost, Done, interpreter, make_bare_host

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]  # uv is large

_HEAVY = ("test", "idlelib", "lib2to3", "tkinter", "ensurepip", "site-packages", "__pycache__")
_PRIVATE = "https://ada:hunter2@mirror.example"


@pytest.fixture
def host(tmp_path: Path, rh_home: Path, monkeypatch: pytest.MonkeyPatch) -> BareHost:
    """Give a host without any Python; uv downloads nothing on this side."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv cache"))
    host = make_bare_host(tmp_path / "host")
    host.hide_system_pythons()
    return host


@pytest.fixture(scope="session")
def download_site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Pack an interpreter of this machine as uv expects it; return the environment for it."""
    folder = tmp_path_factory.mktemp("site")
    prefix = Path(interpreter("3.12")).resolve().parents[1]
    archive = folder / "cpython-3.12.tar.gz"

    def light(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = os.path.basename(info.name)
        return None if name in _HEAVY or name.endswith(".a") else info

    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(prefix / "bin" / "python3.12", "python/bin/python3.12")
        tar.add(prefix / "bin" / "python3", "python/bin/python3")
        tar.add(prefix / "lib" / "python3.12", "python/lib/python3.12", filter=light)
    machine = platform.machine()
    libc = "gnu" if platform.libc_ver()[0] == "glibc" else "musl"
    known = {
        "name": "cpython",
        "arch": {"family": machine, "variant": None},
        "os": "linux",
        "libc": libc,
        **{"major": 3, "minor": 12, "patch": 1, "prerelease": "", "variant": None, "build": "1"},
        "url": archive.as_uri(),
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
    }
    index = folder / "downloads.json"
    index.write_text(json.dumps({f"cpython-3.12.1-linux-{machine}-{libc}": known}))
    return {"UV_PYTHON_DOWNLOADS_JSON_URL": index.as_uri()}


def look(host: BareHost) -> HostFacts:
    return probe(host.run, host="box", digest="abc")


def bring(host: BareHost, facts: HostFacts, environ: dict[str, str]) -> HostFacts:
    return bring_python(host.run, facts, host="box", digest="abc", environ=environ)


def test_uv_is_sent_and_installs_a_python(host: BareHost, download_site: dict[str, str]) -> None:
    host.add_script("python3", "exit 1")
    facts = look(host)
    assert facts.python == ""
    found = bring(host, facts, download_site)
    assert found.python_version == "3.12.1"
    assert found.python.startswith(f"{host.home}/.rh/python/")
    assert found.tried[0] == f"{host.bin}/python3 (does not run)"
    assert look(host).python == found.python
    run = host.run(f'"{found.python}" -c "import asyncio, ctypes; print(6 * 7)"')
    assert run.stdout == "42\n"
    assert not (host.home / ".local").exists()
    sent = list((host.home / ".rh" / "bin").iterdir())
    assert [path.name for path in sent] == [f"uv-{version('uv')}"]
    commands: list[str] = []

    def watch(command: str, data: bytes) -> Done:
        commands.append(command)
        return host.run(command, data)

    again = bring_python(watch, facts, host="box", digest="abc", environ=download_site)
    assert again.python == found.python
    assert len(commands) == 2  # neither sent again nor asked for


def test_the_uv_of_the_host_is_used(host: BareHost, download_site: dict[str, str]) -> None:
    uv = uv_here()
    assert uv is not None
    host.add("uv", uv)
    facts = look(host)
    assert facts.uv == f"{host.bin}/uv"
    assert bring(host, facts, download_site).python_version == "3.12.1"
    assert not (host.home / ".rh" / "bin").exists()


def test_a_uv_of_the_host_that_does_not_run_is_passed_over(
    host: BareHost, download_site: dict[str, str]
) -> None:
    host.add_script("uv", "echo 'pyenv: uv: command not found' >&2; exit 127")
    assert bring(host, look(host), download_site).python_version == "3.12.1"


def test_mirrors_are_passed_on_but_not_in_arguments(host: BareHost) -> None:
    host.add_script(
        "uv",
        'if [ "$1" = --version ]; then exit 0; fi\n'
        'echo "$UV_PYTHON_INSTALL_MIRROR|$UV_PYTHON_INSTALL_DIR|$UV_SECRET|$*" >&2; exit 3',
    )
    commands: list[str] = []

    def watch(command: str, data: bytes) -> Done:
        commands.append(command)
        return host.run(command, data)

    environ = {"UV_PYTHON_INSTALL_MIRROR": f"{_PRIVATE}/a 'b'", "UV_SECRET": "x"}
    with pytest.raises(NoUsablePythonError) as caught:
        bring_python(watch, look(host), host="box", digest="abc", environ=environ)
    told = f"{_PRIVATE}/a 'b'|{host.home}/.rh/python||python install 3.12"
    assert told in str(caught.value)
    assert not [command for command in commands if "hunter2" in command]


def test_a_host_without_internet_is_told_with_what_uv_said(host: BareHost, tmp_path: Path) -> None:
    host.add("python3", interpreter("3.8"))
    uv = uv_here()
    assert uv is not None
    host.add("uv", uv)
    environ = {"UV_PYTHON_DOWNLOADS_JSON_URL": f"file://{tmp_path}/nothing-here.json"}
    with pytest.raises(NoUsablePythonError, match="uv could not install Python 3.12") as caught:
        bring(host, look(host), environ)
    assert "nothing-here.json" in str(caught.value)
    assert " (3.8." in caught.value.found[0]
    assert "install one there" in str(caught.value)


def test_a_full_disk_is_told(host: BareHost) -> None:
    facts = look(host)
    host.mount(f'mount -t tmpfs -o size=1m tmpfs "{host.home}"')
    with pytest.raises(HostNotWritableError, match="No space left on device"):
        bring(host, facts, {})


def _fake_wheel(folder: Path, tag: str) -> None:
    """Make a wheel of uv for another platform, with a program that can be recognised."""
    folder.mkdir()
    release = version("uv")
    info = f"uv-{release}.dist-info"
    contents = {
        f"uv-{release}.data/scripts/uv": "#!/bin/sh\necho from the wheel >&2\nexit 5\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: uv\nVersion: {release}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-{tag}\n",
    }
    contents[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in contents) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"uv-{release}-py3-none-{tag}.whl", "w") as wheel:
        for name, content in contents.items():
            wheel.writestr(name, content)


def test_another_platform_gets_the_uv_that_fits(
    host: BareHost, tmp_path: Path, rh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_wheel(tmp_path / "wheels", "musllinux_1_1_aarch64")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    host.bin.joinpath("uname").unlink()
    host.add_script("uname", "echo Linux box aarch64")
    facts = look(host)
    for _ in range(2):
        with pytest.raises(NoUsablePythonError, match="aarch64"):
            bring(host, replace(facts, libc="musl"), {})
    uv = rh_home / "cache" / f"uv-{version('uv')}-aarch64-unknown-linux-musl" / "bin" / "uv"
    assert "from the wheel" in uv.read_text()
    assert (host.home / ".rh" / "bin" / f"uv-{version('uv')}").read_bytes() == uv.read_bytes()
    assert [path.name for path in (rh_home / "cache").iterdir()] == [uv.parents[1].name]


@pytest.mark.parametrize(
    ("machine", "reason"), [("aarch64", "could not be downloaded"), ("mips", "there is none for")]
)
def test_a_platform_without_uv_is_told(host: BareHost, machine: str, reason: str) -> None:
    with pytest.raises(NoUsablePythonError, match=reason) as caught:
        bring(host, replace(look(host), machine=machine), {})
    assert "uv, which installs one, did not get there" in str(caught.value)
