"""Find and load what stands beside runhouse: optional parts, and our copy of cloudpickle."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
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


def find_cloudpickle() -> str:
    """Return the path of the one module that cloudpickle is, without importing it.

    A user's own module of that name is passed over.

    Raises:
        ImportError: It is not installed.
    """
    for place in sys.path:
        file = Path(place, "cloudpickle", "cloudpickle.py")
        if file.is_file():
            return str(file)
    msg = "cloudpickle is not installed. Install runhouse again with its dependencies."
    raise ImportError(msg, name="cloudpickle")
