"""The probe, run for real in several shells, with a home and a PATH of its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runhouse.bootstrap.probe import HostFacts, check_python, check_writable, probe
from runhouse.errors import BootstrapError, HostNotWritableError, NoUsablePythonError
from runhouse.server.info import ServerInfo
from tests.rigs.bare_host import BareHost, Done, interpreter, make_bare_host

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = ["dash", "bash", "busybox"]


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> BareHost:
    """Give a host without Python in its PATH, for each shell."""
    return make_bare_host(tmp_path, request.param)


@pytest.fixture
def one_host(tmp_path: Path) -> BareHost:
    """Give a host with dash, for what does not depend on the shell."""
    return make_bare_host(tmp_path)


def look(host: BareHost, python: str = "") -> HostFacts:
    return probe(host.run, host="box", digest="abc", python=python)


def test_a_host_is_described(host: BareHost) -> None:
    host.add("python3", sys.executable)
    host.add_script("rsync", "exit 1")
    facts = look(host)
    system = os.uname()
    assert facts.system.split() == ["Linux", system.machine, facts.libc]
    assert facts.libc in ("glibc", "musl")
    assert facts.hostname == system.nodename
    assert facts.home == str(host.home)
    assert facts.uid == os.getuid()
    assert facts.writable == "yes"
    assert facts.free_kib > 0
    assert facts.rsync == str(host.bin / "rsync")
    assert (facts.tar, facts.uv) == ("", "")
    assert facts.python_version == ".".join(map(str, sys.version_info[:3]))
    assert facts.tried == (f"{host.bin}/python3 ({facts.python_version})",)
    assert (facts.has_runtime, facts.server, facts.token) == (False, None, "")
    check_writable(facts, host="box")
    check_python(facts, host="box")
    assert stat.S_IMODE((host.home / ".rh").stat().st_mode) == 0o700
    assert list((host.home / ".rh").iterdir()) == []


def test_no_python_at_all(host: BareHost) -> None:
    host.hide_system_pythons()
    facts = look(host)
    assert (facts.python, facts.tried) == ("", ())
    with pytest.raises(NoUsablePythonError, match="found: none") as caught:
        check_python(facts, host="box")
    assert caught.value.host == "box"
    assert "python='/path/to/python3'" in str(caught.value)


def test_old_pythons_are_listed_not_used(host: BareHost) -> None:
    host.hide_system_pythons()
    host.add("python3", interpreter("3.8"))
    host.add("python", interpreter("2.7"))
    facts = look(host)
    assert facts.python == ""
    with pytest.raises(NoUsablePythonError) as caught:
        check_python(facts, host="box")
    assert [found.split(" (")[1][:3] for found in caught.value.found] == ["3.8", "2.7"]
    assert all(found in str(caught.value) for found in caught.value.found)


@pytest.mark.parametrize("minor", ["3.10", "3.12", "3.13"])
def test_a_name_with_its_version_is_found_after_an_old_python3(
    one_host: BareHost, minor: str
) -> None:
    one_host.add("python3", interpreter("3.9"))
    one_host.add(f"python{minor}", interpreter(minor))
    facts = look(one_host)
    assert facts.python_version.startswith(f"{minor}.")
    assert os.path.samefile(facts.python, interpreter(minor))
    assert len(facts.tried) == 2


def test_a_shim_that_fails_is_passed_over(host: BareHost) -> None:
    host.add_script("python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    host.add_script("python", "echo Welcome; echo 3.11.2")
    host.add("python3.12", interpreter("3.12"))
    facts = look(host)
    assert facts.python_version.startswith("3.12.")
    assert facts.tried[:2] == (
        f"{host.bin}/python3 (does not run)",
        f"{host.bin}/python (does not run)",
    )


def test_a_shim_that_talks_is_understood(one_host: BareHost) -> None:
    real = interpreter("3.12")
    one_host.add_script("python3", f'echo "loading | modules"\nexec {real} "$@"')
    facts = look(one_host)
    assert os.path.samefile(facts.python, real)


def test_a_shim_that_hangs_is_given_up(host: BareHost) -> None:
    host.add_script("python3", "exec sleep 60")
    host.add("sleep", "/bin/sleep")
    host.add("python3.12", interpreter("3.12"))
    facts = look(host)
    assert facts.python_version.startswith("3.12.")
    assert facts.tried[0] == f"{host.bin}/python3 (does not run)"


def test_a_python_that_waits_for_input_gets_none(one_host: BareHost) -> None:
    one_host.add_script("python3", f'cat >/dev/null\nexec {interpreter("3.12")} "$@"')
    assert look(one_host).python_version.startswith("3.12.")


def test_a_python_without_its_library_is_passed_over(one_host: BareHost) -> None:
    one_host.hide_system_pythons()
    answer = "rh|3.11.2|incomplete: no module asyncio|/usr/bin/python3|"
    one_host.add_script("python3", f"echo '{answer}'")
    facts = look(one_host)
    assert facts.python == ""
    assert facts.tried == (f"{one_host.bin}/python3 (3.11.2, incomplete: no module asyncio)",)


@pytest.mark.parametrize(
    "place", [".pyenv/versions/3.12.1/bin", "miniconda3/bin", ".rh/python/cpython-3.12/bin"]
)
def test_well_known_places_are_searched(host: BareHost, place: str) -> None:
    host.hide_system_pythons()
    folder = host.home / place
    folder.mkdir(parents=True)
    (folder / "python3").symlink_to(interpreter("3.12"))
    facts = look(host)
    assert facts.python_version.startswith("3.12.")
    assert facts.tried[0].startswith(str(folder))


@pytest.mark.parametrize("form", ["whole", "home", "name"])
def test_the_named_interpreter_is_the_only_one_tried(host: BareHost, form: str) -> None:
    host.add("python3", sys.executable)
    folder = host.home / "my env"
    folder.mkdir()
    (folder / "python").symlink_to(interpreter("3.12"))
    host.add("mine", interpreter("3.12"))
    named = {"whole": str(folder / "python"), "home": "~/my env/python", "name": "mine"}[form]
    facts = look(host, named)
    assert facts.python_version.startswith("3.12.")
    assert len(facts.tried) == 1


@pytest.mark.parametrize("named", ["/nowhere/python3", "~/nothing", "absent", "$(id)", "-c"])
def test_a_named_interpreter_that_cannot_be_used_is_an_error(host: BareHost, named: str) -> None:
    host.add("python3", sys.executable)
    facts = look(host, named)
    assert facts.python == ""
    with pytest.raises(NoUsablePythonError, match="cannot be used") as caught:
        check_python(facts, host="box", python=named)
    assert named in str(caught.value)


@pytest.mark.parametrize("text", ["'; touch pwned; '", '"$(touch pwned)"', "a b\nc", "*", "`id`"])
def test_what_the_user_gives_is_never_run(host: BareHost, text: str) -> None:
    host.add("touch", "/usr/bin/touch")
    facts = probe(host.run, host="box", digest=text, python=text)
    assert not facts.has_runtime
    assert not list(host.home.parent.rglob("pwned"))
    assert not Path("pwned").exists()


def test_a_directory_in_path_may_have_any_name(one_host: BareHost) -> None:
    strange = one_host.bin.with_name("b * 'n")
    one_host.bin.rename(strange)
    one_host.bin = strange
    one_host.add("python3", interpreter("3.12"))
    assert look(one_host).tried[0].startswith(str(strange))


def test_a_read_only_home_is_told(host: BareHost) -> None:
    home = f'"{host.home}"'
    host.mount(f"mount --bind {home} {home}; mount -o remount,bind,ro {home}")
    facts = look(host)
    assert facts.writable == "no"
    with pytest.raises(HostNotWritableError, match="Read-only file system") as caught:
        check_writable(facts, host="box")
    assert f"{host.home}/.rh" in str(caught.value)
    assert "Make it writable" in str(caught.value)


def test_a_home_that_is_not_there_is_told(one_host: BareHost) -> None:
    one_host.home.rmdir()
    one_host.home.write_text("in the way")
    with pytest.raises(HostNotWritableError, match="It cannot be written to by user"):
        check_writable(look(one_host), host="box")


@pytest.mark.parametrize("made", [False, True])
def test_a_full_home_is_told(host: BareHost, made: bool) -> None:
    home = f'"{host.home}"'
    before = f"mkdir {home}/.rh;" if made else ""
    fill = f"{before} dd if=/dev/zero of={home}/fill bs=4k 2>/dev/null || true"
    host.mount(f"mount -t tmpfs -o size=64k tmpfs {home}; {fill}")
    facts = look(host)
    assert (facts.writable, facts.free_kib) == ("full", 0)
    with pytest.raises(HostNotWritableError, match="Its disk is full: 0 KiB are free"):
        check_writable(facts, host="box")


def test_little_space_is_enough_only_when_the_runtime_is_there(one_host: BareHost) -> None:
    home = f'"{one_host.home}"'
    one_host.mount(f"mount -t tmpfs -o size=2m tmpfs {home}")
    facts = look(one_host)
    assert facts.writable == "yes"
    with pytest.raises(HostNotWritableError, match=r"Its disk is full: [12],\d{3} KiB are free"):
        check_writable(facts, host="box")
    one_host.mount(f"mkdir -p {home}/.rh/runtime/abc; : >{home}/.rh/runtime/abc/.complete")
    facts = look(one_host)
    assert facts.has_runtime
    check_writable(facts, host="box")


def test_a_runtime_that_is_not_complete_is_none(host: BareHost) -> None:
    folder = host.home / ".rh" / "runtime" / "abc"
    folder.mkdir(parents=True)
    assert not look(host).has_runtime
    (folder / ".complete").touch()
    assert look(host).has_runtime


@pytest.fixture
def server_process() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that looks like a server."""
    program = "import sys; sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "runhouse.server"], stdin=subprocess.PIPE
    ) as process:
        yield process


