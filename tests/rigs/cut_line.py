"""Calls to the embedded server over a line that a test can cut."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path
from typing import Any

from runhouse import settings
from runhouse.bootstrap.local_host import LocalHost
from runhouse.client.aio import call_async
from runhouse.client.client import Client
from runhouse.client.endpoint import Target
from runhouse.wire.messages import Call, Code, RunInfo, Scope
from runhouse.wire.pickling import dumps
from tests.rigs.cutter import Cutter

ROOT = str(Path(__file__).parents[2])
TARGET = Target("faults", Scope())


class CutHost(LocalHost):
    """Reach the embedded server through a relay that can be cut."""

    cutter: Cutter

    def connect(self) -> socket.socket:
        """Return a connection through the relay."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(self.cutter.path))
        except BaseException:
            sock.close()
            raise
        return sock


class CutLine:
    """Call functions of the sample module through the relay."""

    def __init__(self, folder: Path, name: str = "relay.sock") -> None:
        """Start the server and the relay, whose socket has a name in the folder."""
        self.host = CutHost(settings.load())
        self.info = self.host.up()
        self.cutter = self.host.cutter = Cutter(folder / name, self.info.data)
        self.client = Client(self.host, settings.load())
        self._id = uuid.uuid4().hex  # the server keeps the runs of lines before this one
        self._count = 0

    def define(self, name: str) -> None:
        """Tell the worker about a function."""
        code = Code("tests.integration.sample", name, import_roots=(ROOT,))
        self.client.call(TARGET, Call(f"d{name}", "define", name), dumps((code.to_meta(), b"")))

    def call(self, name: str, *args: Any, run_id: str = "", **fields: Any) -> Any:
        """Call a function of the sample module."""
        return self.client.call(TARGET, self._call(name, run_id, **fields), dumps((args, {})))

    def start(self, name: str, *args: Any, run_id: str = "", **fields: Any) -> RunInfo:
        """Start a function of the sample module in the background."""
        call = self._call(name, run_id, record=True, watch=False, **fields)
        return self.client.start(TARGET, call, dumps((args, {})))

    def _call(self, name: str, run_id: str, **fields: Any) -> Call:
        self._count += 1
        return Call(run_id or f"{self._id}-{self._count}", "call", name, **fields)

    async def call_async(self, name: str, *args: Any) -> Any:
        """Do the same from an event loop."""
        self._count += 1
        call = Call(f"{self._id}-{self._count}", "call", name, grace_s=30)
        return await call_async(self.client, TARGET, call, dumps((args, {})))

    def close(self) -> None:
        """End the client, the line and the server."""
        self.client.close()
        self.cutter.close()
        self.host.stop_server()
