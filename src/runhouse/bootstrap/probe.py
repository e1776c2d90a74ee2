"""Look at a host in one round trip: system, home directory, Python, runtime, server."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Protocol

from runhouse.errors import BootstrapError, HostNotWritableError, NoUsablePythonError
from runhouse.server.daemon import ServerInfo

_BEGIN, _END = "--- runhouse probe begin ---", "--- runhouse probe end ---"
# The runtime, its byte code and some logs.
_NEEDED_KIB = 20 * 1024


class Done(Protocol):
    """Hold how a command ended."""

    @property
    def exit_code(self) -> int:
        """Return the exit code."""

    @property
    def stdout(self) -> str:
        """Return the standard output."""

    @property
    def stderr(self) -> str:
        """Return the standard error."""


RunCommand = Callable[[str, bytes], Done]
"""Run a shell command with some input on the host."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Hold what a probe has found.

    Attributes:
        system: Kernel, machine and C library, for example `"Linux x86_64 glibc"`.
        hostname: The host's own name.
        home: The user's home directory.
        writable: `"yes"`, `"no"` or `"full"`: whether `~/.rh` can be written to.
        free_kib: Free space on the home directory's file system.
        python: Path of a usable interpreter, or empty.
        python_version: Its version.
        tried: Every interpreter that was tried, as `"/path (version)"`.
        rsync: Path of rsync, or empty.
        has_runtime: Whether the runtime is there already.
        server: The server that runs there, or None.
        token: Its bearer token.
    """

    system: str
    hostname: str
    home: str
    writable: str
    free_kib: int
    python: str
    python_version: str
    tried: tuple[str, ...]
    rsync: str
    has_runtime: bool
    server: ServerInfo | None
    token: str


def probe(run: RunCommand, *, host: str, digest: str, python: str = "") -> HostFacts:
    """Look at a host.

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
    _, begin, rest = done.stdout.partition(_BEGIN + "\n")
    report, end, _ = rest.partition(_END)
    if not begin or not end:
        said = (done.stderr or done.stdout).strip()[-500:] or "nothing"
        msg = (
            f"The host {host} could not be examined. Its shell ended with code {done.exit_code} and "
            f"said: {said}. A POSIX shell (sh) is needed there."
        )
        raise BootstrapError(msg, host=host)
    return _read(host, report)


def _read(host: str, report: str) -> HostFacts:
    values: dict[str, str] = {}
    tried: list[str] = []
    for line in report.splitlines():
        key, _, value = line.partition("=")
        if key == "tried":
            tried.append(value)
        else:
            values[key] = value
    kernel = values.get("kernel", "")
    if kernel != "Linux":
        msg = (
            f"The host {host} cannot be used. It runs {kernel or 'an unknown system'} "
            f"({values.get('machine', '')}), and runhouse needs Linux there. Choose another host."
        )
        raise BootstrapError(msg, host=host)
    return HostFacts(
        system=f"{kernel} {values['machine']} {values['libc']}",
        hostname=values["hostname"],
        home=values["home"],
        writable=values["writable"],
        free_kib=int(values.get("free_kib") or 0),
        python=values.get("python", ""),
        python_version=values.get("python_version", ""),
        tried=tuple(dict.fromkeys(tried)),
        rsync=values.get("rsync", ""),
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

    Raises:
        NoUsablePythonError: There is none; lists what was found.
    """
    if facts.python:
        return
    found = ", ".join(facts.tried) or "none at all"
    wanted = f"{python} is not one" if python else "none was found"
    msg = (
        f"The host {host} ({facts.system}) has no Python that runhouse can use: {wanted}. It needs "
        f"3.10 or newer and found {found}. Install one there (any directory will do), or name it "
        "with python='/path/to/python3'."
    )
    raise NoUsablePythonError(msg, host=host, found=facts.tried)


def check_writable(facts: HostFacts, *, host: str) -> None:
    """Refuse a host whose home directory cannot take the runtime.

    Raises:
        HostNotWritableError: It is read-only or full.
    """
    enough = facts.has_runtime or facts.free_kib >= _NEEDED_KIB
    if facts.writable == "yes" and enough:
        return
    reason = "It is read-only" if facts.writable == "no" else "Its disk is full"
    msg = (
        f"The host {host} cannot hold the files of runhouse: {facts.home}/.rh was not written. "
        f"{reason} ({facts.free_kib:,} KiB free, {_NEEDED_KIB:,} needed). Make room there, or make it "
        "writable."
    )
    raise HostNotWritableError(msg, host=host)
