"""Execute calls: sync code on the thread that received it, async code on one event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from runhouse.wire.frames import Frame, encode
from runhouse.wire.messages import Call, Code, Kind
from runhouse.wire.pickling import dump_error, dumps, loads, loads_frame
from runhouse.worker.capture import Capture, current, want_level
from runhouse.worker.grace import Grace
from runhouse.worker.outbox import OutboxClosedError
from runhouse.worker.run import Run, RunInterrupt
from runhouse.worker.store import Objects, add_import_roots, load_code

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from runhouse.worker.connections import Connection


class Executor:
    """Act on what clients say."""

    def __init__(self, objects: Objects, on_change: Callable[[], None]) -> None:
        """Store the objects to work on.

        Args:
            objects: What this worker holds.
            on_change: Called when a run begins or ends, or objects have changed.
        """
        self.objects = objects
        self.capture: Capture | None = None
        self._on_change = on_change
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self.running: dict[str, Run] = {}
        self.calls = 0
        self.grace = Grace(self._caller_is_gone)

    # -- what the connections tell ------------------------------------------------------------

    def on_frame(self, connection: Connection, frame: Frame) -> None:
        """Do what a frame says."""
        if frame.kind == Kind.CALL:
            self._on_call(connection, frame)
            return
        run_id = str(frame.meta.get("id"))
        run = self._runs.get(run_id)
        if frame.kind == Kind.ATTACH:
            self._on_attach(connection, run, run_id, _count(frame))
        elif run is None:
            return
        elif frame.kind == Kind.CANCEL:
            run.cancel("Its caller asked for it.")
        elif frame.kind == Kind.ACK:
            run.outbox.acknowledge(_count(frame))
            if frame.meta.get("last"):
                self._forget(run_id)

    def on_closed(self, connection: Connection) -> None:
        """Give the calls of a connection that has closed some time to be taken up again."""
        for run in list(self._runs.values()):
            if run.outbox.detach(connection):
                self.grace.begin(run)
        self._on_change()

    def _caller_is_gone(self, run: Run) -> None:
        """Cancel a run whose caller has not come back in time; forget one that has ended."""
        if run.outbox.connection is not None:
            return
        if run.done:
            self._forget(run.id)
            return
        run.cancel(f"Its caller was gone for {run.call.grace_s:g} s.")
        self.grace.begin(run)

    def _on_attach(
        self, connection: Connection, run: Run | None, run_id: str, received: int
    ) -> None:
        if run is None:
            connection.send(encode(Frame(Kind.UNKNOWN, {"id": run_id})))
            return
        self.grace.end(run)
        run.outbox.attach(connection, received)
        self._watch_over(run, connection)

    def _watch_over(self, run: Run, connection: Connection) -> None:
        """Begin a run's grace when the connection has closed before the run was tied to it."""
        if connection.closed and run.outbox.detach(connection):
            self.grace.begin(run)

    def _on_call(self, connection: Connection, frame: Frame) -> None:
        call = Call(**cast("dict[str, Any]", frame.meta))
        with self._lock:
            if connection.finished_run is not None:
                # The next call on a connection says that the last answer has arrived.
                self._runs.pop(connection.finished_run, None)
                connection.finished_run = None
            known = self._runs.get(call.run_id)
            if known is None:
                run = self._runs[call.run_id] = self.running[call.run_id] = Run(call, connection)
                self.calls += 1
        if known is not None:
            self._on_attach(connection, known, call.run_id, 0)
            return
        self._watch_over(run, connection)
        self._on_change()
        want_level(call.log_level)
        self._execute(run, frame)

    def _forget(self, run_id: str) -> None:
        with self._lock:
            run = self._runs.pop(run_id, None)
        if run is not None:
            self.grace.end(run)

    # -- running ------------------------------------------------------------------------------

    def _execute(self, run: Run, frame: Frame) -> None:
        """Run a call on this thread; coroutines move to the event loop and end there."""
        token = current.set(run)
        try:
            try:
                run.enter_thread()
                result = self._invoke(run.call, frame)
                if inspect.isgenerator(result):
                    self._stream(run, result)
                    result = None
                elif inspect.iscoroutine(result) or inspect.isasyncgen(result):
                    run.leave_thread()
                    self._start_async(run, result)
                    return
                else:
                    self._finish(run, dumps(result, what="the result"))
            finally:
                run.leave_thread()
        except BaseException as error:  # noqa: BLE001 - everything goes to the caller
            self._fail(run, error)
        finally:
            current.reset(token)
        self._ended(run)

    def _invoke(self, call: Call, frame: Frame) -> Any:
        """Do the operation of a call and return its result."""
        if call.op == "define":
            return self._define(call.key, frame)
        args, kwargs = loads_frame(frame)
        frame.body, frame.buffers = b"", ()
        if call.op == "call":
            return self.objects.definition(call.key)(*args, **kwargs)
        if call.op == "new":
            self.objects.put(call.new_key, self.objects.definition(call.key)(*args, **kwargs))
            return None
        return getattr(self.objects.get(call.key), call.method)(*args, **kwargs)

    def _define(self, key: str, frame: Frame) -> None:
        """Keep a function or class that came by reference or by value."""
        fields, pickled = loads_frame(frame)
        code = Code(**fields)
        add_import_roots(code.import_roots)
        self.objects.define(key, loads(pickled) if pickled else load_code(code))

    def _stream(self, run: Run, items: Iterator[Any]) -> None:
        """Send the items of a generator as they are made."""
        run.outbox.item(Frame(Kind.STREAM))
        try:
            for item in items:
                pickled = dumps(item, what="an item of the generator")
                run.outbox.item(Frame(Kind.ITEM, {}, pickled.body, pickled.buffers))
        except OutboxClosedError as error:
            raise RunInterrupt from error
        finally:
            cast("Any", items).close()
        self._finish(run, None)

    def _start_async(self, run: Run, awaitable: Any) -> None:
        """Let the event loop run a coroutine or an async generator to its end."""
        self._loop.call_soon_threadsafe(
            lambda: run.set_task(self._loop.create_task(self._run_async(run, awaitable)))
        )

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="runhouse-async", daemon=True).start()
        return loop

    async def _run_async(self, run: Run, awaitable: Any) -> None:
        current.set(run)
        try:
            if inspect.isasyncgen(awaitable):
                await self._stream_async(run, awaitable)
            else:
                self._finish(run, dumps(await awaitable, what="the result"))
        except BaseException as error:  # noqa: BLE001 - everything goes to the caller
            self._fail(run, error)
        self._ended(run)

    async def _stream_async(self, run: Run, items: AsyncIterator[Any]) -> None:
        await asyncio.to_thread(run.outbox.item, Frame(Kind.STREAM))
        async for item in items:
            pickled = dumps(item, what="an item of the generator")
            frame = Frame(Kind.ITEM, {}, pickled.body, pickled.buffers)
            await asyncio.to_thread(run.outbox.item, frame)
        self._finish(run, None)

    # -- ending -------------------------------------------------------------------------------

    def _finish(self, run: Run, pickled: Any) -> None:
        if self.capture is not None:
            self.capture.drain()
        body, buffers = (pickled.body, pickled.buffers) if pickled is not None else (b"", ())
        self._close(run, Frame(Kind.RESULT, {}, body, buffers))

    def _fail(self, run: Run, error: BaseException) -> None:
        """Send what the user's code raised."""
        if self.capture is not None:
            self.capture.drain()
        meta, pickled = dump_error(error)
        self._close(run, Frame(Kind.ERROR, meta, pickled.body, pickled.buffers))

    def _close(self, run: Run, frame: Frame) -> None:
        connection = run.outbox.connection
        if connection is not None:
            connection.finished_run = run.id
        run.finish(frame)
        if run.outbox.connection is None:
            self.grace.begin(run)

    def _ended(self, run: Run) -> None:
        with self._lock:
            self.running.pop(run.id, None)
        self._on_change()


def _count(frame: Frame) -> int:
    value = frame.meta.get("received", 0)
    return value if isinstance(value, int) else 0
