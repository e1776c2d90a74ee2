"""Packages for a host that cannot get them by itself: found and downloaded here, and sent there."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from runhouse.bootstrap.uv import uv_here
from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    import urllib.request as urls
    from collections.abc import Callable, Mapping, Sequence

    from runhouse.bootstrap.package_index import PackageIndex
else:
    urls = LazyModule("urllib.request")

_TOML_READER = "tomllib" if sys.version_info >= (3, 11) else "tomli"
_GLIBC = (17, 28, *range(31, 41))  # minor versions that uv knows as platforms
_RESOLVE_S = 300.0
_DOWNLOAD_S = 60.0
_BUILD_S = 1800.0
_CHUNK = 1024 * 1024
_TAIL = 2000


class NoWheelError(Exception):
    """Report a package that cannot be sent; the text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Say for which Python and platform packages must be.

    Attributes:
        python_version: For example `"3.12.1"`.
        machine: For example `"x86_64"`.
        libc: For example `"glibc-2.36"`.
    """

    python_version: str
    machine: str
    libc: str

    @property
    def platform(self) -> str:
        """Return the platform as uv calls it: the newest that the host's C library can take."""
        name, _, release = self.libc.partition("-")
        if name != "glibc":
            return f"{self.machine}-unknown-linux-musl"
        minor = int(release.split(".")[1]) if "." in release else _GLIBC[0]
        fits = [known for known in _GLIBC if known <= minor]
        return f"{self.machine}-manylinux_2_{fits[-1] if fits else _GLIBC[0]}"


@dataclass(frozen=True, slots=True)
class Wheels:
    """Hold wheels that are here now.

    Attributes:
        lines: The requirement of each, with its version.
        files: Their files.
    """

    lines: tuple[str, ...]
    files: tuple[Path, ...]


def find_wheels(
    lines: Sequence[str],
    pylock: str,
    target: Target,
    *,
    index: PackageIndex,
    cache: Path,
    show: Callable[[str], None],
) -> Wheels:
    """Return all wheels that requirements need on a host, downloaded here unless they are.

    Args:
        lines: Lines of a requirements file.
        pylock: The text of a `pylock.toml` instead of these, or empty.
        target: The host's Python and platform.
        index: Where packages come from.
        cache: Where downloads are kept.
        show: Tells the user what takes time.

    Raises:
        NoWheelError: A package cannot be found, or has no wheel and cannot be built here.
    """
    text = pylock or _resolve(lines, target, index)
    table = importlib.import_module(_TOML_READER).loads(text)
    if pylock:  # which is for all platforms
        names = [f"{each['name']}=={each['version']}" for each in table["packages"]]
        text = _resolve(names, target, index, "--no-deps")
        table = importlib.import_module(_TOML_READER).loads(text)
    files = tuple(_wheel(each, index, cache, show) for each in table.get("packages", ()))
    found = []
    for package, file in zip(table.get("packages", ()), files, strict=True):
        found.append(f"{package['name']}=={package.get('version') or file.name.split('-')[1]}")
    return Wheels(tuple(found), files)


