"""What the pump makes of gateways and agents that say nothing, or not what they should."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import pytest
from websockets.frames import CloseCode
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection, serve

from runhouse.errors import SSMUnavailableError
from runhouse.ssh.ssm import pump as pumps
from runhouse.ssh.ssm.link import Link
from runhouse.ssh.ssm.pump import Pump
from runhouse.ssh.ssm.service import Service, Ticket
from tests.rigs.sagemakerbox import ssmproto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from websockets.http11 import Request


class Account:
    """Stand for AWS: it starts and resumes whatever is asked for, at one address."""

    target = "mi-1"

    def __init__(self, port: int) -> None:
        self.ticket = Ticket("s-1", f"ws://127.0.0.1:{port}/", "token")
        self.calls: list[str] = []

    def start(self, document: str, port: int) -> Ticket:
        self.calls.append(f"start {document} {port}")
        return self.ticket

    def resume(self, session_id: str) -> Ticket:
        self.calls.append(f"resume {session_id}")
        return self.ticket

    def terminate(self, session_id: str) -> None:
        self.calls.append(f"terminate {session_id}")

    def sign(self, url: str) -> dict[str, str]:
        assert url == self.ticket.url
        return {"Authorization": "signed"}

    def proxy(self, url: str) -> None:
        assert url == self.ticket.url


@contextmanager
def gateway(handler: Callable[[ServerConnection], None]) -> Iterator[Account]:
    with serve(handler, "127.0.0.1", 0, compression=None, close_timeout=0.1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Account(server.socket.getsockname()[1])
        finally:
            server.shutdown()
            thread.join()


def upgraded(listening: socket.socket) -> tuple[socket.socket, ServerProtocol]:
    """Take a connection, and make it a websocket."""
    connection, _ = listening.accept()
    protocol = ServerProtocol()
    protocol.receive_data(connection.recv(65536))
    for event in protocol.events_received():
        protocol.send_response(protocol.accept(cast("Request", event)))
    connection.sendall(b"".join(protocol.data_to_send()))
    return connection, protocol


@contextmanager
def deaf_gateway() -> Iterator[Account]:
    """Upgrade connections, and never say anything then, not even to pings."""
    kept: list[socket.socket] = []

    def run(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                kept.append(upgraded(listening)[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run, args=(listening,))
        thread.start()
        yield Account(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in kept:
        connection.close()


def failed(account: Account, *, connect_s: float = 5, resume_s: float = 5) -> SSMUnavailableError:
    """Carry a session with nothing to send, and return the error of its end."""
    (source, writing), (reading, sink) = os.pipe(), os.pipe()
    pump = Pump(
        cast("Service", account),
        source=source,
        sink=sink,
        connect_timeout_s=connect_s,
        resume_timeout_s=resume_s,
    )
    try:
        with pytest.raises(SSMUnavailableError) as raised:
            pump.run()
    finally:
        for descriptor in (source, writing, reading, sink):
            os.close(descriptor)
    return raised.value


def wait_for_the_end(connection: ServerConnection) -> None:
    for _ in connection:
        continue


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PING_AFTER_S", "_SILENCE_S", "_IDLE_LOOK_S", "_FIRST_PAUSE_S", "_FAREWELL_S"):
        monkeypatch.setattr(pumps, name, 0.02)


def test_an_agent_that_never_begins_is_told() -> None:
    with gateway(wait_for_the_end) as account:
        error = failed(account, connect_s=0.2)
    assert error.code == "NoHandshake"
    assert "did not begin the session within 0.2 s" in str(error)
    assert account.calls == ["start AWS-StartSSHSession 22", "terminate s-1"]


def test_a_gateway_that_falls_silent_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pumps, "_UNHEARD", 2)
    with deaf_gateway() as account:
        error = failed(account)
    assert error.code == "Refused"
    assert "was silent for" in str(error)
    assert account.calls[1:] == ["resume s-1", "resume s-1", "terminate s-1"]


def closed(why: str) -> bytes:
    return ssmproto.pack(ssmproto.CLOSED, json.dumps({"Output": why}).encode())


def test_what_is_said_last_is_told_although_sending_has_failed_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sends, gone = threading.Semaphore(0), threading.Event()

    class SlowLink(Link):
        """Be overtaken by the end of the connection while it sends."""

        sent = 0

        def send(self, data: bytes = b"") -> None:
            self.sent += 1
            if self.sent > 1:
                sends.release()
                assert gone.wait(5)
            super().send(data)

    def end_abruptly(listening: socket.socket) -> None:
        connection, protocol = upgraded(listening)
        assert sends.acquire(timeout=5)
        protocol.send_binary(closed("Session terminated by user"))
        connection.sendall(b"".join(protocol.data_to_send()))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        gone.set()

    monkeypatch.setattr(pumps, "Link", SlowLink)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=end_abruptly, args=(listening,))
        thread.start()
        account = Account(listening.getsockname()[1])
        error = failed(account)
        thread.join()
    assert error.code == "ChannelClosed"
    assert "The session was ended: Session terminated by user." in str(error)
    assert account.calls == ["start AWS-StartSSHSession 22"]


def test_a_reader_that_is_slow_gets_all_of_a_session_that_has_ended() -> None:
    pieces = [bytes([number % 256]) * 1024 for number in range(3000)]

    def say_all(connection: ServerConnection) -> None:
        for number, piece in enumerate(pieces):
            connection.send(ssmproto.pack(ssmproto.OUTPUT, piece, number, ssmproto.T_OUTPUT))
        connection.send(closed(""))

    (source, writing), (reading, sink) = os.pipe(), os.pipe()
    with gateway(say_all) as account, open(reading, "rb") as arrived:
        pump = Pump(cast("Service", account), source=source, sink=sink)

        def carry() -> None:
            pump.run()
            os.close(sink)

        thread = threading.Thread(target=carry)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it waits for the reader"
        assert arrived.read() == b"".join(pieces)
        thread.join()
    os.close(source)
    os.close(writing)


def test_a_connection_that_does_not_come_back_is_told() -> None:
    heard: list[str | bytes] = []

    def hang_up(connection: ServerConnection) -> None:
        heard.append(connection.recv())
        connection.send(b"x" * 10)  # a word, but no message
        connection.close(CloseCode.GOING_AWAY)

    with gateway(hang_up) as account:
        error = failed(account)
    assert error.code == "Refused"
    assert "10 bytes are no message" in str(error)
    assert account.calls[-1] == "terminate s-1"
    assert all(isinstance(each, str) and "token" in each for each in heard)


def test_nobody_at_the_address_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    account = Account(port)
    error = failed(account, connect_s=0.1)
    assert error.code == "ConnectionLost"
    assert f"no connection to 127.0.0.1:{port}" in str(error)
    assert "resume s-1" in account.calls
