"""Variables of secrets: set in this process as long as they are kept on the host."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_Seen = tuple[tuple[int, int, int] | None, ...]


class SecretVariables:
    """Follow two files: the variables of all envs, and those of one env, which win.

    They are looked at before each call: two system calls when nothing has changed. What was sent
    meanwhile is in effect with the next call, and so is what was taken away.
    """

    def __init__(self, folder: Path, env: str) -> None:
        """Store where the files are, which need not be there."""
        self._files = (folder / "all.json", folder / f"env-{env}.json")
        self._seen: _Seen = (None, None)
        self._replaced: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Set what is new, and restore what was there before what is gone."""
        seen = self._look()
        if seen == self._seen:
            return
        with self._lock:
            if seen != self._seen:
                self._set(self._read())
                self._seen = seen

    def _look(self) -> _Seen:
        return tuple(_state(file) for file in self._files)

    def _read(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for file in self._files:
            try:
                secrets = json.loads(file.read_bytes())
            except FileNotFoundError:
                continue
            except ValueError:  # nothing of it may be said
                log.warning("the secrets in %s cannot be read", file)
                continue
            for values in secrets.values():
                found |= values
        return found

    def _set(self, wanted: dict[str, str]) -> None:
        for name in self._replaced.keys() - wanted.keys():
            before = self._replaced.pop(name)
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before
        if wanted:
            _write_no_core()
        for name, value in wanted.items():
            self._replaced.setdefault(name, os.environ.get(name))
            os.environ[name] = value


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        facts = os.stat(file)
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _write_no_core() -> None:
    """Keep this process from leaving its memory on disk when it crashes."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
