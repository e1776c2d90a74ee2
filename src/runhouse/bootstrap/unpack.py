"""Unpack the runtime on a host: sent there as a program, with the archive on standard input.

Usage: `python -c PROGRAM DIGEST < ARCHIVE`. Needs the standard library only. Exit codes: 0 done or
already there, 28 no space left, 30 not writable, 1 anything else.
"""

import contextlib
import errno
import gzip
import io
import os
import shutil
import sys
import tarfile
import tempfile
import time
import zlib

NO_SPACE, READ_ONLY = 28, 30
_CODES = {
    errno.ENOSPC: NO_SPACE,
    errno.EDQUOT: NO_SPACE,
    errno.EROFS: READ_ONLY,
    errno.EACCES: READ_ONLY,
    errno.EPERM: READ_ONLY,
}
_MARK = ".complete"
_STALE_S = 24 * 3600


def unpack(root: str, digest: str, data: bytes) -> None:
    """Unpack beside, then rename, so that a crash leaves nothing half-done under the name.

    Of several that unpack at once, the first one wins.
    """
    target = os.path.join(root, digest)
    if os.path.exists(os.path.join(target, _MARK)):
        return
    os.makedirs(root, mode=0o700, exist_ok=True)
    _remove_remains(root)
    beside = tempfile.mkdtemp(prefix=f"{digest}.", dir=root)
    try:
        _extract(data, beside)
        with open(os.path.join(beside, _MARK), "w", encoding="ascii") as mark:
            mark.write(digest)
        try:
            os.rename(beside, target)
        except OSError:
            if os.path.exists(os.path.join(target, _MARK)):
                return
            os.rename(target, f"{beside}.old")  # half deleted by somebody
            os.rename(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(f"{beside}.old", ignore_errors=True)


def _extract(data: bytes, folder: str) -> None:
    """Write the files of the archive, which holds nothing else."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data)), mode="r:") as tar:
        for member in tar:
            path = os.path.join(folder, member.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            source = tar.extractfile(member)
            if source is not None:
                with open(path, "wb") as file:
                    shutil.copyfileobj(source, file)


def _remove_remains(root: str) -> None:
    """Remove what was left by one that was killed while it unpacked."""
    for entry in os.scandir(root):
        with contextlib.suppress(OSError):
            if "." in entry.name and time.time() - entry.stat().st_mtime > _STALE_S:
                shutil.rmtree(entry.path, ignore_errors=True)


def main() -> None:
    """Unpack what comes on standard input."""
    os.umask(0o077)
    try:
        unpack(os.path.expanduser("~/.rh/runtime"), sys.argv[1], sys.stdin.buffer.read())
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_CODES.get(error.errno or 0, 1))
    except (EOFError, tarfile.TarError, zlib.error) as error:
        sys.stderr.write(f"the archive did not arrive whole: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
