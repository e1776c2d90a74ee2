"""A client that talks nonsense loses its connection, and disturbs nobody else."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

import pytest

from runhouse.wire import frames
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind
from runhouse.wire.pickling import dumps
from tests.unit.hosting import Host, host as host, value
from tests.unit.wiring import read
from tests.waiting import wait_until


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"run_id": "one", "op": "call"},
        {"run_id": "one", "op": "call", "key": "count", "unheard_of": 1},
        {"run_id": 1, "op": "call", "key": "count"},
        {"run_id": "", "op": "call", "key": "count"},
        {"run_id": "../one", "op": "call", "key": "count"},
        {"run_id": "x" * 65, "op": "call", "key": "count"},
        {"run_id": "one", "op": "call", "key": None},
        {"run_id": "one", "op": "call", "key": "count", "retries": "3"},
        {"run_id": "one", "op": "call", "key": "count", "retry_on": "ValueError"},
        {"run_id": "one", "op": "call", "key": "count", "release": 5},
        {"run_id": "one", "op": "call", "key": "count", "release": [{}]},
        {"run_id": "one", "op": "call", "key": "count", "timeout_s": [1]},
        {"run_id": "one", "op": "call", "key": "count", "timeout_s": -1},
        {"run_id": "one", "op": "call", "key": "count", "timeout_s": float("nan")},
        {"run_id": "one", "op": "call", "key": "count", "grace_s": float("nan")},
    ],
)
def test_a_malformed_call_closes_its_connection_and_nothing_else(
    host: Host, meta: dict[str, Any]
) -> None:
    good, bad = host.connect(), host.connect()
    frames.send(bad, Frame(Kind.CALL, meta, dumps(((), {})).body))
    assert bad.recv(1) == b""
    host.send(good, Call("good", "call", "count"))
    assert value(read(good)) == 1
    assert host.runs.count == 1
    wait_until(lambda: not host.runs.running)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 19,
        struct.pack("!BxxxIIQ", 1, 2, 0, 0) + b"[]",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 99,
    ],
)
def test_bytes_that_are_no_frame_close_their_connection(host: Host, data: bytes) -> None:
    bad = host.connect()
    bad.sendall(data)
    bad.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionResetError):
        assert bad.recv(1) == b""
    assert value(host.ask(Call("good", "call", "count"))) == 1
