"""What a run tells, as the answer to an HTTP request, while it happens.

A result is answered as it is, a generator as one JSON value for each line, and everything, output
too, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). The
client's hang-up ends a call that is not recorded.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from runhouse.server.problem import ProblemError, problem_of
from runhouse.wire.messages import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import Message, Receive, Scope, Send

    from runhouse.server.conversation import Conversation, Event

PICKLE_TYPE = "application/vnd.runhouse.pickle"
EVENTS_TYPE = "text/event-stream"
LINES_TYPE = "application/x-ndjson"
_JSON_TYPE = "application/json"
_BEFORE, _AFTER = b'{"serialization":"pickle","data":"', b'"}'
# The first byte of a pickle; no JSON text begins with it.
_PICKLE_MARK = 0x80
# An event stream begins after this long even when there is no event, so that errors before it have
# a status of their own; then something is sent this often, so that nobody thinks it is dead.
_FIRST_S = 1.0
_BEAT_S = 15.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say how a run is answered.

    Attributes:
        events: As server-sent events.
        logs: With the run's output, among those events.
        wrapped: Values are pickles, sent as Base64 text in a JSON object.
        raw: A result that is a pickle is wanted as it is.
        mixed: Values may be JSON or pickles: somebody else has made the call.
        background: Only that the run has begun.
        instead: What is answered instead of the result.
        wait_s: How long to wait for something to answer; None: as long as it takes.
        info: Tells about the run, when it has not ended in time, and after its last output.
    """

    events: bool = False
    logs: bool = False
    wrapped: bool = False
    raw: bool = False
    mixed: bool = False
    background: bool = False
    instead: dict[str, object] = field(default_factory=dict)
    wait_s: float | None = None
    info: Callable[[], Awaitable[dict[str, object]]] | None = None


