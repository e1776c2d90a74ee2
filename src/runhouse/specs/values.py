"""What users give as secrets, checked; no error names a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runhouse.specs.providers import Provider

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)


def host_path(given: object) -> str:
    """Return the path of a file on a host; one that is not absolute starts at the home directory.

    Raises:
        ValueError: It cannot be that of a file.
    """
    path = str(given)
    if not path.strip() or "\0" in path or path.endswith("/"):
        msg = f"The path {path!r} cannot be used for a secret. Give that of a file on the host."
        raise ValueError(msg)
    return path if path.startswith(("/", "~")) else f"~/{path}"


def variables(name: str, values: object, provider: Provider | None) -> dict[str, str]:
    """Return the values of a secret as variables.

    Raises:
        TypeError: They are not texts under names.
        ValueError: There are none, or a variable cannot have this name.
    """
    if not isinstance(values, Mapping):
        kind = type(values).__name__
        msg = f"The values of {name!r} cannot be used. They are of type {kind}. Give a dict."
        raise TypeError(msg)
    if not values:
        msg = f"The values of {name!r} cannot be used. There are none. Give variables and values."
        raise ValueError(msg)
    checked = {}
    for key, value in values.items():
        variable = provider.variable(key) if provider is not None else key
        if not isinstance(key, str) or not _is_variable(variable):
            msg = (
                f"The values of {name!r} cannot be used. {variable!r} cannot be the name of a "
                "variable. Use letters, digits and '_', and no RH_ at its beginning."
            )
            raise ValueError(msg)
        if not isinstance(value, str) or "\0" in value:
            kind = type(value).__name__
            msg = (
                f"The values of {name!r} cannot be used. That of {key} is of type {kind}, or has a "
                "NUL character. Give a text."
            )
            raise TypeError(msg)
        checked[variable] = value
    _check_known(name, checked, provider)
    return checked


def _is_variable(name: str) -> bool:
    return _VARIABLE.fullmatch(name) is not None and not name.startswith("RH_")


def _check_known(name: str, given: Iterable[str], provider: Provider | None) -> None:
    """Refuse values of a provider that its tools would not look at."""
    if provider is None:
        return
    known = provider.known_variables()
    unknown = [variable for variable in given if variable not in known]
    if unknown:
        msg = (
            f"The values of {name!r} cannot be used. Its tools do not read {', '.join(unknown)}. "
            + (f"They read {', '.join(known)}." if known else "They read a file only.")
            + " Choose another name for a secret of your own."
        )
        raise ValueError(msg)
