"""The runtime: what a host gets so that server and workers can start there.

It is made of what is installed here: our own package and pure-Python dependencies, so that neither
side needs the internet. `worker/` holds what a worker imports, `server/` what only the server does.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import os
import sys
import sysconfig
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse import settings
from runhouse.errors import RunhouseError
from runhouse.files import write_private
from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    from importlib import metadata
else:
    metadata = LazyModule("importlib.metadata")

SERVER_PACKAGES = (
    "anyio",
    "click",
    "exceptiongroup",
    "h11",
    "idna",
    "starlette",
    "typing_extensions",
    "uvicorn",
)
# pathspec is for code in a worker that sends code itself.
WORKER_PACKAGES = ("cloudpickle", "pathspec")
_OWN = Path(__file__).parents[1]
_LAUNCH = Path(__file__).with_name("launch.py")
# Parts of our package and of others that no host uses.
_LEFT_OUT = frozenset(
    {
        *("__pycache__", "cli", "py.typed", "anyio/pytest_plugin.py", "anyio/_backends/_trio.py"),
        *("click/_winconsole.py", "click/testing.py", "idna/__main__.py", "idna/cli.py"),
        *("starlette/templating.py", "starlette/testclient.py"),
        *(
            f"uvicorn/protocols/websockets/{name}"
            for name in ("websockets_impl.py", "wsproto_impl.py")
        ),
        "uvicorn/protocols/websockets/websockets_sansio_impl.py",
    }
)
_COMPILED = (".so", ".pyd", ".dylib")
_MARK = ".complete"
_KEPT = 3

Files = dict[str, Path]
"""Place in the runtime -> path here."""


def _is_wanted(path: str) -> bool:
    """Tell whether a host needs a file, given by its path in a folder of packages."""
    parts = path.split("/")
    hidden = any(part.startswith(".") for part in parts)
    return not hidden and path not in _LEFT_OUT and _LEFT_OUT.isdisjoint(parts)


def _tree(folder: Path, below: Path) -> Files:
    """Return the files of a folder, named from another one above it."""
    found: Files = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if each not in _LEFT_OUT]
        base = Path(place)
        prefix = "" if base == below else base.relative_to(below).as_posix() + "/"
        found |= {prefix + name: base / name for name in names if _is_wanted(prefix + name)}
    return found


def _package(name: str) -> tuple[dict[str, str], Path]:
    """Return the recorded hash of each module file of a distribution, and their folder.

    Raises:
        RunhouseError: It is not installed, holds compiled files, or does not tell its files.
    """
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        reason = f"The package {name} is missing in {sys.prefix}"
        raise _unfit(reason) from error
    hashes = {
        path: checksum
        for path, checksum, _ in csv.reader((found.read_text("RECORD") or "").splitlines())
        if path.split("/")[0] in (name, f"{name}.py") and _is_wanted(path)
    }
    compiled = [path for path in hashes if path.endswith(_COMPILED)]
    if compiled:
        reason = f"The package {name} has the compiled file {compiled[0]}, which fits few hosts"
        raise _unfit(reason)
    if not hashes:
        reason = f"The package {name} is not installed as files of its own in {sys.prefix}"
        raise _unfit(reason)
    return hashes, Path(str(found.locate_file("")))


def _unfit(reason: str) -> RunhouseError:
    return RunhouseError(
        f"The runtime for hosts cannot be made. {reason}. Install runhouse again with its "
        "dependencies, for example in a new virtual environment."
    )


def _unpacked() -> Path | None:
    """Return the unpacked runtime that this code runs from: in a worker on a host; or None."""
    root = _OWN.parents[1]
    return root if (root / _MARK).is_file() else None


@lru_cache(maxsize=1)
def contents() -> Files:
    """Return what the runtime is made of: place in it -> path here.

    Raises:
        RunhouseError: A package is missing, or cannot be sent to hosts.
    """
    root = _unpacked()
    if root is not None:
        files = _tree(root, root)
        return {name: files[name] for name in sorted(files)}
    files = {f"worker/{name}": path for name, path in _tree(_OWN, _OWN.parent).items()}
    files["launch.py"] = _LAUNCH
    for folder, packages in (("worker", WORKER_PACKAGES), ("server", SERVER_PACKAGES)):
        for package in packages:
            hashes, site = _package(package)
            files |= {f"{folder}/{name}": site / name for name in hashes}
    return {name: files[name] for name in sorted(files)}


@lru_cache(maxsize=1)
def digest() -> str:
    """Return a short digest of the runtime's content, which is alike wherever the content is.

    Our own files are read; for the others, the hashes that their installer recorded are enough.
    It is kept, for as long as no file of ours has another time and nothing was installed.

    Raises:
        RunhouseError: A package is missing, or cannot be sent to hosts.
    """
    root = _unpacked()
    if root is not None:
        return root.name
    own = _tree(_OWN, _OWN.parent)
    folder = settings.load().home / "cache"
    kept = folder / f"digest-{_state(own)}"
    with contextlib.suppress(OSError):
        return kept.read_text("ascii")
    found = _digest_of(own)
    with contextlib.suppress(OSError):  # as below
        write_private(kept, found.encode("ascii"))
        _leave_newest(folder, "digest-*")
    return found


def _state(own: Files) -> str:
    """Return what changes when a file of ours is written, or when a package comes or goes."""
    packages = {place for place in sys.path if place.endswith("-packages")}
    places = map(Path, {*packages, sysconfig.get_path("purelib")})
    facts = [(path, path.stat()) for path in (*own.values(), *filter(Path.is_dir, places))]
    told = sorted((str(path), each.st_size, each.st_mtime_ns) for path, each in facts)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _leave_newest(folder: Path, pattern: str) -> None:
    """Delete all but a few of the files that were kept."""
    kept = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    for old in kept[:-_KEPT]:
        old.unlink(missing_ok=True)


def _digest_of(own: Files) -> str:
    whole = hashlib.sha256()
    for name in sorted(own):
        content = own[name].read_bytes()
        whole.update(f"{name} {len(content)}\n".encode())
        whole.update(content)
    for package in (*WORKER_PACKAGES, *SERVER_PACKAGES):
        hashes, _ = _package(package)
        whole.update("".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode())
    return whole.hexdigest()[:16]


def archive() -> bytes:
    """Return the runtime as a gzipped tar, built once for each digest.

    Raises:
        RunhouseError: A package is missing, or cannot be sent to hosts.
    """
    folder = settings.load().home / "cache"
    kept = folder / f"runtime-{digest()}.tar.gz"
    with contextlib.suppress(OSError):
        return kept.read_bytes()
    data = _build()
    with contextlib.suppress(OSError):  # a home that cannot be written to costs time only
        write_private(kept, data)
        _leave_newest(folder, "runtime-*.tar.gz")
    return data


def _build() -> bytes:
    """Pack the files: the same content gives the same bytes."""
    memory = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=memory, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in contents().items():
            content = path.read_bytes()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return memory.getvalue()
