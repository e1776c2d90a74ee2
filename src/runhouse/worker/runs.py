"""The runs of a worker: what connections ask for, and who waits for what."""

from __future__ import annotations

import re
import threading
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from runhouse.errors import CallError, RunExistsError, RunTimeoutError
from runhouse.wire import stored
from runhouse.wire.exceptions import dump_error
from runhouse.wire.frames import Frame, FrameError, encode
from runhouse.wire.messages import Call, Kind, RunInfo
from runhouse.worker import journal
from runhouse.worker.admission import Admission
from runhouse.worker.alarms import Alarms
from runhouse.worker.execute import Executor
from runhouse.worker.journal import Journal
from runhouse.worker.outbox import Mailbox
from runhouse.worker.run import Run
from runhouse.worker.variables import SecretVariables

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.worker.connections import Connection
    from runhouse.worker.inside import Inside
    from runhouse.worker.operations import Operations

_WAITING_OPERATIONS = frozenset(("call", "new", "method"))
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TYPES: dict[str, Any] = {
    field.name: (int, float) if isinstance(field.default, float) else type(field.default)
    for field in fields(Call)
    if isinstance(field.default, (str, bool, int, float))
} | {"run_id": str, "op": str, "key": str, "retry_on": list, "release": list}


class Runs:
    """Hold the runs of one worker."""

    def __init__(
        self,
        inside: Inside,
        operations: Operations,
        tell: Callable[[dict[str, Any]], None],
        ask: Callable[[dict[str, Any]], dict[str, Any]],
        on_change: Callable[[], None],
    ) -> None:
        """Start without any.

        Args:
            inside: Who the worker is, and what it holds.
            operations: What calls can do.
            tell: Tells the server something.
            ask: Tells the server something, and returns its answer; nothing when there is none.
            on_change: Called when a run begins or ends.
        """
        self._inside = inside
        self._directory = inside.root / "runs"
        self._tell = tell
        self._ask = ask
        self._on_change = on_change
        self.admission = Admission()
        secrets = SecretVariables(inside.root / "secrets", inside.env)
        self.executor = Executor(inside.objects, operations, self.admission, self._on_left, secrets)
        self._lock = threading.Lock()
        self._known: dict[str, Run] = {}
        self.running: dict[str, Run] = {}
        self.count = 0
        self._grace = Alarms(self._caller_is_gone)
        self._deadlines = Alarms(_time_is_up)

    # -- what the connections tell ------------------------------------------------------------

    def on_frame(self, connection: Connection, frame: Frame) -> None:
        """Do what a frame says.

        Raises:
            FrameError: It says nothing that can be understood.
        """
        if frame.kind == Kind.CALL:
            self._on_call(connection, frame)
            return
        run_id = str(frame.meta.get("id"))
        run = self._known.get(run_id)
        if frame.kind == Kind.ATTACH:
            self._on_attach(connection, run, run_id, _count(frame))
        elif run is None:
            return
        elif frame.kind == Kind.CANCEL:
            run.cancel("Its caller asked for it.")
            if not run.call.record:  # nobody will ask for its end
                self._forget(run_id)
        elif frame.kind == Kind.ACK:
            run.outbox.acknowledge(_count(frame))
            if frame.meta.get("last"):
                self._forget(run_id)

    def on_closed(self, connection: Connection) -> None:
        """Give the calls of a connection that has closed some time to be taken up again."""
        for run in list(self._known.values()):
            if run.outbox.detach(connection):
                self._grace.begin(run, run.call.grace_s)
        self._on_change()

    def _caller_is_gone(self, run: Run) -> None:
        """Cancel a run whose caller has not come back in time; forget one that has ended."""
        if not run.outbox.abandoned:
            return
        if run.done:
            self._forget(run.id)
            return
        run.cancel(f"Its caller was gone for {run.call.grace_s:g} s.")
        self._grace.begin(run, run.call.grace_s)

    def _on_attach(
        self, connection: Connection, run: Run | None, run_id: str, received: int
    ) -> None:
        if run is not None:
            self._grace.end(run)
            run.outbox.attach(connection, received)
            self._watch_over(run, connection)
            return
        ended = stored.run_path(self._directory, run_id) if _ID.fullmatch(run_id) else None
        if ended is None or ended.suffix == f".{stored.OPEN}":
            connection.send(encode(Frame(Kind.UNKNOWN, {"id": run_id})))
        else:
            journal.show_ended(ended, connection, received)

    def _watch_over(self, run: Run, connection: Connection) -> None:
        """Begin a run's grace when the connection has closed before the run was tied to it."""
        if connection.closed and run.outbox.detach(connection):
            self._grace.begin(run, run.call.grace_s)

    # -- calls --------------------------------------------------------------------------------

    def _on_call(self, connection: Connection, frame: Frame) -> None:
        call = _parse(frame)
        try:
            if call.run_id not in self._known and not self._has_ended(call):
                self._claim(call)
            with self._lock:
                if connection.finished_run is not None:
                    # The next call on a connection says that the last answer has arrived.
                    self._known.pop(connection.finished_run, None)
                    connection.finished_run = None
                run = self._known.get(call.run_id)
                is_new = run is None and not self._has_ended(call)
                if is_new:
                    run = self._begin(call, connection)
        except CallError as error:
            connection.send(encode(_error_frame(error)))
            return
        if run is None or not is_new:
            self._on_attach(connection, run, call.run_id, 0)
            return
        self._prepare(run, connection)
        self.executor.execute(run, frame)

    def _claim(self, call: Call) -> None:
        """Have the server note that a name is taken, in all its workers, until the run has ended.

        Raises:
            RunExistsError: A run of this name is going on.
        """
        if not (call.record and call.name):
            return
        asked = {"op": "claim", "name": call.name, "id": call.run_id}
        if self._ask(asked).get("taken"):
            msg = (
                f"The run {call.name!r} was not started. One of this name is going on. Wait for "
                "its end, cancel it, or give another name."
            )
            raise RunExistsError(msg, key=call.name)

    def _has_ended(self, call: Call) -> bool:
        return call.record and stored.run_path(self._directory, call.run_id) is not None

    def _begin(self, call: Call, connection: Connection) -> Run:
        """Make the run of a call; the lock is held.

        Raises:
            CallError: What it is for is not here, it cannot be recorded, or too many are waiting.
        """
        run = Run(call, Mailbox(connection), self._on_status)
        try:
            self._inside.objects.check(call)
            if call.op in _WAITING_OPERATIONS:
                self.admission.book(run)
            if call.record:
                run.outbox = self._journal(run)
        except CallError:
            self.admission.leave(run)
            if call.name:
                self._tell({"op": "unclaim", "name": call.name, "id": call.run_id})
            raise
        self._known[call.run_id] = self.running[call.run_id] = run
        self.count += 1
        return run

    def _journal(self, run: Run) -> Journal:
        try:
            return Journal(self._directory, self._info(run))
        except OSError as error:
            msg = (
                f"The run was not started. It cannot be recorded on the host's disk: {error}. Make "
                "room there, or call it without a name."
            )
            raise CallError(msg) from error

    def _prepare(self, run: Run, connection: Connection) -> None:
        """Do what is due before a run's code begins."""
        if run.call.record:
            self._on_status(run)
            if run.call.watch:
                run.outbox.attach(connection, 0)
            else:
                connection.send(encode(Frame(Kind.STARTED, self._info(run).to_meta())))
        if connection.closed:
            self._watch_over(run, connection)
        if run.call.timeout_s:
            self._deadlines.begin(run, run.call.timeout_s)
        if run.call.release:
            self._inside.objects.delete(run.call.release)
        self._on_change()

    def _on_status(self, run: Run) -> None:
        """Tell the server about a recorded run, and end what belongs to a run that has ended."""
        if run.call.record:
            self._tell({"op": "run", "run": self._info(run).to_meta()})
        if not run.done:
            return
        if run.call.timeout_s:
            self._deadlines.end(run)
        if run.forced:
            self.admission.wake()
            self.cancel_children(run.id)
            self._tell({"op": "cancel_children", "id": run.id})
        if run.outbox.abandoned:
            self._grace.begin(run, run.call.grace_s)

    def _on_left(self, run: Run) -> None:
        """Note that a run's code has ended, which may be after its last event."""
        with self._lock:
            self.running.pop(run.id, None)
            if run.call.record:  # from now on its file tells
                self._known.pop(run.id, None)
        self._on_change()

    def _info(self, run: Run) -> RunInfo:
        return run.info(self._inside.env, self._inside.worker_id)

    def _forget(self, run_id: str) -> None:
        run = self._known.pop(run_id, None)
        if run is not None:
            self._grace.end(run)

    def writers(self) -> list[Run]:
        """Return the runs whose code may be writing now."""
        return [run for run in list(self.running.values()) if run.may_write]

    # -- what the server asks for -------------------------------------------------------------

    def infos(self) -> list[RunInfo]:
        """Return the runs that are going on."""
        return [self._info(run) for run in list(self.running.values())]

    def cancel(self, ids: list[str], reason: str) -> list[str]:
        """Cancel runs; return the ids of those that were going on here."""
        known = [self._known[run_id] for run_id in ids if run_id in self._known]
        return [run.id for run in known if run.cancel(reason)]

    def cancel_children(self, parent: str) -> None:
        """Cancel the calls that the code of a run has made."""
        for run in list(self.running.values()):
            if run.call.parent == parent:
                run.cancel("The call that made it was ended.")


