"""Look at a host in one round trip: system, home directory, Python, runtime, server."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

from runhouse.bootstrap.host import Completed
from runhouse.errors import BootstrapError, HostNotWritableError, NoUsablePythonError
from runhouse.server.info import ServerInfo

_BEGIN, _END = "--- runhouse probe begin ---", "--- runhouse probe end ---"
# The runtime, its byte code and some logs.
_NEEDED_KIB = 20 * 1024


RunCommand = Callable[[str, bytes], Completed]
"""Run a shell command with some input on the host."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Hold what a probe has found.

    Attributes:
        machine: The machine's kind, for example `"x86_64"`.
        libc: `"glibc"`, `"musl"` or `"unknown"`.
        hostname: The host's own name.
        home: The user's home directory.
        uid: The user's number.
        writable: `"yes"`, `"no"` or `"full"`: whether `~/.rh` can be written to.
        write_error: What the host's shell said when it could not.
        free_kib: Free space on the home directory's file system.
        python: Path of a usable interpreter, or empty.
        python_version: Its version.
        tried: Every interpreter that was tried, as `"/path (version)"`.
        rsync: Path of rsync, or empty.
        tar: Path of tar, or empty.
        uv: Path of uv, or empty.
        has_runtime: Whether the runtime is there already.
        server: The server that runs there, or None.
        token: Its bearer token.
    """

    machine: str
    libc: str
    hostname: str
    home: str
    uid: int
    writable: str
    write_error: str
    free_kib: int
    python: str
    python_version: str
    tried: tuple[str, ...]
    rsync: str
    tar: str
    uv: str
    has_runtime: bool
    server: ServerInfo | None
    token: str

    @property
    def system(self) -> str:
        """Return kernel, machine and C library, for example `"Linux x86_64 glibc"`."""
        return f"Linux {self.machine} {self.libc}"


def probe(run: RunCommand, *, host: str, digest: str, python: str = "") -> HostFacts:
    """Look at a host: one round trip, which changes nothing there but makes `~/.rh`.

    Args:
        run: Runs a shell command with input on the host.
        host: The host's name for messages.
        digest: Digest of the runtime that is looked for.
        python: The only interpreter to try, or empty: the first usable one.

    Raises:
        BootstrapError: The host has no POSIX shell, or is not Linux.
    """
    script = (files("runhouse.bootstrap") / "probe.sh").read_bytes()
    done = run(f"sh -s -- {shlex.quote(digest)} {shlex.quote(python)}", script)
    values, tried = _report(done.stdout)
    if not values:
        said = (done.stderr or done.stdout).strip()[-500:] or "nothing"
        msg = (
            f"The host {host} could not be examined. Its shell ended with code {done.exit_code} "
            f"and said: {said}. A POSIX shell (sh) is needed there."
        )
        raise BootstrapError(msg, host=host)
    kernel = values.get("kernel", "")
    if kernel != "Linux":
        msg = (
            f"The host {host} cannot be used. It runs {kernel or 'an unknown system'} "
            f"({values.get('machine', '')}), and runhouse needs Linux there. Choose another host."
        )
        raise BootstrapError(msg, host=host)
    return _facts(values, tried)


def _report(output: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Take the report out of what the shell printed, which a profile may have added to.

    Returns:
        The values by key, none when the report is not whole; and the interpreters tried.
    """
    _, begin, rest = output.rpartition(_BEGIN + "\n")
    report, end, _ = rest.partition(_END)
    if not begin or not end:
        return {}, ()
    pairs = [line.partition("=")[::2] for line in report.split("\n")]
    tried = dict.fromkeys(value for key, value in pairs if key == "tried")
    return dict(pairs), tuple(tried)


def _facts(values: dict[str, str], tried: tuple[str, ...]) -> HostFacts:
    return HostFacts(
        machine=values["machine"],
        libc=values["libc"],
        hostname=values["hostname"],
        home=values["home"],
        uid=int(values["uid"] or -1),
        writable=values["writable"],
        write_error=values["write_error"],
        free_kib=int(values.get("free_kib") or 0),
        python=values.get("python", ""),
        python_version=values.get("python_version", ""),
        tried=tried,
        rsync=values.get("rsync", ""),
        tar=values.get("tar", ""),
        uv=values.get("uv", ""),
        has_runtime="runtime" in values,
        server=_server(values),
        token=values.get("token", ""),
    )


def _server(values: dict[str, str]) -> ServerInfo | None:
    if "alive" not in values:
        return None
    try:
        return ServerInfo(**json.loads(values["server"]))
    except (ValueError, TypeError):
        return None  # of a version whose file has another form: starting finds out more


def check_python(facts: HostFacts, *, host: str, python: str = "") -> None:
    """Refuse a host without a usable Python.

    Args:
        facts: What the probe found.
        host: The host's name for messages.
        python: The interpreter that the user named, or empty.

    Raises:
        NoUsablePythonError: There is none; lists what was found.
    """
    if not facts.python:
        raise no_python(facts, host=host, python=python)


def no_python(
    facts: HostFacts, *, host: str, python: str = "", further: str = ""
) -> NoUsablePythonError:
    """Return the error for a host without a usable Python.

    Args:
        facts: What the probe found.
        host: The host's name for messages.
        python: The interpreter that the user named, or empty.
        further: A sentence on what was done about it.
    """
    found = ", ".join(facts.tried) or "none"
    wanted = f"{python} cannot be used" if python else "there is no Python that can be used"
    advice = (
        f"Name another one, or leave {python} out"
        if python
        else "Name one with python='/path/to/python3'"
    )
    msg = (
        f"The host {host} ({facts.system}) cannot run Python code: {wanted}. Python 3.10 or newer "
        f"is needed; found: {found}. {further}{advice}, or install one there, in any directory."
    )
    return NoUsablePythonError(msg, host=host, found=facts.tried)


def check_writable(facts: HostFacts, *, host: str) -> None:
    """Refuse a host whose home directory cannot take the runtime.

    Raises:
        HostNotWritableError: It is read-only or full.
    """
    enough = facts.has_runtime or facts.free_kib >= _NEEDED_KIB
    if facts.writable == "yes" and enough:
        return
    full = facts.writable != "no"
    raise not_writable(facts, host=host, full=full, said=facts.write_error)


def not_writable(
    facts: HostFacts, *, host: str, full: bool, said: str = ""
) -> HostNotWritableError:
    """Return the error for a host whose home directory cannot be written to.

    Args:
        facts: What the probe found.
        host: The host's name for messages.
        full: Whether space is what is missing.
        said: What the host said.
    """
    if full:
        reason = f"Its disk is full: {facts.free_kib:,} KiB are free, {_NEEDED_KIB:,} are needed"
        advice = "Make room there"
    else:
        reason = f"It cannot be written to by user {facts.uid}"
        advice = "Make it writable, or log in as a user with a home directory"
    quoted = f" ({said.strip()})" if said.strip() else ""
    msg = (
        f"The host {host} cannot hold the files of runhouse in {facts.home}/.rh. "
        f"{reason}{quoted}. {advice}."
    )
    return HostNotWritableError(msg, host=host)
