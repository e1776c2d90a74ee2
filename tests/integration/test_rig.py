"""The machines of the tests are what they say, and nothing of them is left."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rigs import interpreters, namespaces
from tests.rigs.client import Client
from tests.rigs.fixtures import (
    PASSWORD,
    bare_machine,
    client,
    default_spec,
    inner_machine,
    machine,
    make_machine,
    password_machine,
)
from tests.rigs.machine import Machine, MachineSpec
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.fixtures import MakeMachine

__all__ = [
    "bare_machine",
    "client",
    "inner_machine",
    "machine",
    "make_machine",
    "password_machine",
]

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]
