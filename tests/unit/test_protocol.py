"""Nobody keeps a connection without a request, and what is no HTTP is answered with a problem."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from runhouse.server.protocol import Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
LONG = REQUEST.replace(b"3", b"1000")


class Hasty(Protocol):
    """Wait for a short time."""

    head_timeout_s = 0.2


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer without a look at the body."""
    del scope, receive
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body", "body": b"no"})


async def take(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body, once all of it has come."""
    del scope
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def begin(scope: Any, receive: Any, send: Any) -> None:
    """Begin to answer, and go on until the client has gone."""
    del scope
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        continue


def served(app: Any, path: Path, talk: Callable[[Streams], Awaitable[None]]) -> None:
    """Serve an application with hasty connections, and talk over one of them."""

    async def run() -> None:
        config, state = uvicorn.Config(app, log_config=None, lifespan="off"), ServerState()
        config.load()
        loop = asyncio.get_running_loop()
        async with await loop.create_unix_server(lambda: Hasty(config, state, {}), str(path)):
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                await asyncio.wait_for(talk((reader, writer)), 10)
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    asyncio.run(run())


@pytest.mark.parametrize("begin", [b"", b"G", REQUEST[:-2]])
def test_whoever_sends_no_whole_head_is_let_go(tmp_path: Path, begin: bytes) -> None:
    async def talk(streams: Streams) -> None:
        reader, writer = streams
        writer.write(begin)
        assert await reader.read() == b""

    served(take, tmp_path / "s", talk)


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nX: ", LONG])
def test_a_byte_now_and_then_gains_no_time(tmp_path: Path, begun: bytes) -> None:
    async def talk(streams: Streams) -> None:
        reader, writer = streams
        writer.write(begun)
        if begun == LONG:  # answered before its body has come
            assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 401 ")
        ends = asyncio.ensure_future(reader.read())
        while not ends.done():
            writer.write(b"x")
            await asyncio.wait({ends}, timeout=0.05)
        # Closed with a byte unread, it may be reset.
        assert isinstance(ends.exception(), ConnectionError) or ends.result() == b""

    served(refuse, tmp_path / "s", talk)


def test_a_body_that_somebody_waits_for_may_take_its_time(tmp_path: Path) -> None:
    async def talk(streams: Streams) -> None:
        reader, writer = streams
        for _ in range(2):
            writer.write(REQUEST)
            for byte in (b"a", b"b", b"c"):
                await asyncio.sleep(0.15)  # a client that is slow
                writer.write(byte)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(3) == b"abc"

    served(take, tmp_path / "s", talk)


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 99_999],
)
def test_what_is_no_http_is_answered_with_a_problem(tmp_path: Path, sent: bytes) -> None:
    async def talk(streams: Streams) -> None:
        reader, writer = streams
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"content-type: application/problem+json\r\n" in head
        size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        problem = json.loads(await reader.readexactly(size))
        assert (problem["type"], problem["status"]) == ("urn:runhouse:bad-request", 400)

    served(take, tmp_path / "s", talk)


def test_nonsense_within_an_answer_ends_the_connection(tmp_path: Path) -> None:
    async def talk(streams: Streams) -> None:
        reader, writer = streams
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        await reader.readuntil(b"one\r\n")
        writer.write(b"no chunk\r\n")
        assert await reader.read() == b""

    served(begin, tmp_path / "s", talk)
