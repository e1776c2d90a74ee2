"""uv, which installs Pythons and packages: as it is here, and brought to a host."""

from __future__ import annotations

import gzip
import importlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse import settings
from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    from importlib import metadata

    from runhouse.bootstrap.probe import RunCommand
else:
    metadata = LazyModule("importlib.metadata")

_NO_SPACE = 28
# Names of platforms, as uv writes them.
_PLATFORMS = {
    ("x86_64", "glibc"): "x86_64-unknown-linux-gnu",
    ("x86_64", "musl"): "x86_64-unknown-linux-musl",
    ("aarch64", "glibc"): "aarch64-unknown-linux-gnu",
    ("aarch64", "musl"): "aarch64-unknown-linux-musl",
}
_DOWNLOAD_S = 120.0
_RECEIVE = """\
umask 077
mkdir -p "$HOME/.rh/bin" || exit 1
beside=$HOME/.rh/bin/.uv.$$
trap 'rm -f "$beside"' EXIT
gzip -dc >"$beside" || exit 28
chmod 700 "$beside" && mv -f "$beside" "$HOME/.rh/bin/uv-$1"
"""


class NotBroughtError(Exception):
    """Report that uv did not get to a host.

    Attributes:
        full: Whether the host has no room for it.
    """

    def __init__(self, reason: str, *, full: bool = False) -> None:
        """Store the reason."""
        super().__init__(reason)
        self.full = full


def uv_version() -> str:
    """Return the version of the uv that is installed here, or `"unknown"`."""
    try:
        return metadata.version("uv")
    except metadata.PackageNotFoundError:
        return "unknown"


def uv_here() -> Path | None:
    """Return uv as it is installed here, or None."""
    try:
        found: str = importlib.import_module("uv").find_uv_bin()
    except (ImportError, FileNotFoundError):
        path = shutil.which("uv")
        return Path(path) if path else None
    return Path(found)


def send_uv(run: RunCommand, machine: str, libc: str) -> None:
    """Send uv to a host, as `~/.rh/bin/uv-VERSION`; it is written beside and renamed.

    Args:
        run: Runs a shell command with input on the host.
        machine: The host's machine, for example `"x86_64"`.
        libc: Its C library: `"glibc"` or `"musl"`.

    Raises:
        NotBroughtError: There is none that runs there, or it could not be sent.
    """
    release = uv_version()
    packed = gzip.compress(_uv_for(machine, libc, release).read_bytes(), compresslevel=1, mtime=0)
    done = run(f"sh -c {shlex.quote(_RECEIVE)} sh {shlex.quote(release)}", packed)
    if done.exit_code:
        msg = f"it could not be sent: {done.stderr.strip()}"
        raise NotBroughtError(msg, full=done.exit_code == _NO_SPACE)


@cache
def _platform_here() -> tuple[str, str, str]:
    libc = "glibc" if platform.libc_ver()[0] == "glibc" else "musl"
    return platform.system(), platform.machine(), libc


def _uv_for(machine: str, libc: str, release: str) -> Path:
    """Return a uv that runs on the host: the one of this machine, or one that is downloaded."""
    here = uv_here()
    if here is None:
        msg = "it is not installed on this machine"
        raise NotBroughtError(msg)
    if _platform_here() == ("Linux", machine, libc):
        return here
    target = _PLATFORMS.get((machine, libc))
    if target is None:
        msg = f"there is none for Linux {machine} {libc}"
        raise NotBroughtError(msg)
    folder = settings.load().home / "cache" / f"uv-{release}-{target}"
    binary = folder / "bin" / "uv"
    if not binary.is_file():
        _download_uv(here, release, target, folder)
    return binary


def _download_uv(uv: Path, release: str, target: str, folder: Path) -> None:
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
            msg = f"the one for {target} could not be downloaded: {done.stderr.strip()[-500:]}"
            raise NotBroughtError(msg)
        if not folder.exists():
            beside.rename(folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"the one for {target} could not be downloaded: {error}"
        raise NotBroughtError(msg) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
