"""The outbox of a recorded run: its events go to a file, and any number of clients may watch.

The file is `runs/ID.open` while the run goes on, and is renamed to `runs/ID.STATUS` at its end, so
that what has become of a run can be told without reading it. Its first event tells about the run;
the rest are what a caller is sent, byte for byte. The file survives worker, server and caller.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING

from runhouse.files import private_directory
from runhouse.wire import frames, stored
from runhouse.wire.frames import Buffer, Frame
from runhouse.wire.messages import Kind, RunInfo, RunStatus
from runhouse.wire.stored import OPEN
from runhouse.worker.outbox import Outbox

if TYPE_CHECKING:
    from pathlib import Path

    from runhouse.worker.connections import Connection

log = logging.getLogger(__name__)


class Journal(Outbox):
    """Write the events of one run to its file, and show the file to those who watch."""

    def __init__(self, directory: Path, info: RunInfo) -> None:
        """Make the file.

        Raises:
            FileExistsError: There has been a run of this id.
            OSError: The file cannot be made.
        """
        super().__init__()
        self._directory = private_directory(directory)
        self._id = info.id
        self._path = self._directory / f"{info.id}.{OPEN}"
        if stored.run_path(directory, info.id) is not None:
            raise FileExistsError(info.id)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(self._path, flags, 0o600)
        self._size = 0
        self._watchers: set[Connection] = set()
        self.failure = ""
        try:
            with self._lock:
                self._put(frames.encode(Frame(Kind.STARTED, info.to_meta())))
        except OSError:
            os.close(self._file)
            self._path.unlink(missing_ok=True)
            raise

    def _put(self, pieces: list[Buffer]) -> None:
        """Write one event; output that a full disk does not take is lost, and noted."""
        try:
            self._size += stored.append(self._file, pieces)
        except OSError as error:
            if not self.failure:
                log.warning("the events of run %s cannot be kept: %s", self._id, error)
            self.failure = str(error)
            if pieces[0][0] != Kind.LOG:
                raise
        self._room.notify_all()

    def acknowledge(self, received: int) -> None:
        """Change nothing: the file keeps all events."""

    def close(self, status: RunStatus) -> None:
        """Give the file its last name; what is being read goes on."""
        with self._room:
            if not self._closed:
                self._give_up()
            with contextlib.suppress(OSError):  # removed by somebody: then it is not wanted
                self._path.rename(self._directory / f"{self._id}.{status}")
            os.close(self._file)

    def _give_up(self) -> None:
        """Take nothing more: the disk has not taken the last event, for which watchers wait."""
        self._closed = True
        self._log = []
        for connection in self._watchers:
            connection.hang_up()
        self._room.notify_all()

    def attach(self, connection: Connection, received: int) -> None:
        """Show the events from the one with number `received` on, and those still to come."""
        with self._lock:  # under which the file gets its last name
            file = os.open(stored.run_path(self._directory, self._id) or self._path, os.O_RDONLY)
            self._watchers.add(connection)
        arguments = (connection, file, received)
        threading.Thread(
            target=self._show, args=arguments, name="runhouse-watch", daemon=True
        ).start()

    def detach(self, connection: Connection) -> bool:
        """Let go of a watcher that has gone; the run does not mind."""
        with self._room:
            if connection in self._watchers:
                self._watchers.discard(connection)
                self._room.notify_all()
        return False

    def _show(self, connection: Connection, file: int, received: int) -> None:
        with os.fdopen(file, "rb"):
            start = stored.skip(file, received)
            while True:
                with self._room:
                    while start >= self._size and not self._closed and self._watches(connection):
                        self._room.wait()
                    end, closed = self._size, self._closed
                if not self._watches(connection) or not connection.send_file(file, start, end):
                    return
                start = max(start, end)
                if closed and start >= end:
                    self._watchers.discard(connection)
                    return

    def _watches(self, connection: Connection) -> bool:
        return connection in self._watchers and not connection.closed


def show_ended(path: Path, connection: Connection, received: int) -> None:
    """Send the events of a run that has ended, from the one with number `received` on."""
    with path.open("rb") as file:
        start = stored.skip(file.fileno(), received)
        connection.send_file(file.fileno(), start, path.stat().st_size)
