"""Which names keys, runs, envs and tokens may have, as the server sees them."""

from __future__ import annotations

import re

_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
PATTERN = f"^{_PATTERN.pattern}$"
DEFAULT_ENV = "default"
RULE = "A name has 1 to 63 letters, digits, '-', '_' or '.', and begins with a letter or digit"


def is_name(text: object) -> bool:
    """Tell whether a value is a text that has the form of a name."""
    return isinstance(text, str) and _PATTERN.fullmatch(text) is not None
