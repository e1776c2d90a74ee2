"""Numbers, window and repetitions of what goes to the agent."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runhouse.ssh.ssm.incoming import Incoming
from runhouse.ssh.ssm.messages import INPUT, OUTPUT, Message, PayloadType, Stamp, parse
from runhouse.ssh.ssm.outgoing import WINDOW, Outgoing, Timeout


def numbers(messages: list[bytes]) -> list[int]:
    return [parse(raw).sequence for raw in messages]


@pytest.fixture
def outgoing() -> Outgoing:
    return Outgoing(Stamp())


def test_data_is_cut_into_messages_of_1024_bytes(outgoing: Outgoing) -> None:
    data = bytes(range(256)) * 9
    sent = [parse(raw) for raw in outgoing.send(data, 0)]
    assert [len(each.payload) for each in sent] == [1024, 1024, 256]
    assert b"".join(each.payload for each in sent) == data
    assert [each.sequence for each in sent] == [0, 1, 2]
    assert {(each.kind, each.payload_type) for each in sent} == {(INPUT, PayloadType.DATA)}


def test_a_handshake_stays_whole(outgoing: Outgoing) -> None:
    (raw,) = outgoing.send_whole(bytes(5000), 0, PayloadType.HANDSHAKE_RESPONSE)
    assert (parse(raw).sequence, len(parse(raw).payload)) == (0, 5000)
    assert numbers(outgoing.send(b"x", 0)) == [1]


def test_the_window_is_room_for_data(outgoing: Outgoing) -> None:
    assert outgoing.room == WINDOW * 1024
    outgoing.send(bytes(10 * 1024), 0)
    assert outgoing.room == (WINDOW - 10) * 1024
    outgoing.send(bytes(outgoing.room), 0)
    assert outgoing.room == 0
    outgoing.acknowledge([3, 4], 0)
    assert outgoing.room == 2 * 1024
    assert outgoing.missing == WINDOW - 2


def test_messages_out_of_order_are_not_lost(outgoing: Outgoing) -> None:
    outgoing.send(bytes(8 * 1024), 0)
    assert outgoing.acknowledge([1, 2, 0, 4, 3], 0.01) == []


def test_a_message_that_others_overtake_is_sent_again_at_once(outgoing: Outgoing) -> None:
    first = outgoing.send(bytes(9 * 1024), 0)
    assert outgoing.acknowledge([0, 2, 3], 0.01) == []
    assert outgoing.acknowledge([4], 0.01) == [first[1]]
    assert outgoing.acknowledge([5, 6, 7, 8], 0.01) == []  # they were sent before the repetition
    assert outgoing.acknowledge([1], 0.02) == []
    assert (outgoing.missing, outgoing.repeated) == (0, 1)


def test_nothing_is_sent_while_it_may_not(outgoing: Outgoing) -> None:
    outgoing.send(bytes(9 * 1024), 0)
    assert outgoing.acknowledge([5, 6, 7, 8], 0.01, repeat=False) == []
    assert numbers(outgoing.acknowledge([4], 0.02)) == [0, 1, 2, 3]


def test_silence_repeats_some_of_what_is_late(outgoing: Outgoing) -> None:
    outgoing.send(bytes(100 * 1024), 0)
    assert outgoing.late(0.19) == []
    assert numbers(outgoing.late(0.21)) == list(range(64))
    assert numbers(outgoing.late(0.22)) == list(range(64, 100))
    assert outgoing.late(0.23) == []
    outgoing.acknowledge([70], 0.42)
    assert outgoing.late(0.43) == []  # it is not silent


def test_what_is_refused_in_silence_is_never_given_up(outgoing: Outgoing) -> None:
    (raw,) = outgoing.send(b"banner", 0)
    for tenth in range(3, 300, 3):
        assert outgoing.late(tenth / 10) == [raw]
    assert outgoing.missing == 1


def test_what_is_always_overtaken_leaves_the_window_and_is_forgotten(outgoing: Outgoing) -> None:
    outgoing.send(b"seen, its acknowledgement was lost", 0)
    now, repeated, number = 0.0, 0, 1
    while outgoing.missing and now < 60:
        now += 0.05
        outgoing.send(bytes(5 * 1024), now)
        again = outgoing.acknowledge(list(range(number, number + 5)), now) + outgoing.late(now)
        number += 5
        assert set(numbers(again)) <= {0}
        repeated += len(again)
    assert outgoing.missing == 0
    assert repeated == outgoing.repeated == 9
    assert 1 < now < 10


def test_a_slow_message_takes_no_room_and_may_still_arrive(outgoing: Outgoing) -> None:
    outgoing.send(b"late", 0)
    for step in range(5):
        outgoing.send(bytes(4 * 1024), step)
        outgoing.acknowledge([4 * step + each for each in range(1, 5)], step)
    assert (outgoing.missing, outgoing.room) == (1, WINDOW * 1024)
    outgoing.acknowledge([0], 6)
    assert outgoing.missing == 0
    assert outgoing.late(100) == []


def test_a_new_connection_gets_all_that_is_missing_in_order(outgoing: Outgoing) -> None:
    outgoing.send(bytes(12 * 1024), 0)
    outgoing.acknowledge([0, 2, 5, 6, 7], 0.01)  # 1, 3 and 4 are sent again, after 11
    assert numbers(outgoing.resumed(5)) == [1, 3, 4, 8, 9, 10, 11]
    assert outgoing.late(5.1) == []
    outgoing.acknowledge([1, 3, 4, 8, 9, 10, 11], 5.2)
    assert outgoing.resumed(6) == []


def test_acknowledgements_of_nothing_do_no_harm(outgoing: Outgoing) -> None:
    outgoing.send(b"x", 0)
    assert outgoing.acknowledge([5, -1, 0, 0], 0) == []
    assert outgoing.missing == 0


def test_the_timeout_follows_the_round_trips() -> None:
    timeout = Timeout()
    assert timeout.seconds == pytest.approx(0.2)
    for _ in range(100):
        timeout.observe(0.001)
    assert timeout.seconds == pytest.approx(0.1)  # no less: the agent may be busy
    for _ in range(100):
        timeout.observe(0.5)
    assert timeout.seconds == pytest.approx(0.51, abs=0.01)
    timeout.observe(60)
    assert timeout.seconds == pytest.approx(1)


@given(st.permutations(range(30)), st.lists(st.integers(0, 29), max_size=20))
def test_incoming_is_in_order_and_each_once(order: list[int], again: list[int]) -> None:
    incoming = Incoming()
    came: list[int] = []
    for number in [*order[:15], *again, *order, *again]:
        message = Message(OUTPUT, number, b"", 1, b"")
        assert incoming.accepts(message)
        came += [each.sequence for each in incoming.take(message)]
    assert came == list(range(30))
    assert incoming.is_complete


def test_incoming_holds_no_more_than_the_agent_would() -> None:
    incoming = Incoming()
    assert not incoming.accepts(Message(OUTPUT, 100_000, b"", 1, b""))
    assert incoming.accepts(Message(OUTPUT, 99_999, b"", 1, b""))
    assert incoming.take(Message(OUTPUT, 5, b"", 1, b"")) == []
    assert not incoming.is_complete
