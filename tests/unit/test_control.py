"""Server and worker understand each other, whatever a message holds."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from runhouse.wire import control

if TYPE_CHECKING:
    from collections.abc import Iterator

Pair = tuple[socket.socket, socket.socket]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Give both ends of a control socket, as the launcher makes them."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(10)
        theirs.settimeout(10)
        yield ours, theirs


def open_descriptors() -> int:
    """Return how many file descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


@given(st.dictionaries(st.text(max_size=10), json_values, max_size=5))
def test_any_message_arrives_as_it_was_sent(message: dict[str, object]) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        control.send(ours, message)
        assert control.receive(theirs) == (message, None)


def test_messages_keep_their_borders_and_their_order(pair: Pair) -> None:
    for number in range(20):
        control.send(pair[0], {"number": number})
    for number in range(20):
        assert control.receive(pair[1]) == ({"number": number}, None)


@pytest.mark.parametrize("size", [32 * 1024 - 11, 32 * 1024 - 10, 100_000, 5_000_000])
def test_a_message_of_any_length_arrives_and_leaves_nothing_open(pair: Pair, size: int) -> None:
    before = open_descriptors()
    message = {"text": "x" * size}
    control.send(pair[0], message)
    control.send(pair[0], {"next": True})
    assert control.receive(pair[1]) == (message, None)
    assert control.receive(pair[1]) == ({"next": True}, None)
    assert open_descriptors() == before


def test_a_connection_travels_with_its_message(pair: Pair) -> None:
    client, accepted = socket.socketpair()
    with client:
        with accepted:
            control.send(pair[0], {"op": "connection"}, accepted)
        received = control.receive(pair[1])
        assert received is not None
        message, descriptor = received
        assert message == {"op": "connection"}
        assert descriptor is not None
        with socket.socket(fileno=descriptor) as handed_over:
            client.sendall(b"hello")
            assert handed_over.recv(10) == b"hello"


def test_a_peer_that_has_closed_is_told_as_none_after_its_last_message(pair: Pair) -> None:
    control.send(pair[0], {"last": True})
    pair[0].close()
    assert control.receive(pair[1]) == ({"last": True}, None)
    assert control.receive(pair[1]) is None
    with pytest.raises(OSError, match="pipe"):
        control.send(pair[1], {"op": "state"})
    before = open_descriptors()
    with pytest.raises(OSError, match="pipe"):
        control.send(pair[1], {"text": "x" * 100_000})
    assert open_descriptors() == before


def test_a_socket_without_a_message_does_not_wait_when_it_must_not(pair: Pair) -> None:
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        control.receive(pair[1])


def test_a_worker_that_takes_no_messages_does_not_block_its_server(pair: Pair) -> None:
    pair[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        for _ in range(100_000):
            control.send(pair[0], {"text": "x" * 1000})
    assert control.receive(pair[1]) == ({"text": "x" * 1000}, None)


def test_what_json_cannot_hold_is_refused_before_anything_is_sent(pair: Pair) -> None:
    before = open_descriptors()
    with pytest.raises(TypeError):
        control.send(pair[0], {"value": object()})
    control.send(pair[0], {"next": True})
    assert control.receive(pair[1]) == ({"next": True}, None)
    assert open_descriptors() == before


def test_a_packet_that_is_no_message_is_an_error(pair: Pair) -> None:
    pair[0].send(b"long")
    with pytest.raises(json.JSONDecodeError):
        control.receive(pair[1])
