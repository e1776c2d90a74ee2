"""A host for measurements: a machine of the tests."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs import interpreters
from tests.rigs.client import Client
from tests.rigs.fixtures import running
from tests.rigs.machine import MachineSpec

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def box() -> Iterator[Client]:
    """Give the client of a new machine called box, which has no relay in between."""
    with tempfile.TemporaryDirectory(prefix="rh-bc-") as folder:
        client = Client(Path(folder))
        spec = MachineSpec(
            name="box",
            authorized_key=client.public_key,
            pythons=(interpreters.own_version(), sys.executable),
            direct=True,
        )
        with running(client, spec):
            yield client
