"""Which names a resource may have."""

from __future__ import annotations

from runhouse.errors import InvalidNameError
from runhouse.server import names

RESERVED = frozenset({"file", "s3", "gs", "azure", "here", "ssh", "sftp", "local"})


def is_name(text: str) -> bool:
    """Tell whether a text has the form of a name and is not reserved."""
    return names.is_name(text) and text.lower() not in RESERVED


def check_key(name: object) -> str:
    """Return a name that can be used for an object or a run.

    Args:
        name: Letters, digits, `-`, `_` and `.`, beginning with a letter or digit; at most 63.

    Raises:
        InvalidNameError: The name has another form.
    """
    if not isinstance(name, str) or not names.is_name(name):
        msg = (
            f"{name!r} cannot be used as a name. A name has 1 to 63 letters, digits, '-', '_' or "
            "'.', and begins with a letter or digit. Choose another one."
        )
        raise InvalidNameError(msg)
    return name


def check_name(given: object) -> str:
    """Return a name that can be used for a cluster or an env.

    Args:
        given: As for `check_key`, and not one of `RESERVED`.

    Raises:
        InvalidNameError: The name has another form, or is reserved.
    """
    name = check_key(given)
    if name.lower() in RESERVED:
        msg = (
            f"{name!r} cannot be used as a name. It is reserved, as are "
            f"{', '.join(sorted(RESERVED - {name.lower()}))}. Choose another one."
        )
        raise InvalidNameError(msg)
    return name
