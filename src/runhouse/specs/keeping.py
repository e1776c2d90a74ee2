"""Put secrets into their files on a host, beside what the host has there, and take them out again.

The host gets this file as the text of `python -c`, with a request as JSON on standard input; the
client uses the same code to read its own files. It needs nothing but the standard library, and
says nothing about values, only names and places.

A file is made of entries, which its form tells apart: profiles, machines, registries. What is sent
goes beside the host's own entries. An entry of the host's own is replaced only on demand, and comes
back when the secret is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import resource
import stat
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# The key of an entry -> its text, in the order of the file.
Entries = dict[str, str]
_AUTHS = "auths"  # of Docker's configuration: registry -> credentials


def _split_blocks(text: str, header: re.Pattern[str]) -> Entries:
    """Split at the lines that a pattern matches; what is before the first one is entry ""."""
    entries: Entries = {}
    key = ""
    for line in text.splitlines(keepends=True):
        found = header.match(line)
        if found is not None:
            key = found[1].strip()
            line = line if key not in entries else line[found.end() :]
        entries[key] = entries.get(key, "") + line
    return entries


def _join_blocks(entries: Entries, before: str) -> str:
    del before
    return "".join(
        text if text.endswith("\n") else text + "\n" for text in entries.values() if text
    )


def _split_netrc(text: str) -> Entries:
    """Split a netrc file by machine."""
    entries: Entries = {}
    places = [*re.finditer(r"(?m)^[ \t]*(?:machine[ \t]+(\S+)|default\b)", text)]
    if places and places[0].start() > 0:
        entries[""] = text[: places[0].start()]
    ends = [*(found.start() for found in places[1:]), len(text)]
    for found, end in zip(places, ends, strict=False):
        key = found[1] or "default"
        entries[key] = entries.get(key, "") + text[found.start() : end]
    return entries if places else {"": text} if text else {}


def _split_auths(text: str) -> Entries:
    """Return Docker's registries that have credentials in the file itself."""
    auths = json.loads(text or "{}").get(_AUTHS, {})
    return {key: json.dumps(value, sort_keys=True) for key, value in auths.items() if value}


def _join_auths(entries: Entries, before: str) -> str:
    whole = json.loads(before or "{}")
    empty = {key: value for key, value in whole.get(_AUTHS, {}).items() if not value}
    whole[_AUTHS] = empty | {key: json.loads(text) for key, text in entries.items()}
    if not whole[_AUTHS]:
        del whole[_AUTHS]
    return json.dumps(whole, indent=2) + "\n" if whole else ""


def _split_whole(text: str) -> Entries:
    return {"": text} if text else {}


def _join_whole(entries: Entries, before: str) -> str:
    del before
    return entries.get("", "")


_SECTION = re.compile(r"[ \t]*\[([^\]]+)\][ \t]*(?:[#;].*)?\n?")
_TOP_LEVEL = re.compile(r"([^\s#:\-][^:\n]*):")
_FORMS: dict[str, tuple[Callable[[str], Entries], Callable[[Entries, str], str]]] = {
    "whole": (_split_whole, _join_whole),
    "sections": (lambda text: _split_blocks(text, _SECTION), _join_blocks),
    "mapping": (lambda text: _split_blocks(text, _TOP_LEVEL), _join_blocks),
    "netrc": (_split_netrc, _join_blocks),
    "auths": (_split_auths, _join_auths),
}


def split(form: str, text: str) -> Entries:
    """Return the entries of a file.

    Args:
        form: `whole`, `sections` (INI and TOML tables), `mapping` (top level of YAML), `netrc`,
            or `auths` (Docker's configuration).
        text: What the file holds.

    Raises:
        ValueError: It is not of this form.
    """
    return _FORMS[form][0](text)


def join(form: str, entries: Entries, before: str) -> str:
    """Return what a file is to hold so that it has these entries; `before` is what it held."""
    return _FORMS[form][1](entries, before)


