"""Execute calls: sync code on the thread that received it, async code on one event loop."""

from __future__ import annotations

import inspect
import logging
import threading
from typing import TYPE_CHECKING, Any, cast

from runhouse.lazy import LazyModule
from runhouse.wire.exceptions import dump_error
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind
from runhouse.wire.pickling import by_value_meta
from runhouse.worker.capture import Capture, current, want_level
from runhouse.worker.outbox import Mailbox, OutboxClosedError
from runhouse.worker.retry import Retry
from runhouse.worker.run import Run, RunInterrupt
from runhouse.worker.store import Objects, attribute_names, type_name
from runhouse.worker.values import dump_value

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator

    from runhouse.wire.pickling import Pickled
    from runhouse.worker.admission import Admission
    from runhouse.worker.operations import Operations
    from runhouse.worker.variables import SecretVariables
else:
    asyncio = LazyModule("asyncio")

log = logging.getLogger("runhouse")


class Executor:
    """Run calls to their end."""

    def __init__(
        self,
        objects: Objects,
        operations: Operations,
        admission: Admission,
        on_left: Callable[[Run], None],
        secrets: SecretVariables,
    ) -> None:
        """Store what calls work on, and how many may run at once.

        Args:
            objects: What this worker holds.
            operations: What calls can do.
            admission: Lets calls in.
            on_left: Called when a run's code has ended, which may be after its last event.
            secrets: The variables that code finds.
        """
        self._objects = objects
        self._operations = operations
        self._admission = admission
        self._on_left = on_left
        self._secrets = secrets
        self.capture: Capture | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting_loop = threading.Lock()

    def execute(self, run: Run, frame: Frame) -> None:
        """Run a call on this thread; coroutines move to the event loop and end there."""
        token = current.set(run)
        moved = False
        try:
            want_level(run.call.log_level)
            self._admission.enter(run)
            run.begin()
            self._secrets.refresh()
            retry = Retry(run.call)
            moved = self._repeat(run, frame, retry)
        except BaseException as error:  # noqa: BLE001 - everything goes to the caller
            self._fail(run, error)
        finally:
            current.reset(token)
            if not moved:
                self._leave(run)

    def _leave(self, run: Run) -> None:
        self._admission.leave(run)
        self._on_left(run)

    def _repeat(self, run: Run, frame: Frame, retry: Retry) -> bool:
        """Run a call, several times if it raises; return whether it moved to the event loop."""
        while True:
            try:
                return self._once(run, frame, retry)
            except Exception as error:  # noqa: PERF203 - each attempt has one
                pause_s = retry.pause_after(error)
                if pause_s is None:
                    raise
                log.warning("%s", retry.describe(error, pause_s))
                if run.interrupted.wait(pause_s):
                    raise RunInterrupt from error

    def _once(self, run: Run, frame: Frame, retry: Retry) -> bool:
        try:
            run.enter_thread()
            result = self._operations.invoke(run.call, frame)
            if inspect.iscoroutine(result) or inspect.isasyncgen(result):
                run.leave_thread()
                self._start_async(run, result, frame, retry)
                return True
            if inspect.isgenerator(result):
                self._stream(run, result, retry)
            else:
                retry.is_answering = True
                self._finish(run, result)
        finally:
            run.leave_thread()
        return False

    def _stream(self, run: Run, items: Iterator[Any], retry: Retry) -> None:
        """Send the items of a generator as they are made, or keep them all."""
        if run.call.keep:
            made = list(items)
            retry.is_answering = True
            self._finish(run, made)
            return
        if retry.is_first:
            with run.shielded():
                run.outbox.item(Frame(Kind.STREAM))
        try:
            for item in items:
                retry.is_answering = True
                frame = _item(run.call, item)
                with run.shielded():
                    run.outbox.item(frame)
        except OutboxClosedError as error:
            raise RunInterrupt from error
        finally:
            cast("Any", items).close()
        run.leave_thread()
        self._close(run, None)

    # -- coroutines ---------------------------------------------------------------------------

    def _start_async(self, run: Run, awaitable: Any, frame: Frame, retry: Retry) -> None:
        """Let the event loop run a coroutine or an async generator to its end."""
        loop = self._running_loop()
        loop.call_soon_threadsafe(
            lambda: run.set_task(loop.create_task(self._run_async(run, awaitable, frame, retry)))
        )

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the one event loop of all coroutines, which runs from the first one on."""
        with self._starting_loop:
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=loop.run_forever, name="runhouse-async", daemon=True
                )
                thread.start()
            return self._loop

    async def _run_async(self, run: Run, awaitable: Any, frame: Frame, retry: Retry) -> None:
        current.set(run)
        try:
            while True:
                try:
                    await self._once_async(run, awaitable, retry)
                    break
                except Exception as error:  # noqa: PERF203 - each attempt has one
                    pause_s = retry.pause_after(error)
                    if pause_s is None:
                        raise
                    log.warning("%s", retry.describe(error, pause_s))
                    await asyncio.sleep(pause_s)
                    awaitable = self._operations.invoke(run.call, frame)
        except BaseException as error:  # noqa: BLE001 - everything goes to the caller
            self._fail(run, error)
        finally:
            self._leave(run)

    async def _once_async(self, run: Run, awaitable: Any, retry: Retry) -> None:
        if inspect.isasyncgen(awaitable) and not run.call.keep:
            await self._stream_async(run, awaitable, retry)
            return
        if inspect.isasyncgen(awaitable):
            made: Any = [item async for item in awaitable]
        else:
            made = await awaitable
        retry.is_answering = True
        self._finish(run, made)

    async def _stream_async(self, run: Run, items: AsyncIterator[Any], retry: Retry) -> None:
        if retry.is_first:
            await asyncio.to_thread(run.outbox.item, Frame(Kind.STREAM))
        async for item in items:
            retry.is_answering = True
            await asyncio.to_thread(run.outbox.item, _item(run.call, item))
        self._close(run, None)

    # -- ending -------------------------------------------------------------------------------

    def _finish(self, run: Run, result: Any) -> None:
        """Send the result, or keep it and tell where."""
        if run.call.keep:
            self._objects.check_room()
            kept = {"type": type_name(result), "attributes": attribute_names(result)}
            run.leave_thread()
            self._objects.put(run.call.keep, result)
            self._close(run, None, {"kept": run.call.keep, **kept})
        else:
            pickled = dump_value(run.call, result, "the result")
            run.leave_thread()
            self._close(run, pickled)

    def _drain(self, run: Run) -> None:
        """Send the last output of a run whose code has come back: from now on, it is others'."""
        if self.capture is not None:
            self.capture.drain()
        run.may_write = False

    def _close(
        self, run: Run, pickled: Pickled | None, meta: dict[str, object] | None = None
    ) -> None:
        self._drain(run)
        body, buffers = (pickled.body, pickled.buffers) if pickled is not None else (b"", ())
        if pickled is not None:
            meta = by_value_meta(pickled)
        self._note_last(run)
        run.finish(Frame(Kind.RESULT, meta or {}, body, buffers), "done")

    def _fail(self, run: Run, error: BaseException) -> None:
        """Send what the user's code raised."""
        self._drain(run)
        meta, pickled = dump_error(error)
        self._note_last(run)
        frame = Frame(Kind.ERROR, meta, pickled.body, pickled.buffers)
        run.finish(frame, "failed", f"{meta['type']}: {meta['message']}")

    def _note_last(self, run: Run) -> None:
        """Let the next call on the connection say that this one's answer has arrived."""
        if isinstance(run.outbox, Mailbox):
            connection = run.outbox.connection
            if connection is not None:
                connection.finished_run = run.id


def _item(call: Call, value: object) -> Frame:
    pickled = dump_value(call, value, "an item of the generator")
    return Frame(Kind.ITEM, by_value_meta(pickled), pickled.body, pickled.buffers)
