"""Look at everything that a call needs, one thing after the other, and say what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runhouse import settings
from runhouse.bootstrap import runtime
from runhouse.bootstrap.probe import HostFacts, check_python, check_writable, probe
from runhouse.clusters.records import store
from runhouse.errors import ClusterNotUpError, RunhouseError
from runhouse.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.clusters.cluster import Cluster
    from runhouse.settings import Settings

State = Literal["ok", "warning", "failed"]

_TOOL_S = 10.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Check:
    """Hold what was found about one thing.

    Attributes:
        name: What was looked at, in a word or two.
        state: `"ok"`; `"warning"`, calls work without it; or `"failed"`, they do not.
        found: What it is like.
        advice: What to do about it; empty when it is well.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def check_client() -> Iterator[Check]:
    """Look at this machine: settings, records, and the programs that connections are made with."""
    yield Check("runhouse", "ok", f"{__version__}, Python {platform.python_version()}")
    try:
        chosen = settings.load()
    except RunhouseError as error:
        yield Check("settings", "failed", str(error))
        return
    yield _check_home(chosen)
    yield _check_records(chosen)
    yield _check_tool("ssh", "-V", "failed", "Hosts are reached by it: install an OpenSSH client.")
    yield _check_tool("rsync", "--version", "warning", "Copies are faster with it: install rsync.")
    yield _check_keys()


def _check_home(chosen: Settings) -> Check:
    home = chosen.home.expanduser()
    if not home.exists():
        return Check("directory", "ok", f"{home}, which is made when it is needed")
    if not home.is_dir() or not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Check(
            "directory",
            "failed",
            f"{home} is no directory that can be written to",
            "Correct its owner or permissions, or name another one by RH_HOME.",
        )
    if home.stat().st_mode & _OTHERS:
        found = f"{home} is open to other users"
        return Check("directory", "warning", found, f"chmod go= {home}")
    return Check("directory", "ok", str(home))


def _check_records(chosen: Settings) -> Check:
    place = chosen.registry or str(chosen.home.expanduser() / "clusters")
    try:
        names = store().names()
    except (RunhouseError, ImportError, OSError) as error:
        return Check("saved clusters", "failed", str(error))
    return Check("saved clusters", "ok", f"{len(names)} in {place}")


def _check_tool(name: str, option: str, without: State, advice: str) -> Check:
    """Look at a program, and at whether it runs."""
    if shutil.which(name) is None:
        return Check(name, without, "not found in PATH", advice)
    code, said = _ask(name, option)
    lines = said.splitlines() or [""]
    if code:
        return Check(name, without, f"does not run: {lines[-1]}", advice)
    return Check(name, "ok", lines[0])


def _check_keys() -> Check:
    """Look for private keys that OpenSSH tries by itself; a cluster may name others."""
    held = 0
    if os.environ.get("SSH_AUTH_SOCK"):
        code, said = _ask("ssh-add", "-l")
        held = 0 if code else len(said.splitlines())
    files = [file for file in Path("~/.ssh").expanduser().glob("id_*") if file.suffix != ".pub"]
    for file in files:
        if file.stat().st_mode & _OTHERS:
            found = f"{file} is open to other users, and ssh will not use it"
            return Check("keys", "warning", found, f"chmod go= {file}")
    if not held and not files:
        advice = "Make one with ssh-keygen, unless a cluster names its own or has a password."
        return Check("keys", "warning", "none in ~/.ssh, and none in an agent", advice)
    return Check("keys", "ok", f"{len(files)} in ~/.ssh, {held} in the agent")


def _ask(*command: str) -> tuple[int, str]:
    """Run a program; return its exit code, and what it said."""
    try:
        done = subprocess.run(  # noqa: S603 - with no input of anybody's
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TOOL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout.strip() or done.stderr.strip()


def check_cluster(cluster: Cluster) -> Iterator[Check]:
    """Look at a cluster's head: login, Python, disk, server; nothing is started or launched.

    Args:
        cluster: The cluster.
    """
    host = cluster.host_of()
    python = str(cluster.config().get("python", ""))
    try:
        began = time.monotonic()
        done = host.run("true")
        took_ms = 1000 * (time.monotonic() - began)
        if done.exit_code:
            found = f"its shell ends with code {done.exit_code} on `true`: {done.stderr.strip()}"
            yield Check("login", "failed", found, "Look at the start-up files of the shell there.")
            return
        yield Check("login", "ok", f"{cluster.address}, first command after {took_ms:.0f} ms")
        facts = probe(
            lambda command, data: host.run(command, input=data),
            host=cluster.name,
            digest=runtime.digest(),
            python=python,
        )
        yield Check("system", "ok", f"{facts.system}, {facts.hostname}")
        yield _check_python(facts, cluster, python)
        yield _check_disk(facts, cluster)
        yield _check_rsync(facts)
        yield _check_server(cluster)
    except RunhouseError as error:
        name = "machines" if isinstance(error, ClusterNotUpError) else "host"
        yield Check(name, "failed", str(error))


def _check_python(facts: HostFacts, cluster: Cluster, python: str) -> Check:
    try:
        check_python(facts, host=cluster.name, python=python)
    except RunhouseError as error:
        if python:
            return Check("Python", "failed", str(error))
        advice = "The first use brings one, by uv, if the host reaches the internet."
        return Check("Python", "warning", str(error), advice)
    return Check("Python", "ok", f"{facts.python} ({facts.python_version})")


def _check_disk(facts: HostFacts, cluster: Cluster) -> Check:
    try:
        check_writable(facts, host=cluster.name)
    except RunhouseError as error:
        return Check("disk", "failed", str(error))
    return Check("disk", "ok", f"{facts.home}/.rh, {facts.free_kib / 1e6:,.1f} GB free")


def _check_rsync(facts: HostFacts) -> Check:
    if facts.rsync:
        return Check("rsync there", "ok", facts.rsync)
    return Check("rsync there", "warning", "not found", "Copies are faster with it: install rsync.")


def _check_server(cluster: Cluster) -> Check:
    try:
        status = cluster.check_server(restart_server=False).status()
    except ClusterNotUpError:
        return Check("server", "ok", "not running; the first use starts it")
    found = (
        f"{status.version}, pid {status.pid}, {status.running} running, {status.objects} objects"
    )
    if status.version != __version__:
        advice = f"Restart it when nothing runs there: cluster.restart_server(), for {__version__}."
        return Check("server", "warning", found, advice)
    return Check("server", "ok", found)
