"""Messages of the data channel, against the box's own reading of the same public sources."""

from __future__ import annotations

import json
import uuid
from hashlib import sha256

import pytest
from hypothesis import given, strategies as st

from runhouse.ssh.ssm import messages
from runhouse.ssh.ssm.messages import (
    ACKNOWLEDGE,
    INPUT,
    OUTPUT,
    DamagedMessageError,
    PayloadType,
    Stamp,
    number_acknowledged,
    parse,
)
from tests.rigs.sagemakerbox import ssmproto

PAYLOADS = st.binary(max_size=2000)
NUMBERS = st.integers(0, 2**62)


def test_layout_is_that_of_the_public_sources() -> None:
    raw = Stamp().pack(INPUT, b"hello", sequence=7, payload_type=PayloadType.DATA)
    assert raw[:4] == (116).to_bytes(4, "big")
    assert raw[4:36] == b"input_stream_data" + b" " * 15
    assert raw[36:40] == (1).to_bytes(4, "big")
    assert raw[48:56] == (7).to_bytes(8, "big")
    assert raw[56:64] == bytes(8)
    assert raw[80:112] == sha256(b"hello").digest()
    assert raw[112:120] == (1).to_bytes(4, "big") + (5).to_bytes(4, "big")
    assert raw[120:] == b"hello"


@given(PAYLOADS, NUMBERS)
def test_the_agent_reads_what_is_packed(payload: bytes, sequence: int) -> None:
    there = ssmproto.Message(Stamp().pack(INPUT, payload, sequence=sequence, payload_type=1))
    assert (there.kind, there.seq, there.payload_type) == ("input_stream_data", sequence, 1)
    assert (there.payload, there.flags) == (payload, 0)


@given(PAYLOADS, NUMBERS)
def test_what_the_agent_packs_is_read(payload: bytes, sequence: int) -> None:
    here = parse(ssmproto.pack(ssmproto.OUTPUT, payload, seq=sequence, payload_type=1))
    assert (here.kind, here.sequence, here.payload_type) == (OUTPUT, sequence, 1)
    assert here.payload == payload


@given(NUMBERS)
def test_an_acknowledgement_names_the_message(sequence: int) -> None:
    raw = ssmproto.pack(ssmproto.OUTPUT, b"x", seq=sequence, payload_type=1)
    received = parse(raw)
    (answer,) = Stamp().acknowledge([received])
    there = ssmproto.Message(answer)
    assert (there.kind, there.seq, there.flags) == ("acknowledge", 0, 3)
    assert there.acknowledged() == sequence
    told = json.loads(there.payload)
    low, high = raw[64:72], raw[72:80]
    assert told == {
        "AcknowledgedMessageType": "output_stream_data",
        "AcknowledgedMessageId": str(uuid.UUID(bytes=high + low)),
        "AcknowledgedMessageSequenceNumber": sequence,
        "IsSequentialMessage": True,
    }


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_damaged_payload_is_noticed(payload: bytes, data: st.DataObject) -> None:
    raw = bytearray(Stamp().pack(OUTPUT, payload))
    raw[data.draw(st.integers(120, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedMessageError, match="digest"):
        parse(bytes(raw))


@given(st.binary(max_size=300), st.data())
def test_a_shortened_message_is_noticed(payload: bytes, data: st.DataObject) -> None:
    raw = Stamp().pack(OUTPUT, payload)
    with pytest.raises(DamagedMessageError, match="bytes"):
        parse(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    try:
        parse(raw)
    except DamagedMessageError as error:
        assert str(error)


def test_a_head_of_another_length_is_followed() -> None:
    raw = bytearray(Stamp().pack(OUTPUT, b"hello"))
    longer = raw[:116] + b"????" + raw[116:]
    longer[:4] = (120).to_bytes(4, "big")
    assert parse(bytes(longer)).payload == b"hello"


def test_types_may_be_padded_with_zeros() -> None:
    raw = bytearray(Stamp().pack(OUTPUT, b"hello"))
    raw[4:36] = b"output_stream_data".ljust(32, b"\0")
    assert parse(bytes(raw)).kind == OUTPUT


def test_the_gateways_own_signs_have_no_digest() -> None:
    raw = bytearray(Stamp().pack(messages.PAUSE, b"x"))
    raw[80:112] = bytes(32)
    assert parse(bytes(raw)).kind == messages.PAUSE


def test_ids_are_random_uuids_and_differ() -> None:
    first, second = Stamp(), Stamp()
    packed = [stamp.pack(INPUT, b"x") for stamp in (first, first, second, second)]
    ids = [uuid.UUID(bytes=raw[72:80] + raw[64:72]) for raw in packed]
    assert len(set(ids)) == 4
    assert {(each.version, each.variant) for each in ids} == {(4, uuid.RFC_4122)}
    assert packed[0][72:80] != packed[2][72:80]


def test_an_acknowledgement_may_be_written_in_any_way() -> None:
    told = {"IsSequentialMessage": True, "AcknowledgedMessageSequenceNumber": 12}
    for text in (json.dumps(told), json.dumps(told, indent=1), json.dumps(told, sort_keys=True)):
        assert number_acknowledged(text.encode()) == 12


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "12", '{"AcknowledgedMessageSequenceNumber":"x","a":1}']
)
def test_an_acknowledgement_of_nothing_is_damaged(text: str) -> None:
    with pytest.raises(DamagedMessageError, match="of what"):
        number_acknowledged(text.encode())


def test_acknowledgements_have_no_numbers_of_their_own() -> None:
    stamp = Stamp()
    received = [parse(stamp.pack(OUTPUT, b"x", sequence=number)) for number in range(3)]
    answers = [parse(raw) for raw in stamp.acknowledge(received)]
    assert [answer.kind for answer in answers] == [ACKNOWLEDGE] * 3
    assert [answer.sequence for answer in answers] == [0] * 3
    assert [number_acknowledged(answer.payload) for answer in answers] == [0, 1, 2]
