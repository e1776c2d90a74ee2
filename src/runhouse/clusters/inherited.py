"""All that a public class can do, listed in the class itself."""

from __future__ import annotations

import inspect
from typing import TypeVar

Class = TypeVar("Class", bound=type)


def with_inherited(cls: Class) -> Class:
    """Give a class the public members that it inherits as its own, as they are.

    Its methods are in several files because they are of several kinds, which is nothing that users
    have to know: what lists the members of the class itself, such as the `:members:` of a page for
    Sphinx, then lists all.

    Args:
        cls: The class.

    Returns:
        The class itself.
    """
    for name in dir(cls):
        if not name.startswith("_") and name not in vars(cls):
            setattr(cls, name, inspect.getattr_static(cls, name))
    return cls