class Answer:
    """Answer one request with what a run tells."""

    def __init__(self, conversation: Conversation, wanted: Wanted) -> None:
        """Store the run; it is let go of when the answer has been sent."""
        self._conversation = conversation
        self._wanted = wanted
        self._started = False
        self._streams = False
        self._send: Send = _nowhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client hangs up before.

        Raises:
            ProblemError: The run has failed before anything was answered.
        """
        del scope
        self._send = send
        work = asyncio.ensure_future(self._answer())
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            self._conversation.close()
        if not work.cancelled():
            work.result()

    async def _answer(self) -> None:
        """Answer with what comes first.

        An answer that cannot be finished is not: the client sees that it was cut off.
        """
        if self._wanted.events:
            await self._events()
            return
        try:
            event = await asyncio.wait_for(self._outcome(), self._wanted.wait_s)
        except asyncio.TimeoutError:
            await self._json(202, await self._info())
            return
        if event.kind == Kind.STARTED:
            await self._json(202, event.meta, f"/runs/{self._conversation.run_id}")
        elif self._streams:
            await self._lines(event)
        elif "kept" in event.meta:
            kept = {"key": event.meta["kept"], "type": event.meta.get("type", "")}
            await self._json(201, kept, f"/objects/{kept['key']}")
        elif self._wanted.instead:
            await self._json(200, self._wanted.instead)
        else:
            await self._value(event)

    async def _info(self) -> dict[str, object]:
        return await self._wanted.info() if self._wanted.info is not None else {}

    # -- events of the run --------------------------------------------------------------------

    async def _outcome(self) -> Event:
        """Wait for an item or the end; output is left out.

        Raises:
            ProblemError: The run has failed.
        """
        while True:
            event = await self._conversation.next()
            _see_that_it_is_none(event)
            self._streams |= event.kind == Kind.STREAM
            if event.kind in (Kind.ITEM, Kind.RESULT) or (
                event.kind == Kind.STARTED and self._wanted.background
            ):
                return event

    async def _next(self) -> Event:
        """Wait for the next event, and keep an event stream alive meanwhile."""
        waiting = asyncio.ensure_future(self._conversation.next())
        try:
            while not waiting.done():
                timeout_s = _BEAT_S if self._started else _FIRST_S
                await asyncio.wait({waiting}, timeout=timeout_s)
                if not waiting.done():
                    await self._chunk(b":\n\n")
            return waiting.result()
        finally:
            waiting.cancel()

    async def _body(self, event: Event, end: bytes = b"") -> AsyncIterator[bytes]:
        """Yield what is sent for a value, with what ends it in the last piece.

        Raises:
            ProblemError: It is a pickle, and no pickle was asked for; or the worker has ended.
        """
        pieces = self._conversation.pieces()
        if self._wanted.wrapped:
            yield _BEFORE
            async for data in pieces:
                yield base64.b64encode(data)
            yield _AFTER + end
            return
        last = b""
        async for data in pieces:
            if last:
                yield last
            elif self._wanted.mixed and data[0] == _PICKLE_MARK:
                self._see_that_it_can_be_sent(event)
            last = data
        yield last + end

    def _see_that_it_can_be_sent(self, event: Event) -> None:
        if self._wanted.raw and event.kind == Kind.RESULT and not event.buffers_size:
            return
        raise ProblemError(
            "not-acceptable",
            "The result is a pickle, since its call came from Python. Fetch it with the Python "
            f"client, or a small one with Accept: {PICKLE_TYPE}.",
        )

    # -- answers ------------------------------------------------------------------------------

    async def _value(self, event: Event) -> None:
        """Answer with a result, as it comes."""
        size = event.size + event.buffers_size
        if self._wanted.wrapped:
            size = len(_BEFORE) + 4 * -(-size // 3) + len(_AFTER)
        try:
            async for data in self._body(event):
                if not self._started:
                    is_pickle = self._wanted.raw and data[0] == _PICKLE_MARK
                    await self._start(200, PICKLE_TYPE if is_pickle else _JSON_TYPE, size)
                await self._chunk(data)
            await self._finish()
        except ProblemError:
            if not self._started:
                raise

    async def _lines(self, event: Event) -> None:
        """Answer with one line for each item; one that cannot be made cuts the answer off."""
        try:
            while event.kind == Kind.ITEM:
                async for data in self._body(event, b"\n"):
                    if not self._started:
                        await self._start(200, LINES_TYPE)
                    await self._chunk(data)
                event = await self._outcome()
            await self._finish()
        except ProblemError:
            if not self._started:
                raise

    async def _events(self) -> None:
        """Answer with server-sent events."""
        only_logs, number = self._wanted.info is not None, ""
        try:
            while True:
                event = await self._next()
                last = event.kind in (Kind.RESULT, Kind.ERROR, Kind.UNKNOWN)
                if last and only_logs:
                    number = self._number(event)
                    break
                _see_that_it_is_none(event)
                if event.kind == Kind.LOG and self._wanted.logs:
                    entries = cast("list[Any]", event.meta["entries"])
                    shown = [entry_of(*entry) for entry in entries]
                    await self._event("log", shown, self._number(event))
                elif event.kind in (Kind.ITEM, Kind.RESULT) and not only_logs:
                    await self._event_of_value(event)
                    if last:
                        await self._finish()
                        return
        except ProblemError as problem:
            if not only_logs:
                if not self._started:
                    raise
                await self._event("error", problem.body())
                await self._finish()
                return
        await self._event("end", await self._info(), number)
        await self._finish()

    def _number(self, event: Event) -> str:
        """Return the field by which a client takes a recorded run up again (`Last-Event-ID`)."""
        return f"id: {event.number}\n" if self._conversation.recorded else ""

    async def _event(self, name: str, data: object, number: str = "") -> None:
        text = json.dumps(data, separators=(",", ":"))
        await self._chunk(f"event: {name}\n{number}data: {text}\n\n".encode())

    async def _event_of_value(self, event: Event) -> None:
        number = self._number(event)
        if "kept" in event.meta:
            await self._event("result", event.meta, number)
            return
        name = "item" if event.kind == Kind.ITEM else "result"
        if not event.size:  # the end of a generator
            await self._event(name, None, number)
            return
        begin = f"event: {name}\n{number}data: ".encode()
        async for data in self._body(event, b"\n\n"):
            await self._chunk(begin + data)
            begin = b""

    # -- ASGI ---------------------------------------------------------------------------------

    async def _json(self, status: int, value: object, location: str = "") -> None:
        body = json.dumps(value, separators=(",", ":")).encode()
        await self._start(status, _JSON_TYPE, len(body), location)
        await self._chunk(body)
        await self._finish()

    async def _start(
        self, status: int, media_type: str, size: int | None = None, location: str = ""
    ) -> None:
        headers = {
            "content-type": media_type,
            "cache-control": "no-store",
            "runhouse-run": self._conversation.run_id,
        }
        if size is not None:
            headers["content-length"] = str(size)
        if location:
            headers["location"] = location
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._started = True
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _chunk(self, data: bytes) -> None:
        if not self._started:
            await self._start(200, EVENTS_TYPE)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _finish(self) -> None:
        if not self._started:
            await self._start(200, LINES_TYPE)
        await self._send({"type": "http.response.body", "body": b""})


async def _nowhere(_: Message) -> None:
    """Send nothing."""


async def _until_gone(receive: Receive) -> None:
    """Wait until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        continue


def _see_that_it_is_none(event: Event) -> None:
    """Raise the failure that an event tells about.

    Raises:
        ProblemError: It does.
    """
    if event.kind == Kind.UNKNOWN:
        raise ProblemError("run-not-found", "The worker does not know the run any more.")
    if event.kind == Kind.ERROR:
        raise problem_of(event.meta)


def entry_of(name: str, what: Any) -> dict[str, object]:
    """Return a piece of output for clients that know no Python."""
    if name != "record":
        return {"stream": name, "text": what}
    text = f"{what['levelname']}:{what['name']}:{what['msg']}\n"
    return {"stream": "record", "text": text, "record": what}