def _write_server(host: BareHost, pid: int) -> ServerInfo:
    info = ServerInfo(
        *(pid, "id", "host-id", "0.1", "abc", "/usr/bin/python3", "3.11.2"),
        *('/home/a "b"/data.sock', "/h", "box", "Linux x86_64", 1.5),
    )
    folder = host.home / ".rh" / "hosts" / os.uname().nodename
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server.json").write_text(json.dumps(asdict(info)) + "\n")
    (folder / "token").write_text("t0k=n")
    return info


def test_a_running_server_is_told_with_its_token(
    host: BareHost, server_process: subprocess.Popen[bytes]
) -> None:
    info = _write_server(host, server_process.pid)
    facts = look(host)
    assert facts.server == info
    assert facts.token == "t0k=n"
    server_process.kill()
    server_process.wait()
    assert look(host).server is None


def test_a_process_with_the_number_of_a_dead_server_is_none(one_host: BareHost) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        _write_server(one_host, other.pid)
        facts = look(one_host)
        other.kill()
    assert facts.server is None


@pytest.mark.parametrize("content", ["", "{", '{"pid": 1}', "[]", "null"])
def test_a_broken_server_file_is_none(one_host: BareHost, content: str) -> None:
    _write_server(one_host, 1)
    (one_host.home / ".rh" / "hosts" / os.uname().nodename / "server.json").write_text(content)
    assert look(one_host).server is None


