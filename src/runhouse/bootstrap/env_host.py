"""Build, list and remove envs; runs on the host, with what comes on standard input.

Usage: `python -m runhouse.bootstrap.env_host < REQUEST`: a JSON object whose `op` names a function
of `_OPERATIONS`. What installers print goes to standard error as it comes, the answer, a JSON
object, to standard output. Needs the standard library only.

Each env is a directory named by the digest of its content, and is there as soon as its mark is
written. One process builds it at a time: the kernel takes the lock back from one that was killed,
and whatever that has left is moved away before the next one begins.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runhouse.bootstrap.env_steps import NO_ROOM_BYTES, Failed, Steps, UvMissing
from runhouse.files import private_directory, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = ".runhouse-env.json"
_TRASH = ".trash-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def _only_builder(root: Path, digest: str) -> Iterator[None]:
    """Hold the lock of an env; wait for another builder."""
    with (root / f".{digest}.lock").open("a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_whole(place: Path) -> bool:
    return (place / MARK).is_file() and os.access(place / "bin" / "python", os.X_OK)


def discard(place: Path) -> None:
    """Remove a directory at once, whatever still writes into it."""
    aside = place.with_name(f"{_TRASH}{place.name}-{os.urandom(4).hex()}")
    with contextlib.suppress(FileNotFoundError):
        place.rename(aside)
    for trash in place.parent.glob(f"{_TRASH}*"):
        shutil.rmtree(trash, ignore_errors=True)


def build(request: dict[str, Any]) -> dict[str, Any]:
    """Make an env unless it is there, and tell where it is."""
    root = private_directory(Path(request["root"]).expanduser() / "envs")
    digest = request["steps"][-1]
    place = root / digest
    with _only_builder(root, digest):
        if _is_whole(place):
            os.utime(place / MARK)
            return _told(place, [])
        discard(place)
        _sweep(root)
        steps = Steps(Path(request["root"]).expanduser(), place, request)
        try:
            base = _base(root, request)
            steps.run(base[0] if base is not None else None, base[1] if base is not None else 0)
            facts = steps.facts() | {"name": request["name"], "build": request["shown"]}
            write_private(place / MARK, json.dumps(facts).encode())
        except BaseException as error:
            full = _is_full(root, error)
            needs = isinstance(error, Failed) and error.step == "packages"
            found = steps.target() if needs else {}
            target = found if found.get("python_version") else None
            discard(place)
            if isinstance(error, OSError):
                return {"failed": "disk", "said": str(error), "full": full, "exit_code": 1}
            if isinstance(error, Failed):
                return {**error.to_json(), "full": full, "target": target}
            raise
        return _told(place, steps.ran)


def _sweep(root: Path) -> None:
    """Remove what builders of other envs have left that were killed."""
    for place in root.glob("[!.]*"):
        if (place / MARK).exists() or not place.is_dir():
            continue
        with (
            (root / f".{place.name}.lock").open("a", encoding="ascii") as file,
            contextlib.suppress(BlockingIOError),
        ):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (place / MARK).exists():
                discard(place)


def _is_full(root: Path, error: BaseException) -> bool:
    full = isinstance(error, OSError) and error.errno in _FULL
    if isinstance(error, Failed):  # installers tidy up, and only their words are left of it
        full = any(os.strerror(number) in error.said for number in _FULL)
    return full or shutil.disk_usage(root).free < NO_ROOM_BYTES


def _base(root: Path, request: dict[str, Any]) -> tuple[Path, int] | None:
    """Return an env in which the first of the commands have run, and how many; None for none."""
    steps = request["steps"]
    if request.get("conda"):  # whose files hold the path of their directory
        return None
    for done in range(len(steps) - 2, -1, -1):
        if _is_whole(root / steps[done]):
            return root / steps[done], done
    return None


def _told(place: Path, ran: list[str]) -> dict[str, Any]:
    """Return the answer about an env that is there."""
    facts = json.loads((place / MARK).read_bytes())
    return {"prefix": str(place), "python_version": facts["python_version"], "ran": ran}


def target(request: dict[str, Any]) -> dict[str, Any]:
    """Tell for which Python and platform packages must be."""
    root = Path(request["root"]).expanduser()
    steps = Steps(root, root / "envs" / "nothing", request)
    return {"target": steps.target()}


def listing(request: dict[str, Any]) -> dict[str, Any]:
    """List the envs, with their sizes."""
    root = Path(request["root"]).expanduser()
    envs = [_row(mark) for mark in sorted((root / "envs").glob(f"*/{MARK}"))]
    cache = [root / "cache" / "uv", root / "wheels"]
    return {"envs": envs, "cache_bytes": sum(map(_size, cache))}


def _row(mark: Path) -> dict[str, Any]:
    facts = json.loads(mark.read_bytes())
    return {
        "digest": mark.parent.name,
        "prefix": str(mark.parent),
        "python_version": facts["python_version"],
        "packages": facts["packages"],
        "build": facts["build"],
        "made_at": facts["made_at"],
        "used_at": mark.stat().st_mtime,
        "in_use": _is_used(mark),
        "size_bytes": _size(mark.parent),
    }


def _is_used(mark: Path) -> bool:
    """Tell whether a worker runs in an env: each holds a shared lock of its mark."""
    with mark.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _size(folder: Path) -> int:
    """Return what a directory takes on the disk; files with several names count once."""
    sizes: dict[tuple[int, int], int] = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(directory, name))
                sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


def remove(request: dict[str, Any]) -> dict[str, Any]:
    """Remove envs in which no worker runs: those named, or those not used for so many seconds."""
    root = Path(request["root"]).expanduser() / "envs"
    digests, idle_s = request.get("digests"), request.get("idle_s", 0.0)
    removed, freed, used = [], 0, []
    for mark in sorted(root.glob(f"*/{MARK}")):
        digest = mark.parent.name
        old = time.time() - mark.stat().st_mtime >= idle_s
        if (digests is not None and digest not in digests) or not old:
            continue
        with _only_builder(root, digest), mark.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                used.append(digest)
                continue
            freed += _size(mark.parent)
            if not request.get("dry_run"):
                discard(mark.parent)
            removed.append(digest)
    if request.get("cache") and not request.get("dry_run"):
        for folder in (root.parent / "cache" / "uv", root.parent / "wheels"):
            freed += _size(folder)
            shutil.rmtree(folder, ignore_errors=True)
    return {"removed": removed, "freed_bytes": freed, "in_use": used}


_OPERATIONS = {"build": build, "target": target, "list": listing, "remove": remove}


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Do what is asked on standard input."""
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)  # which removes what is half done
    request = json.loads(sys.stdin.buffer.read())
    try:
        answer = _OPERATIONS[request["op"]](request)
    except UvMissing:
        libc = "glibc" if platform.libc_ver()[0] == "glibc" else "musl"
        answer = {"uv_missing": True, "machine": platform.machine(), "libc": libc}
    except Failed as failed:
        answer = failed.to_json()
    except OSError as error:
        answer = {"failed": "disk", "said": str(error), "full": error.errno in _FULL}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
