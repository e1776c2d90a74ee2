"""A session without any I/O: handshake, flow control, end; and bad networks of every kind."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from runhouse.ssh.ssm.channel import FORWARDING_DOCUMENT, Channel
from runhouse.ssh.ssm.messages import DamagedMessageError
from tests.rigs.sagemakerbox import ssmproto as agent
from tests.rigs.sagemakerbox.gateway import Frames, frame

_BINARY, _TEXT, _CLOSE, _PING, _PONG = 0x82, 0x81, 0x88, 0x89, 0x8A


class Peer:
    """Be gateway and agent, with a network in between that does what it is told."""

    def __init__(self, channel: Channel, **network: float) -> None:
        self.channel = channel
        self.now = 0.0
        self.came = b""
        self.frames: list[tuple[int, bytes]] = []
        self.messages: list[agent.Message] = []
        self.acknowledged: list[int] = []
        self._seen: set[int] = set()
        self._network = network
        self._random = random.Random(network.get("seed", 0))  # noqa: S311
        self._receiver = agent.Receiver()
        self.outbox = agent.Outbox(window=10_000)
        self._reader = Frames()
        self.connect()

    def connect(self) -> None:
        self._reader = Frames()
        self.channel.connected("the token", self.now)

    def say(self, kind: str, payload: bytes = b"") -> None:
        self.channel.feed(frame(_BINARY, agent.pack(kind, payload)), self.now)

    def tell(self, payload: bytes, payload_type: int = agent.T_OUTPUT) -> None:
        self.deliver(self.outbox.put(payload, payload_type))

    def deliver(self, raw: bytes) -> None:
        """Bring a message to the client, or not, or twice."""
        self.channel.feed(b"".join(frame(_BINARY, each) for each in self._passed([raw])), self.now)

    def _passed(self, messages: list[bytes]) -> list[bytes]:
        chance, network = self._random.random, self._network
        passed: list[bytes] = []
        for raw in messages:
            if chance() < network.get("loss", 0):
                continue
            at = len(passed)
            if chance() < network.get("reorder", 0):
                at = self._random.randint(0, at)
            passed.insert(at, raw)
            if chance() < network.get("dup", 0):
                passed.append(raw)
        return passed

    def take(self, *, hold: bool = False) -> None:
        """Read what the client has sent, and answer."""
        found = self._reader.feed(self.channel.to_send(hold=hold))
        self.frames += [each for each in found if each[0] != _BINARY]
        for raw in self._passed([payload for first, payload in found if first == _BINARY]):
            message = agent.Message(raw)
            if message.kind == agent.ACK:
                self.acknowledged.append(message.acknowledged())
                self.outbox.acked(message.acknowledged())
                continue
            self.messages.append(message)
            if message.seq not in self._seen:  # the agent never does it again
                self.deliver(message.ack())
            self._seen.add(message.seq)
            for each in self._receiver.take(message):
                self.came += each.payload if each.payload_type == agent.T_OUTPUT else b""

    def shake_hands(self, *actions: dict[str, Any]) -> dict[str, Any]:
        """Ask for things, and return the answer."""
        asked = {"AgentVersion": "3.3.0.0", "RequestedClientActions": actions or (_port("Port"),)}
        self.tell(json.dumps(asked).encode(), agent.T_HANDSHAKE_REQUEST)
        self.take()
        answer: dict[str, Any] = json.loads(self.messages[-1].payload)
        assert self.messages[-1].payload_type == agent.T_HANDSHAKE_RESPONSE
        return answer

    def complete(self) -> None:
        self.tell(b'{"HandshakeTimeToComplete":1,"CustomerMessage":""}', agent.T_HANDSHAKE_COMPLETE)
        self.take()


def _port(kind: str) -> dict[str, Any]:
    return {"ActionType": "SessionType", "ActionParameters": {"SessionType": kind}}


@pytest.fixture
def peer() -> Peer:
    return Peer(Channel())


def test_the_token_is_shown_first(peer: Peer) -> None:
    peer.take()
    ((first, text),) = peer.frames
    assert first == _TEXT
    shown = json.loads(text)
    assert shown["TokenValue"] == "the token"
    assert shown["MessageSchemaVersion"] == "1.0"
    assert shown["ClientVersion"] == "1.2.764.0"


def test_a_port_session_begins(peer: Peer) -> None:
    assert peer.channel.room == 0  # the agent throws away what comes before it is complete
    answer = peer.shake_hands()
    assert answer["ClientVersion"] == "1.2.764.0"
    (done,) = answer["ProcessedClientActions"]
    assert (done["ActionType"], done["ActionStatus"], done["Error"]) == ("SessionType", 1, "")
    assert answer["Errors"] == []
    assert not peer.channel.ready
    peer.complete()
    assert peer.channel.ready
    assert peer.channel.room > 1_000_000


def test_agents_do_not_multiplex_for_a_forwarding_session() -> None:
    answer = Peer(Channel(FORWARDING_DOCUMENT)).shake_hands()
    assert [int(part) for part in answer["ClientVersion"].split(".")] < [1, 1, 70]


@pytest.mark.parametrize(
    ("action", "status", "said"),
    [
        (_port("Standard_Stream"), 2, "sessions of type Port, not Standard_Stream"),
        ({"ActionType": "KMSEncryption", "ActionParameters": {}}, 2, "does not encrypt with KMS"),
        ({"ActionType": "Dance"}, 3, "no action Dance"),
    ],
)
def test_what_is_not_supported_is_declined(
    peer: Peer, action: dict[str, Any], status: int, said: str
) -> None:
    answer = peer.shake_hands(_port("Port"), action)
    fine, declined = answer["ProcessedClientActions"]
    assert fine["ActionStatus"] == 1
    assert declined["ActionStatus"] == status
    assert said in declined["Error"]
    assert answer["Errors"] == [declined["Error"]]


def test_a_note_of_the_account_is_kept_for_the_user(peer: Peer) -> None:
    peer.shake_hands()
    peer.tell(b'{"CustomerMessage":"Be good."}', agent.T_HANDSHAKE_COMPLETE)
    assert peer.channel.notes == ["Be good."]


def test_bytes_go_both_ways(peer: Peer) -> None:
    peer.shake_hands()
    peer.complete()
    peer.channel.write(b"to the port" * 1000, peer.now)
    peer.take()
    assert peer.came == b"to the port" * 1000
    peer.tell(b"from the port")
    assert peer.channel.output() == [b"from the port"]
    assert peer.channel.output() == []


def test_acknowledgements_wait_for_company_but_not_for_long(peer: Peer) -> None:
    peer.shake_hands()
    peer.complete()
    done = len(peer.acknowledged)
    peer.tell(b"a question")
    peer.take(hold=True)
    assert peer.channel.holds
    assert len(peer.acknowledged) == done
    peer.channel.write(b"an answer", peer.now)
    peer.take(hold=True)
    assert len(peer.acknowledged) == done + 1
    for _ in range(16):
        peer.tell(b"much")
    peer.take(hold=True)
    assert len(peer.acknowledged) == done + 17
    peer.tell(b"the last")
    peer.take()
    assert not peer.channel.holds


def test_what_comes_twice_is_acknowledged_twice(peer: Peer) -> None:
    peer.shake_hands()
    peer.complete()
    raw = peer.outbox.put(b"once")
    peer.deliver(raw)
    peer.deliver(raw)
    peer.take()
    assert peer.acknowledged[-2:] == [2, 2]
    assert peer.channel.output() == [b"once"]


def test_nothing_but_acknowledgements_is_sent_while_paused(peer: Peer) -> None:
    peer.shake_hands()
    peer.complete()
    peer.channel.write(b"before", peer.now)
    peer.channel.to_send()  # lost
    peer.say(agent.PAUSE)
    assert peer.channel.room == 0
    peer.now += 5
    peer.channel.tick(peer.now)
    peer.tell(b"still heard")
    before = len(peer.messages)
    peer.take()
    assert len(peer.messages) == before
    assert peer.acknowledged[-1] == 2
    peer.say(agent.START)
    assert peer.channel.room > 0
    peer.channel.tick(peer.now)
    peer.take()
    assert peer.came == b"before"


def test_the_agent_says_why_it_closes(peer: Peer) -> None:
    assert peer.channel.closed is None
    peer.say(agent.CLOSED, b'{"Output":"Unable to connect to specified port"}')
    assert peer.channel.closed == "Unable to connect to specified port"


@pytest.mark.parametrize("text", [b"{}", b'{"Output":""}', b'{"Output":null}', b"[]"])
def test_the_agent_need_not_say_why(peer: Peer, text: bytes) -> None:
    peer.say(agent.CLOSED, text)
    assert peer.channel.closed == ""


def test_an_end_with_something_missing_is_told(peer: Peer) -> None:
    peer.shake_hands()
    peer.complete()
    peer.outbox.put(b"lost")
    peer.tell(b"came")
    peer.say(agent.CLOSED, b"{}")
    assert "before all of its output" in (peer.channel.closed or "")


def test_acknowledgements_are_given_again_on_a_new_connection(peer: Peer) -> None:
    peer.shake_hands()
    peer.complete()
    for number in range(5):
        peer.tell(b"%d" % number)
    peer.channel.to_send()  # lost with the connection
    assert len(peer.outbox.unacked) == 5
    peer.connect()
    peer.take()
    assert not peer.outbox.unacked
    assert peer.channel.output() == [b"0", b"1", b"2", b"3", b"4"]


def test_an_end_is_asked_for_after_all_data(peer: Peer) -> None:
    peer.shake_hands()
    peer.complete()
    peer.channel.write(b"the last words", peer.now)
    peer.channel.finish(peer.now)
    peer.take()
    *_, words, flag = peer.messages
    assert words.payload == b"the last words"
    assert (flag.payload_type, flag.payload) == (agent.T_FLAG, b"\0\0\0\2")
    assert flag.seq == words.seq + 1


def test_pings_are_answered_and_sent(peer: Peer) -> None:
    peer.channel.feed(frame(_PING, b"are you there"), peer.now)
    peer.channel.ping()
    peer.take()
    assert peer.frames[1:] == [(_PONG, b"are you there"), (_PING, b"keepalive")]


def test_a_closing_frame_is_the_end_of_the_connection_only(peer: Peer) -> None:
    peer.channel.feed(frame(_CLOSE, b"\x03\xf0token"), peer.now)
    assert peer.channel.lost
    assert peer.channel.closed is None
    peer.connect()
    assert not peer.channel.lost


@pytest.mark.parametrize("kind", [agent.CLOSED, agent.ACK])
def test_text_that_is_no_json_is_damage(peer: Peer, kind: str) -> None:
    with pytest.raises(DamagedMessageError):
        peer.say(kind, b"what?")


def test_messages_of_unknown_types_are_passed_over(peer: Peer) -> None:
    raw = bytearray(agent.pack(agent.INPUT, b"x"))
    peer.channel.feed(frame(_BINARY, bytes(raw)), peer.now)
    raw[4:36] = b"agent_session_state".ljust(32)
    peer.channel.feed(frame(_BINARY, bytes(raw)), peer.now)
    assert peer.channel.output() == []


@given(
    seed=st.integers(0, 10**6),
    loss=st.sampled_from([0, 0.01, 0.1, 0.2]),
    dup=st.sampled_from([0, 0.2]),
    reorder=st.sampled_from([0, 0.3]),
    cut=st.sampled_from([0, 0.1]),
)
@settings(max_examples=40, deadline=None)
def test_all_arrives_once_and_in_order_over_any_network(
    seed: int, loss: float, dup: float, reorder: float, cut: float
) -> None:
    peer = Peer(Channel())
    peer.shake_hands()
    peer.complete()
    peer._network = {"loss": loss, "dup": dup, "reorder": reorder}
    chance = random.Random(seed)  # noqa: S311
    up, down = chance.randbytes(60_000), chance.randbytes(60_000)
    to_write, to_tell, got = up, down, b""
    channel = peer.channel
    for _ in range(20_000):
        peer.now += 0.01
        if to_write:
            size = min(chance.randint(1, 3000), channel.room)
            channel.write(to_write[:size], peer.now)
            to_write = to_write[size:]
        if to_tell:
            peer.tell(to_tell[:700])
            to_tell = to_tell[700:]
        for sequence, (_, raw) in list(peer.outbox.unacked.items())[:1]:
            if chance.random() < 0.2:
                peer.outbox.unacked[sequence] = (0.0, raw)
                peer.deliver(raw)
        channel.tick(peer.now)
        peer.take()
        got += b"".join(channel.output())
        if to_write and chance.random() < cut:
            channel.to_send()  # lost with the connection
            peer.connect()
        if (peer.came, got) == (up, down):
            break
    assert peer.came == up
    assert got == down
