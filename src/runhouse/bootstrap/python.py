"""Bring a Python to a host that has none which can be used, by uv, where the host has internet."""

from __future__ import annotations

import gzip
import importlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse import settings
from runhouse.bootstrap.probe import no_python, not_writable, probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runhouse.bootstrap.probe import HostFacts, RunCommand
    from runhouse.errors import NoUsablePythonError

PYTHON = "3.12"
_MISSING, _NO_SPACE = 69, 28
# What a user has set for uv here and what decides where Python comes from, is meant for hosts too.
_PASSED_ON = (
    "UV_PYTHON_INSTALL_MIRROR",
    "UV_PYTHON_DOWNLOADS_JSON_URL",
)
# Names of platforms, as uv writes them.
_PLATFORMS = {
    ("x86_64", "glibc"): "x86_64-unknown-linux-gnu",
    ("x86_64", "musl"): "x86_64-unknown-linux-musl",
    ("aarch64", "glibc"): "aarch64-unknown-linux-gnu",
    ("aarch64", "musl"): "aarch64-unknown-linux-musl",
}
_DOWNLOAD_S = 120.0
_TAIL_LINES = 8
# The variables come by standard input: an address may hold a password, and arguments are public.
# What we want is told by variables too: a uv of the host's own may be too old for the options.
_INSTALL = """\
umask 077
uv=$1
[ -n "$uv" ] && "$uv" --version >/dev/null 2>&1 || uv=$HOME/.rh/bin/uv-$2
[ -x "$uv" ] || exit 69
export UV_PYTHON_INSTALL_DIR="$HOME/.rh/python" UV_CACHE_DIR="$HOME/.rh/cache/uv"
export UV_PYTHON_INSTALL_BIN=0 UV_NO_CONFIG=1 UV_NO_PROGRESS=1 NO_COLOR=1
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-20}"
cd "$HOME" && exec "$uv" python install "$3" </dev/null
"""
_RECEIVE = """\
umask 077
mkdir -p "$HOME/.rh/bin" || exit 1
beside=$HOME/.rh/bin/.uv.$$
trap 'rm -f "$beside"' EXIT
gzip -dc >"$beside" || exit 28
chmod 700 "$beside" && mv -f "$beside" "$HOME/.rh/bin/uv-$1"
"""


def bring_python(
    run: RunCommand,
    facts: HostFacts,
    *,
    host: str,
    digest: str,
    environ: Mapping[str, str] = os.environ,
) -> HostFacts:
    """Install a Python in `~/.rh/python` of a host, with uv: its own, or ours, sent there.

    Blocks while the host downloads some 30 MB; safe to repeat.

    Args:
        run: Runs a shell command with input on the host.
        facts: What the probe found; `facts.python` is empty.
        host: The host's name for messages.
        digest: Digest of the runtime, as for `probe`.
        environ: The client's environment, of which uv's mirrors are passed on.

    Returns:
        What a second probe found, with the new Python.

    Raises:
        NoUsablePythonError: It could not be installed; has uv's last lines.
        HostNotWritableError: uv found no room there.
    """
    release = _uv_version()
    command = shlex.join(["sh", "-s", "--", facts.uv, release, PYTHON])
    exports = [
        f"export {name}={shlex.quote(environ[name])}\n" for name in _PASSED_ON if environ.get(name)
    ]
    script = "".join([*exports, _INSTALL]).encode()
    done = run(command, script)
    if done.exit_code == _MISSING:
        _send_uv(run, _uv_for(facts, host, release), facts, host, release)
        done = run(command, script)
    if done.exit_code:
        said = "\n".join(done.stderr.strip().splitlines()[-_TAIL_LINES:])
        reason = f"uv could not install Python {PYTHON} there either:\n{said}\n"
        raise no_python(facts, host=host, further=reason)
    found = probe(run, host=host, digest=digest)
    if not found.python:
        reason = f"The Python {PYTHON} that uv installed there does not run. "
        raise no_python(found, host=host, further=reason)
    return replace(found, tried=(*facts.tried, *found.tried))


def _send_uv(run: RunCommand, uv: Path, facts: HostFacts, host: str, release: str) -> None:
    """Send uv to the host; it is written beside and renamed."""
    packed = gzip.compress(uv.read_bytes(), compresslevel=1, mtime=0)
    done = run(f"sh -c {shlex.quote(_RECEIVE)} sh {shlex.quote(release)}", packed)
    if done.exit_code == _NO_SPACE:
        raise not_writable(facts, host=host, full=True, said=done.stderr)
    if done.exit_code:
        raise _not_brought(facts, host, f"it could not be sent: {done.stderr.strip()}")


def _not_brought(facts: HostFacts, host: str, reason: str) -> NoUsablePythonError:
    return no_python(
        facts, host=host, further=f"uv, which installs one, did not get there: {reason}. "
    )


def _uv_version() -> str:
    try:
        return version("uv")
    except PackageNotFoundError:
        return "unknown"


def _uv_here() -> Path | None:
    """Return uv as it is installed here, or None."""
    try:
        found: str = importlib.import_module("uv").find_uv_bin()
    except (ImportError, FileNotFoundError):
        path = shutil.which("uv")
        return Path(path) if path else None
    return Path(found)


@cache
def _platform_here() -> tuple[str, str, str]:
    libc = "glibc" if platform.libc_ver()[0] == "glibc" else "musl"
    return platform.system(), platform.machine(), libc


def _uv_for(facts: HostFacts, host: str, release: str) -> Path:
    """Return a uv that runs on the host: the one of this machine, or one that is downloaded.

    Raises:
        NoUsablePythonError: There is none.
    """
    here = _uv_here()
    if here is None:
        raise _not_brought(facts, host, "it is not installed on this machine")
    if _platform_here() == ("Linux", facts.machine, facts.libc):
        return here
    target = _PLATFORMS.get((facts.machine, facts.libc))
    if target is None:
        raise _not_brought(facts, host, f"there is none for {facts.system}")
    folder = settings.load().home / "cache" / f"uv-{release}-{target}"
    binary = folder / "bin" / "uv"
    if not binary.is_file():
        _download_uv(here, release, target, folder, facts, host)
    return binary


def _download_uv(
    uv: Path, release: str, target: str, folder: Path, facts: HostFacts, host: str
) -> None:
    """Download the uv of another platform, with the uv of this one."""
    options = ["--no-deps", "--only-binary", "uv", "--python-platform", target]
    beside = folder.with_name(f"{folder.name}.{os.getpid()}")
    where = ["--python", sys.executable, "--target", str(beside)]
    try:
        done = subprocess.run(
            [uv, "pip", "install", "--quiet", *options, *where, f"uv=={release}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_S,
            check=False,
        )
        if done.returncode or not (beside / "bin" / "uv").is_file():
            reason = f"the one for {target} could not be downloaded: {done.stderr.strip()[-500:]}"
            raise _not_brought(facts, host, reason)
        if not folder.exists():
            beside.rename(folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"the one for {target} could not be downloaded: {error}"
        raise _not_brought(facts, host, reason) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