def test_what_a_profile_prints_does_not_matter(host: BareHost) -> None:
    host.add("python3", sys.executable)

    def noisy(command: str, data: bytes) -> Done:
        done = host.run(command, data)
        return Done(0, f"Welcome!\nhome=/wrong\n{done.stdout}Bye\nuid=7\n", "motd\n")

    facts = probe(noisy, host="box", digest="abc")
    assert replace(facts, free_kib=0) == replace(look(host), free_kib=0)


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (Done(127, "", "Unknown command: sh\n"), "Unknown command: sh"),
        (Done(1, "This account is currently not available.\n", ""), "not available"),
        (Done(255, "--- runhouse probe begin ---\nkernel=Linux\n", ""), "kernel=Linux"),
        (Done(0, "", ""), "said: nothing"),
    ],
)
def test_a_host_without_a_posix_shell_is_refused(done: Done, said: str) -> None:
    with pytest.raises(BootstrapError, match=r"A POSIX shell \(sh\) is needed") as caught:
        probe(lambda command, data: done, host="box", digest="abc")
    assert said in str(caught.value)
    assert caught.value.host == "box"


def test_another_system_is_refused(host: BareHost) -> None:
    host.bin.joinpath("uname").unlink()
    host.add_script("uname", "echo Darwin mac.local arm64")
    with pytest.raises(BootstrapError, match=r"It runs Darwin \(arm64\), and runhouse needs Linux"):
        look(host)
