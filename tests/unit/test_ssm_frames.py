"""Websocket frames, against the library `websockets` on the other side."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st
from websockets.frames import Frame, Opcode as TheirOpcode
from websockets.protocol import SERVER, Protocol, State

from runhouse.ssh.ssm.frames import FrameReader, FramingError, Opcode, write_frames

SIZES = st.sampled_from([0, 1, 125, 126, 127, 1144, 65535, 65536])
PAYLOADS = st.lists(SIZES.map(lambda size: bytes(range(256)) * (size // 256) + b"x" * (size % 256)))


def sent_by_server(opcode: TheirOpcode, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin=fin).serialize(mask=False)


@given(PAYLOADS, st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING]))
@settings(max_examples=30)
def test_a_server_reads_what_is_written(payloads: list[bytes], opcode: Opcode) -> None:
    server = Protocol(SERVER, state=State.OPEN, max_size=None)
    if opcode is Opcode.PING:
        payloads = [payload[:125] for payload in payloads]
    server.receive_data(write_frames(opcode, payloads))
    received = server.events_received()
    assert [(each.opcode, bytes(each.data)) for each in received if isinstance(each, Frame)] == [
        (TheirOpcode(opcode), payload) for payload in payloads
    ]
    assert len(received) == len(payloads)


@given(PAYLOADS, st.data())
@settings(max_examples=50)
def test_what_a_server_writes_is_read_in_any_pieces(
    payloads: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(sent_by_server(TheirOpcode.BINARY, payload) for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = FrameReader()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert found == [(Opcode.BINARY, payload) for payload in payloads]


def test_one_byte_at_a_time() -> None:
    stream = sent_by_server(TheirOpcode.BINARY, b"a" * 300)
    stream += sent_by_server(TheirOpcode.BINARY, b"b" * 70_000)
    reader = FrameReader()
    found = [each for byte in stream for each in reader.feed(bytes([byte]))]
    assert [len(payload) for _, payload in found] == [300, 70_000]


def test_pieces_become_one_message_with_a_ping_in_between() -> None:
    stream = (
        sent_by_server(TheirOpcode.BINARY, b"one ", fin=False)
        + sent_by_server(TheirOpcode.CONT, b"two ", fin=False)
        + sent_by_server(TheirOpcode.PING, b"alive?")
        + sent_by_server(TheirOpcode.CONT, b"three")
        + sent_by_server(TheirOpcode.TEXT, b"four")
    )
    assert FrameReader().feed(stream) == [
        (Opcode.PING, b"alive?"),
        (Opcode.BINARY, b"one two three"),
        (Opcode.TEXT, b"four"),
    ]


def test_every_frame_has_a_mask_of_its_own() -> None:
    frames = write_frames(Opcode.BINARY, [bytes(40)] * 200)
    size = len(frames) // 200
    masks = {frames[at + 2 : at + 6] for at in range(0, len(frames), size)}
    assert len(masks) > 190  # 4 random bytes may agree by chance


HALF = b"\x00\x7f" + (1 << 23).to_bytes(8, "big") + bytes(1 << 23)


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"\x82\x81abcd-", "masked"),
        (b"\xc2\x01-", "nobody has asked for"),
        (b"\x83\x01-", "nobody has asked for"),
        (b"\x09\x01-", "control frame"),
        (b"\x89\x7e\x00\x80" + bytes(128), "control frame"),
        (b"\x80\x01-", "not in order"),
        (b"\x02\x01-\x82\x01-", "not in order"),
        (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), "longer than any message"),
        (
            b"\x02\x01-" + HALF * 2,
            "longer",
        ),
    ],
)
def test_what_no_server_may_send_is_refused(stream: bytes, said: str) -> None:
    with pytest.raises(FramingError, match=said):
        FrameReader().feed(stream)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(stream: bytes) -> None:
    try:
        FrameReader().feed(stream)
    except FramingError as error:
        assert str(error)