def write_no_core() -> None:
    """Keep this process from leaving its memory on disk when it crashes."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write(path: str, text: str) -> None:
    """Write a file that only this user can read, beside its place; nothing to write: remove it."""
    place = os.path.realpath(path)
    if not text:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        return
    folder = os.path.dirname(place)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    beside = os.path.join(folder, f".{os.path.basename(place)}.{os.getpid()}.rh")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(
            descriptor, "w", encoding="utf-8", errors="surrogateescape", newline=""
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _same(one: str | None, other: str | None) -> bool:
    """Tell whether two entries are the same but for space around them."""
    return one is not None and other is not None and one.strip() == other.strip()


class Keeping:
    """Hold what was put on this host: which entries of which files, and which variables.

    The note is `sent.json` of the directory: secret -> path -> entry -> the digest of what was put
    there, and what was there before. Variables are beside it, in one file for all envs (`all.json`)
    and one for each env that has its own (`env-NAME.json`): secret -> variable -> value.
    """

    def __init__(self, folder: str) -> None:
        """Read the note of a directory, which need not be there."""
        self._folder = folder
        self._note = os.path.join(self._folder, "sent.json")
        self._sent: dict[str, Any] = json.loads(_read(self._note) or "{}")

    def _save(self) -> None:
        self._sent = {name: paths for name, paths in self._sent.items() if paths}
        _write(self._note, json.dumps(self._sent) if self._sent else "")

    def send(self, request: dict[str, Any]) -> dict[str, Any]:
        """Put a secret where it belongs, all of it or, when something is in the way, nothing.

        Returns:
            `changed`: places that were written; `same`: those that were so already; `conflicts`:
            the host's own entries that were in the way, as `[path, entry]`.
        """
        name, overwrite = request["name"], request["overwrite"]
        plans = [self._plan(name, file) for file in request["files"]]
        conflicts = [each for _, _, found in plans for each in found]
        if conflicts and not overwrite:
            return {"changed": [], "same": [], "conflicts": conflicts}
        changed, same = [], []
        for file, (path, entries, _) in zip(request["files"], plans, strict=True):
            before = _read(path)
            own = split(file["form"], before)
            if all(_same(own.get(key), text) for key, text in entries.items()):
                same.append(file["path"])
                self._tighten(path, name)
                continue
            self._note_entries(name, file, own)
            self._save()  # first: what was there before is lost by no crash
            _write(path, join(file["form"], own | entries, before))
            changed.append(file["path"])
        if request["variables"]:
            place, values = self._variables(request["scope"])
            known = values.get(name)
            values[name] = request["variables"]
            (same if known == values[name] else changed).append(request["scope"])
            if known != values[name]:
                _write(place, json.dumps(values))
        return {"changed": changed, "same": same, "conflicts": conflicts}

    def _plan(self, name: str, file: dict[str, Any]) -> tuple[str, Entries, list[list[str]]]:
        """Return a file's path, what is to be put there, and what of the host's is in the way."""
        path = os.path.expanduser(file["path"])
        own = split(file["form"], _read(path))
        mine = self._sent.get(name, {}).get(file["path"], {}).get("entries", {})
        conflicts = [
            [file["path"], key]
            for key, text in file["entries"].items()
            if key in own
            and own[key].strip()
            and not _same(own[key], text)
            and mine.get(key, {}).get("digest") != _digest(own[key].strip())
        ]
        return path, file["entries"], conflicts

    def _note_entries(self, name: str, file: dict[str, Any], own: Entries) -> None:
        """Note what is about to be put into a file, and what it replaces."""
        noted = self._sent.setdefault(name, {}).setdefault(
            file["path"], {"form": file["form"], "entries": {}}
        )["entries"]
        for key, text in file["entries"].items():
            known = noted.get(key)
            if known is None and _same(own.get(key), text):
                continue  # the host's own, and the same: it stays when ours go
            before = own.get(key)
            if known is not None and before is not None:
                mine = known["digest"] == _digest(before.strip())
                before = known["before"] if mine else before
            noted[key] = {"digest": _digest(text.strip()), "before": before}

    def _tighten(self, path: str, name: str) -> None:
        """Let nobody else read what we have written."""
        if name in self._sent and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            os.chmod(path, 0o600)

    def _variables(self, scope: str) -> tuple[str, dict[str, Any]]:
        place = os.path.join(self._folder, f"{scope}.json")
        return place, json.loads(_read(place) or "{}")

    def _scopes(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            files = sorted(os.listdir(self._folder))
            return [x[:-5] for x in files if x == "all.json" or re.match(r"env-.*\.json$", x)]
        return []

    def listing(self) -> list[dict[str, Any]]:
        """Return the secrets that were put here: name, files, variables by scope; no values."""
        found: dict[str, dict[str, Any]] = {
            name: {"name": name, "files": sorted(paths), "variables": {}}
            for name, paths in self._sent.items()
        }
        for scope in self._scopes():
            for name, values in self._variables(scope)[1].items():
                one = found.setdefault(name, {"name": name, "files": [], "variables": {}})
                one["variables"][scope] = sorted(values)
        return [found[name] for name in sorted(found)]

    def remove(self, name: str, scope: str | None) -> dict[str, Any]:
        """Take a secret out again; what it replaced comes back.

        Args:
            name: The secret.
            scope: Whose variables alone are to go; None: everything.

        Returns:
            Like an entry of `listing`: what was changed.
        """
        files: list[str] = []
        variables: dict[str, list[str]] = {}
        if scope is None:
            for path, noted in self._sent.get(name, {}).items():
                if self._take_out(os.path.expanduser(path), noted):
                    files.append(path)
            self._sent.pop(name, None)
            self._save()
        for each in self._scopes() if scope is None else [scope]:
            place, values = self._variables(each)
            gone = values.pop(name, None)
            if gone is not None:
                _write(place, json.dumps(values) if values else "")
                variables[each] = sorted(gone)
        return {"name": name, "files": files, "variables": variables}

    def _take_out(self, path: str, noted: dict[str, Any]) -> bool:
        """Take our entries out of a file; those that were changed since are no longer ours."""
        before = _read(path)
        own = split(noted["form"], before)
        left = dict(own)
        for key, known in noted["entries"].items():
            if key in own and known["digest"] == _digest(own[key].strip()):
                if known["before"] is None:
                    del left[key]
                else:
                    left[key] = known["before"]
        if left == own:
            return False
        _write(path, join(noted["form"], left, before))
        return True


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what a request asks for, while no other one is at it."""
    folder = os.path.expanduser(request["folder"])
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keeping = Keeping(folder)
        if request["action"] == "send":
            return keeping.send(request)
        if request["action"] == "remove":
            return keeping.remove(request["name"], request["scope"])
        return {"secrets": keeping.listing()}


def main() -> None:
    """Answer the request on standard input; of what goes wrong, name the place and no content."""
    write_no_core()
    os.umask(0o077)
    try:
        result = answer(json.loads(sys.stdin.buffer.read()))
    except OSError as error:
        result = {"error": f"{error.filename}: {error.strerror}"}
    except ValueError:
        result = {"error": "a file is not of the form that it should have"}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