def _variables(index: PackageIndex) -> dict[str, str]:
    dropped = ("VIRTUAL_ENV", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
    own = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**own, **index.variables, "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def _uv(words: Sequence[str], index: PackageIndex, timeout_s: float, given: str = "") -> str:
    """Run the uv of this machine; return what it prints."""
    uv = uv_here()
    if uv is None:
        msg = "uv is not installed on this machine"
        raise NoWheelError(msg)
    try:
        done = subprocess.run(
            [str(uv), *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=_variables(index),
            cwd=tempfile.gettempdir(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoWheelError(str(error)) from error
    if done.returncode:
        raise NoWheelError(done.stderr.strip()[-_TAIL:])
    return done.stdout


def _resolve(lines: Sequence[str], target: Target, index: PackageIndex, *options: str) -> str:
    """Return the lock file of requirements for a host."""
    words = ["pip", "compile", "--quiet", "--no-header", "--format", "pylock.toml", *options]
    words += ["--python-platform", target.platform, "--python-version", target.python_version]
    return _uv([*words, "-"], index, _RESOLVE_S, "\n".join(lines))


def _wheel(
    package: Mapping[str, Any], index: PackageIndex, cache: Path, show: Callable[[str], None]
) -> Path:
    """Return the file of a locked package."""
    wheels = package.get("wheels") or ()
    archive = package.get("archive")
    if wheels:
        return _fetch(wheels[0], index, cache, show)
    if archive is not None and archive["url"].partition("#")[0].endswith(".whl"):
        return _fetch(archive, index, cache, show)
    return _built(package, index, cache, show)


def _fetch(
    entry: Mapping[str, Any], index: PackageIndex, cache: Path, show: Callable[[str], None]
) -> Path:
    """Download a file unless it is here; its digest is checked."""
    parts = urlsplit(entry["url"])
    name = unquote(Path(parts.path).name)
    wanted = entry.get("hashes", {}).get("sha256", "")
    key = wanted or hashlib.sha256(entry["url"].encode()).hexdigest()
    place = cache / key[:20] / name
    if place.is_file():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{name}.{os.getpid()}")
    try:
        if parts.scheme == "file":
            shutil.copyfile(urls.url2pathname(parts.path), beside)
        else:
            _download(entry["url"], beside, index, show)
        with beside.open("rb") as file:
            whole = hashlib.sha256()
            while data := file.read(_CHUNK):
                whole.update(data)
        if wanted and whole.hexdigest() != wanted:
            msg = f"{name} did not arrive as it is in the index"
            raise NoWheelError(msg)
        beside.replace(place)
    except OSError as error:
        msg = f"{name} could not be downloaded: {error}"
        raise NoWheelError(msg) from error
    finally:
        beside.unlink(missing_ok=True)
    return place


def _download(url: str, place: Path, index: PackageIndex, show: Callable[[str], None]) -> None:
    parts = urlsplit(url)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    request = urls.Request(plain)  # noqa: S310 - http, https: file is handled before
    login = index.login(url)
    if login:
        request.add_unredirected_header("Authorization", login)
    with urls.urlopen(request, timeout=_DOWNLOAD_S) as answer, place.open("wb") as file:  # noqa: S310 - as above
        size = int(answer.headers.get("Content-Length") or 0)
        if size > _CHUNK:
            show(f"downloading {Path(parts.path).name} ({size / 1e6:,.0f} MB)\n")
        shutil.copyfileobj(answer, file, _CHUNK)


def _built(
    package: Mapping[str, Any], index: PackageIndex, cache: Path, show: Callable[[str], None]
) -> Path:
    """Build the wheel of a package that has none; it must be one for all platforms."""
    source = package.get("sdist") or package.get("archive")
    vcs = package.get("vcs")
    identity = str((source or {}).get("url") or (vcs or {}).get("commit-id"))
    folder = cache / hashlib.sha256(identity.encode()).hexdigest()[:20]
    known = sorted(folder.glob("*-none-any.whl"))
    if known:
        return known[0]
    show(f"building {package['name']} here, as it has no wheel\n")
    with tempfile.TemporaryDirectory(prefix="rh-build-") as scratch:
        if vcs is not None:
            tree = _checked_out(vcs, Path(scratch) / "source")
        elif source is not None:
            tree = _fetch(source, index, cache, show)
        else:
            msg = f"{package['name']} has neither a wheel nor a source that can be fetched"
            raise NoWheelError(msg)
        _uv(["build", "--wheel", "--out-dir", f"{scratch}/out", str(tree)], index, _BUILD_S)
        made = sorted(Path(scratch, "out").glob("*.whl"))
        if not made or not made[0].name.endswith("-none-any.whl"):
            msg = (
                f"{package['name']} has no wheel for the host, and what was built here runs on "
                "this machine only"
            )
            raise NoWheelError(msg)
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(made[0], folder))


def _checked_out(vcs: Mapping[str, Any], place: Path) -> Path:
    """Return a copy of a repository at the commit that was locked."""
    url, commit = str(vcs["url"]), str(vcs["commit-id"])
    if vcs.get("type") != "git" or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        msg = f"{url} is no git repository with a commit"
        raise NoWheelError(msg)
    for words in (
        ["git", "clone", "--quiet", "--", url, str(place)],
        ["git", "-C", str(place), "checkout", "--quiet", commit],
    ):
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_RESOLVE_S, check=False
        )
        if done.returncode:
            raise NoWheelError(done.stderr.strip()[-_TAIL:])
    return place / str(vcs.get("subdirectory", ""))
