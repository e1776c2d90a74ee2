"""What of a secret is on this machine, and the forms in which it can travel."""

from __future__ import annotations

import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from runhouse.errors import SecretError, SecretNotFoundError
from runhouse.specs.keeping import Entries, split

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runhouse.specs.providers import KeptFile, Provider

_LARGEST_BYTES = 1_000_000
_NOT_A_REMARK = re.compile(r"(?m)^[ \t]*[^\s#;]")


class FoundFile(NamedTuple):
    """Hold what is to be in one file on a host.

    Attributes:
        path: Its place there.
        form: How its entries are told apart.
        entries: The entries.
        here: Where it was found; empty when it was made of variables or values.
    """

    path: str
    form: str
    entries: Entries
    here: str = ""

    def __repr__(self) -> str:
        """Return the place alone."""
        return f"{type(self).__name__}({self.path!r})"

    def to_request(self) -> dict[str, Any]:
        """Return it as `keeping` takes it."""
        return {"path": self.path, "form": self.form, "entries": self.entries}


class Found(NamedTuple):
    """Hold a secret's values: as variables, or as what is in files.

    Attributes:
        variables: Variables and their values.
        files: Files and what is in them.
    """

    variables: Mapping[str, str] = MappingProxyType({})
    files: tuple[FoundFile, ...] = ()

    def __repr__(self) -> str:
        """Return names and places alone."""
        return f"{type(self).__name__}({sorted(self.variables)}, {self.files!r})"

    @property
    def places(self) -> tuple[str, ...]:
        """Return where it was found: paths here, or variables as `$NAME`."""
        here = tuple(dict.fromkeys(file.here for file in self.files if file.here))
        return here or tuple(f"${name}" for name in self.variables)


def find(provider: Provider) -> Found:
    """Return a provider's secret as it is here: the variables, else the files, as its tools do.

    Raises:
        SecretNotFoundError: Neither is here.
        SecretError: A file cannot be read.
    """
    variables = provider.variables_here()
    if variables:
        return Found(variables)
    files = [
        _read(provider, kept, place, here)
        for kept in provider.files
        for place, here in kept.found_here()
        if not kept.goes_along
    ]
    found = [file for file in files if file.entries]
    if not found:
        raise SecretNotFoundError(_not_found(provider), name=provider.name)
    along = [
        _read(provider, kept, place, here)
        for kept in provider.files
        for place, here in kept.found_here()
        if kept.goes_along
    ]
    return Found(files=(*found, *along))


def _not_found(provider: Provider) -> str:
    groups = ["$" + " or $".join(group) for group in provider.variables]
    places = [" with ".join(groups)] if groups else []
    places += [file.path for file in provider.files if not file.goes_along]
    return (
        f"The secret {provider.name!r} is not on this machine. Its places are "
        f"{', '.join(places)}. Log in with the provider's own tool, or give values=."
    )


def _read(provider: Provider, kept: KeptFile, place: str, here: Path) -> FoundFile:
    """Read a file that is here."""
    problem = ""
    text = ""
    try:
        if here.stat().st_size > _LARGEST_BYTES:
            problem = f"It is larger than {_LARGEST_BYTES:,} bytes"
        else:
            text = here.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        problem = error.strerror or type(error).__name__
    entries: Entries = {}
    if not problem:
        try:
            entries = split(kept.form, text)
        except (ValueError, AttributeError):  # its text may quote what is in it
            problem = "It is not of the form that it should have"
    if problem:
        msg = (
            f"The secret {provider.name!r} cannot be read from {here}. {problem}. Look at the file."
        )
        raise SecretError(msg, name=provider.name) from None
    if kept.only:
        entries = {key: text for key, text in entries.items() if key in kept.only}
    if kept.form != "whole":  # a remark at the top is not to be in the way of the host's
        entries = {key: text for key, text in entries.items() if _NOT_A_REMARK.search(text)}
    return FoundFile(place, kept.form, entries, str(here))


# -- from one form to the other -----------------------------------------------------------------


def as_files(provider: Provider, variables: Mapping[str, str]) -> Found | None:
    """Return variables as the provider's own file, or None where it has none that takes them."""
    for kept in provider.files:
        known = dict(kept.fields)
        given = {
            known[name]: value for name, value in _canonical(provider, variables).items()
            if name in known
        }  # fmt: skip
        if given and len(given) == len(variables):
            return Found(files=(FoundFile(kept.path, kept.form, {kept.entry: _text(kept, given)}),))
    return None


def _canonical(provider: Provider, variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables under the first name of their group."""
    first = {name: group[0] for group in provider.variables for name in group}
    return {first.get(name, name): value for name, value in variables.items()}


def _text(kept: KeptFile, given: dict[str, str]) -> str:
    """Return the text of an entry that holds values under their keys."""
    if kept.form == "whole":
        return given[""]
    if kept.form == "netrc":
        return f"machine {kept.entry}\n  login user\n  password {given['password']}\n"
    head = f"[{kept.entry}]\n" if kept.entry else ""
    return head + "".join(f"{key} = {value}\n" for key, value in given.items())


def as_variables(provider: Provider, found: Found) -> dict[str, str] | None:
    """Return what was found as variables, or None where that is not known to be possible."""
    if found.variables:
        return dict(found.variables)
    for kept in provider.files:
        for file in found.files:
            text = file.entries.get(_entry(provider, kept), "")
            if kept.path == file.path and kept.fields and text:
                values = {name: _value(kept, key, text) for name, key in kept.fields}
                variables = {name: value for name, value in values.items() if value}
                if all(any(name in variables for name in group) for group in provider.variables):
                    return variables
    return None


def _entry(provider: Provider, kept: KeptFile) -> str:
    chosen = os.environ.get("AWS_PROFILE") if provider.name == "aws" else None
    return chosen or kept.entry


def _value(kept: KeptFile, key: str, text: str) -> str:
    """Return the value of a key in an entry, or nothing."""
    if not key:
        return text.strip()
    between = r"\s+" if kept.form == "netrc" else r"[ \t]*[=:][ \t]*"
    found = re.search(rf"(?m)(?:^|\s){re.escape(key)}{between}(\S+)", text)
    return found[1].strip("\"'") if found else ""
