"""Opening a websocket, through TLS and proxies, and what is said when it cannot be had."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.server import ServerConnection, serve

from runhouse.ssh.ssm.frames import FrameReader, Opcode, write_frames
from runhouse.ssh.ssm.link import Link, LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_S = 5.0


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextmanager
def echoing(**options: Any) -> Iterator[int]:
    with serve(echo, "127.0.0.1", 0, compression=None, max_size=None, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(work: Callable[[socket.socket], None]) -> Iterator[int]:
    """Give the port of a server that does something with its one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    work(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            with suppress(OSError):
                socket.create_connection(listening.getsockname(), timeout=_S).close()
            thread.join()


def there_and_back(link: Link, payload: bytes) -> bytes:
    reader, found = FrameReader(), list[tuple[int, bytes]]()
    link.send(write_frames(Opcode.BINARY, [payload]))
    while not found:
        poll = select.poll()
        poll.register(link, select.POLLIN | (select.POLLOUT if link.backlog else 0))
        assert poll.poll(_S * 1000)
        link.send()
        found = reader.feed(link.receive())
    return found[0][1]


def test_bytes_go_there_and_back() -> None:
    with echoing() as port:
        link = Link(f"ws://127.0.0.1:{port}/a?b=c", {"X-Extra": "1"}, timeout_s=_S)
        assert there_and_back(link, b"hello") == b"hello"
        much = bytes(range(256)) * 20_000
        assert there_and_back(link, much) == much
        assert link.receive() == b""
        link.close()
        link.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    both = tmp_path / "both.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(tmp_path / "key")]
    words += ["-addext", "subjectAltName=DNS:localhost", "-out", str(tmp_path / "certificate")]
    subprocess.run(words, check=True, capture_output=True, timeout=_S)
    both.write_text((tmp_path / "key").read_text() + (tmp_path / "certificate").read_text())
    return both


def test_tls_is_checked_and_hides_nothing(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with echoing(ssl=context) as port:
        with pytest.raises(LinkError, match="self-signed certificate"):
            Link(f"wss://localhost:{port}/", {}, timeout_s=_S)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        link = Link(f"wss://localhost:{port}/", {}, timeout_s=_S)
        much = bytes(range(256)) * 12_000  # many records of TLS, which poll does not see
        assert there_and_back(link, much) == much
        link.close()
        with pytest.raises(LinkError, match="IP address mismatch"):
            Link(f"wss://127.0.0.1:{port}/", {}, timeout_s=_S)


def test_a_proxy_is_asked_for_the_way() -> None:
    asked: list[bytes] = []

    def proxy(client: socket.socket) -> None:
        asked.append(client.recv(4096))
        host, _, port = asked[0].split()[1].decode().rpartition(":")
        assert host == "localhost"
        with socket.create_connection(("127.0.0.1", int(port)), timeout=_S) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pairs = {client: server, server: client}
            while True:
                for each in select.select([client, server], [], [], _S)[0]:
                    data = each.recv(4096)
                    if not data:
                        return
                    pairs[each].sendall(data)

    with echoing() as port, answering(proxy) as at:
        way = f"http://127.0.0.1:{at}"
        link = Link(f"ws://localhost:{port}/", {}, timeout_s=_S, proxy=way)
        assert there_and_back(link, b"hello") == b"hello"
        link.close()
    assert asked[0].startswith(b"CONNECT localhost:")


def test_a_proxy_that_refuses_is_told() -> None:
    def proxy(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with answering(proxy) as at, pytest.raises(LinkError, match="407"):
        Link("ws://localhost:1/", {}, timeout_s=_S, proxy=f"http://127.0.0.1:{at}")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(LinkError, match=f"no connection to 127.0.0.1:{port}: .*refused"):
        Link(f"ws://127.0.0.1:{port}/", {}, timeout_s=_S)


def test_a_refusal_has_its_status_and_text() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nnever")

    with answering(refuse) as port, pytest.raises(LinkError, match="403: never") as raised:
        Link(f"ws://127.0.0.1:{port}/", {}, timeout_s=_S)
    assert raised.value.status == 403


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"x" * 70_000])
def test_what_is_no_web_server_is_told(answer: bytes) -> None:
    def ramble(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with answering(ramble) as port, pytest.raises(LinkError, match="did not"):
        Link(f"ws://127.0.0.1:{port}/", {}, timeout_s=_S)


def test_an_upgrade_without_proof_is_refused() -> None:
    def cheat(connection: socket.socket) -> None:
        connection.recv(4096)
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(head + b"Sec-WebSocket-Accept: no\r\n\r\n")

    with answering(cheat) as port, pytest.raises(LinkError, match="upgrade is wrong"):
        Link(f"ws://127.0.0.1:{port}/", {}, timeout_s=_S)


def test_silence_is_not_waited_for() -> None:
    done = threading.Event()

    def be_silent(connection: socket.socket) -> None:
        del connection
        done.wait(_S)

    with answering(be_silent) as port:
        with pytest.raises(LinkError, match="timed out"):
            Link(f"ws://127.0.0.1:{port}/", {}, timeout_s=0.2)
        done.set()


def test_an_end_is_told() -> None:
    hung_up = threading.Event()

    def hang_up(connection: ServerConnection) -> None:
        connection.socket.shutdown(socket.SHUT_RDWR)
        hung_up.set()

    with serve(hang_up, "127.0.0.1", 0, compression=None, close_timeout=0.1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        link = Link(f"ws://127.0.0.1:{port}/", {}, timeout_s=_S)
        assert hung_up.wait(_S)
        with pytest.raises(LinkError, match="ended the connection"):
            link.receive()
        link.close()
        server.shutdown()
        thread.join()


def test_what_came_before_an_end_is_not_lost(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    said = threading.Event()

    def say_and_hang_up(connection: ServerConnection) -> None:
        connection.send(b"the last word")
        connection.socket.shutdown(socket.SHUT_WR)
        said.set()

    with serve(
        say_and_hang_up, "127.0.0.1", 0, compression=None, close_timeout=0.1, ssl=context
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        link = Link(f"wss://localhost:{port}/", {}, timeout_s=_S)
        assert said.wait(_S)
        poll = select.poll()
        poll.register(link, select.POLLIN)
        assert poll.poll(_S * 1000)
        assert FrameReader().feed(link.receive()) == [(Opcode.BINARY, b"the last word")]
        with pytest.raises(LinkError):
            while poll.poll(_S * 1000):
                link.receive()
        link.close()
        server.shutdown()
        thread.join()