def _parse(frame: Frame) -> Call:
    """Read the message of a call.

    Raises:
        FrameError: It is not that of a call.
    """
    try:
        call = Call(**cast("dict[str, Any]", frame.meta))
    except TypeError as error:
        msg = f"The message of a call cannot be read: {error}."
        raise FrameError(msg) from error
    for name, value in frame.meta.items():
        if not isinstance(value, _TYPES[name]) or not _is_in_range(value):
            msg = f"The message of a call has a {name} that cannot be used."
            raise FrameError(msg)
    if not _ID.fullmatch(call.run_id):
        msg = "The message of a call has an id that cannot be used."
        raise FrameError(msg)
    return call


def _is_in_range(value: object) -> bool:
    """Tell whether a number is 0 or more (NaN is not), and a list one of texts."""
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return not isinstance(value, (int, float)) or value >= 0


def _error_frame(error: BaseException) -> Frame:
    meta, pickled = dump_error(error)
    return Frame(Kind.ERROR, meta, pickled.body, pickled.buffers)


def _time_is_up(run: Run) -> None:
    error = RunTimeoutError(
        f"The call was ended. It took longer than the {run.call.timeout_s:g} s that its caller "
        "allowed. Allow more with options(timeout=), or make it quicker."
    )
    run.end(error, "failed")


def _count(frame: Frame) -> int:
    value = frame.meta.get("received", 0)
    return value if isinstance(value, int) else 0
