"""Load an optional part of runhouse, or say which extra to install."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def load(module: str, *, extra: str) -> ModuleType:
    """Import a module that needs an optional dependency.

    Args:
        module: The module's full name.
        extra: The extra of `runhouse` that brings what it needs, for example `"sky"`.

    Returns:
        The imported module.

    Raises:
        ImportError: Something that the module needs is not installed; the message has the
            command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = (
            f"{module} cannot be loaded. {error}. "
            f"Install what it needs with: pip install 'runhouse[{extra}]'"
        )
        raise ImportError(msg) from error
