"""Modules of the standard library that few programs need, and that take long to import."""

from __future__ import annotations

import importlib
from typing import Any


class LazyModule:
    """Stand for a module, and import it when something of it is used.

    Beside it, an import for type checkers only says which module it is.
    """

    def __init__(self, name: str) -> None:
        """Store the module's full name."""
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Return what the module has under a name."""
        return getattr(importlib.import_module(self._name), attribute)
