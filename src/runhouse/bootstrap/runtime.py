"""The runtime: what a host gets so that server and workers can start there.

It is made of what is installed here: our own package and pure-Python dependencies, so that neither
side needs the internet. `worker/` holds what a worker imports, `server/` what only the server does.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import tarfile
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import runhouse.version
from runhouse import settings
from runhouse.errors import RunhouseError

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
WORKER_PACKAGES = ("cloudpickle",)
_LEFT_OUT = ("__pycache__", "cli")
_COMPILED = (".so", ".pyd", ".dylib")


def _own_files() -> list[tuple[str, Path]]:
    """Return our own package's files: place in the runtime, path here."""
    package = Path(runhouse.version.__file__).parent
    return [
        (f"worker/runhouse/{path.relative_to(package).as_posix()}", path)
        for path in sorted(package.rglob("*"))
        if path.is_file() and not set(path.relative_to(package).parts) & set(_LEFT_OUT)
    ]


def _find(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        msg = (
            f"The runtime for hosts cannot be made. The package {name} is missing in {sys.prefix}. "
            "Install runhouse again with all its dependencies."
        )
        raise RunhouseError(msg) from error


def _package_files(name: str, folder: str) -> list[tuple[str, Path]]:
    """Return a distribution's modules: place in the runtime, path here."""
    found = []
    for file in _find(name).files or ():
        inside = file.parts[0] != ".." and not file.parts[0].endswith(".dist-info")
        if not inside or "__pycache__" in file.parts:
            continue
        if file.suffix in _COMPILED:
            msg = (
                f"The runtime for hosts cannot be made. The package {name} has the compiled file "
                f"{file}, which may not fit a host. Install its pure-Python release."
            )
            raise RunhouseError(msg)
        found.append((f"{folder}/{file}", Path(str(file.locate()))))
    return sorted(found)


@lru_cache(maxsize=1)
def _files() -> tuple[tuple[str, Path], ...]:
    packages = [(name, "worker") for name in WORKER_PACKAGES]
    packages += [(name, "server") for name in SERVER_PACKAGES]
    listed = [pair for name, folder in packages for pair in _package_files(name, folder)]
    return (*_own_files(), ("launch.py", Path(__file__).with_name("launch.py")), *listed)


@lru_cache(maxsize=1)
def digest() -> str:
    """Return a short digest of the runtime's content, by the files' sizes and times."""
    own = hashlib.sha256()
    for name in (*WORKER_PACKAGES, *SERVER_PACKAGES):
        own.update(f"{name}={_find(name).version}\n".encode())
    for name, path in (*_own_files(), ("launch.py", Path(__file__).with_name("launch.py"))):
        status = path.stat()
        own.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return own.hexdigest()[:16]


def archive() -> bytes:
    """Return the runtime as a gzipped tar, built once for each state of the packages."""
    kept = settings.load().home / "cache" / f"runtime-{digest()}.tar.gz"
    if kept.is_file():
        return kept.read_bytes()
    data = _build()
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in kept.parent.glob("runtime-*.tar.gz"):
        old.unlink(missing_ok=True)
    beside = kept.with_name(f".{kept.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(kept)
    return data


def _build() -> bytes:
    memory = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=memory, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in _files():
            info = tarfile.TarInfo(name)
            content = path.read_bytes()
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return memory.getvalue()
