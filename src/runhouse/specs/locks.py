"""What a `uv.lock` holds, as uv itself exports it."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_EXPORT_S = 60.0
_OPTIONS = ("--frozen", "--no-dev", "--no-emit-project", "--no-header", "--quiet", "--offline")


def exported(project: Path) -> str:
    """Return the `uv.lock` of a project as requirements with versions and hashes.

    Raises:
        ValueError: uv is not installed here, or cannot read it.
    """
    try:
        uv = str(importlib.import_module("uv").find_uv_bin())
    except (ImportError, FileNotFoundError):
        uv = shutil.which("uv") or "uv"
    words = [uv, "export", *_OPTIONS, "--no-annotate", "--format", "requirements.txt"]
    try:
        done = subprocess.run(
            [*words, "--project", str(project)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_EXPORT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{project}/uv.lock cannot be read. uv is needed for that: {error}. Install uv."
        raise ValueError(msg) from error
    if done.returncode:
        msg = f"{project}/uv.lock cannot be read. uv said: {done.stderr.strip()}. Correct it."
        raise ValueError(msg)
    return done.stdout
