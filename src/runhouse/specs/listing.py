"""Look at files and change them: the same on this machine and, as the text of `python -c`, there.

It needs nothing but the standard library. Names travel as JSON, where bytes that are not UTF-8 are
lone surrogates.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import sys
from typing import Any


def listed(path: str) -> list[dict[str, Any]]:
    """List a folder: name, kind, size and time of each entry, by name."""
    rows = []
    with os.scandir(path) as entries:
        for entry in entries:
            facts = entry.stat(follow_symlinks=False)
            is_folder = entry.is_dir()
            rows.append(
                {
                    "name": entry.name,
                    "kind": "folder" if is_folder else "file",
                    "size_bytes": 0 if is_folder else facts.st_size,
                    "modified_at": facts.st_mtime,
                }
            )
    return sorted(rows, key=lambda row: str(row["name"]))


def kind(path: str) -> str:
    """Tell what is at a path: `folder`, `file`, or nothing (empty)."""
    try:
        return "folder" if stat.S_ISDIR(os.stat(path).st_mode) else "file"
    except (FileNotFoundError, NotADirectoryError):
        return ""


def remove(path: str, *, recursive: bool) -> None:
    """Remove a file or folder; one that is not there is no error."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path) if recursive else os.rmdir(path)
    elif os.path.lexists(path):
        os.unlink(path)


def answer(request: dict[str, Any]) -> Any:
    """Do what a request asks for."""
    path = os.path.join(os.path.expanduser("~"), os.path.expanduser(request["path"]))
    action = request["action"]
    if action == "list":
        return listed(path)
    if action == "kind":
        return kind(path)
    if action == "make":
        return os.makedirs(path, exist_ok=True)
    return remove(path, recursive=request["recursive"])


def main() -> None:
    """Answer the request on standard input."""
    try:
        result = {"answer": answer(json.loads(sys.stdin.buffer.read()))}
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "EIO")
        result = {"code": code, "said": error.strerror, "path": error.filename}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
