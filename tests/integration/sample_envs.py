"""Functions that look around in the env in which they run."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any


def version(name: str = "tiny") -> str:
    return str(importlib.import_module(name).VERSION)


def about(*variables: str) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "python": sys.version_info[:2],
        "prefix": sys.prefix,
        **{name: os.environ.get(name) for name in variables},
    }


def sum_with_numpy(count: int) -> tuple[str, int]:
    numpy = importlib.import_module("numpy")
    return str(numpy.__version__), int(numpy.arange(count).sum())


def wait(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def meet(folder: str, count: int) -> int:
    """Wait until calls in this many processes have come to a folder."""
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / str(os.getpid())).touch()
    for _ in range(1000):
        if len(os.listdir(folder)) >= count:
            return os.getpid()
        time.sleep(0.01)
    return -1


def die() -> None:
    os._exit(3)


class Looker:
    def version(self) -> str:
        return version()
