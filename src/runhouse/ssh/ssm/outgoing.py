"""What goes to the agent: numbered, kept until it is acknowledged, and sent again when it is lost.

A message counts as lost when several that were sent after it have been acknowledged, or when
nothing was acknowledged for the retransmission time-out, which follows the round-trip times as in
agent and plugin. One that is still missing after some repetitions no longer takes room in the
window and is repeated ever more slowly, then forgotten: the agent never acknowledges a message a
second time, so when its acknowledgement is lost with a connection, none will come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runhouse.ssh.ssm.messages import INPUT, LONGEST_PAYLOAD, PayloadType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.ssh.ssm.messages import Stamp

WINDOW: Final = 4096
_OVERTAKEN: Final = 3  # so many later messages acknowledged: lost, not only out of order
_PROMPT: Final = 5  # so many times it is sent before it waits longer and longer
_LAST: Final = 14
_MOST_LATE: Final = 64  # repeated at once
_FIRST_TIMEOUT_S: Final = 0.2
_SHORTEST_TIMEOUT_S: Final = 0.1
_LONGEST_TIMEOUT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0


class Timeout:
    """Follow the round-trip times (RFC 6298, with the constants of agent and plugin)."""

    def __init__(self) -> None:
        """Begin with what agent and plugin begin with."""
        self.seconds = _FIRST_TIMEOUT_S
        self._mean = 0.1
        self._variation = 0.0

    def observe(self, round_trip_s: float) -> None:
        """Take note of a round trip."""
        self._variation += (abs(self._mean - round_trip_s) - self._variation) / 4
        self._mean += (round_trip_s - self._mean) / 8
        seconds = self._mean + max(0.01, 4 * self._variation)
        self.seconds = min(_LONGEST_TIMEOUT_S, max(_SHORTEST_TIMEOUT_S, seconds))


@dataclass(slots=True)
class _Sent:
    """A message on its way: its bytes, and when it was sent last and how often."""

    raw: bytes
    order: int
    at: float
    times: int = 1


class Outgoing:
    """Number the messages of one session and decide when each is sent."""

    def __init__(self, stamp: Stamp) -> None:
        """Begin with number 0."""
        self._stamp = stamp
        self._sequence = 0
        self._order = 0
        self._flying: dict[int, _Sent] = {}  # in the order in which they were sent last
        self._slow: dict[int, _Sent] = {}
        self._newest = -1  # the latest sent of those that were acknowledged
        self._progress = 0.0  # when something was acknowledged last
        self.timeout = Timeout()
        self.repeated = 0

    @property
    def room(self) -> int:
        """How many bytes of data may be sent now."""
        return max(0, WINDOW - len(self._flying)) * LONGEST_PAYLOAD

    @property
    def missing(self) -> int:
        """How many messages are not acknowledged."""
        return len(self._flying) + len(self._slow)

    def send(self, data: bytes, now: float) -> list[bytes]:
        """Return the messages for some data."""
        messages = []
        pack, sequence, order = self._stamp.pack, self._sequence, self._order
        for at in range(0, len(data), LONGEST_PAYLOAD):
            raw = pack(
                INPUT,
                data[at : at + LONGEST_PAYLOAD],
                sequence=sequence,
                payload_type=PayloadType.DATA,
            )
            self._flying[sequence] = _Sent(raw, order, now)
            sequence += 1
            order += 1
            messages.append(raw)
        self._sequence, self._order = sequence, order
        return messages

    def send_whole(self, data: bytes, now: float, payload_type: int) -> list[bytes]:
        """Return one message for some data, however long, as the handshake needs it."""
        raw = self._stamp.pack(INPUT, data, sequence=self._sequence, payload_type=payload_type)
        self._flying[self._sequence] = _Sent(raw, self._order, now)
        self._sequence += 1
        self._order += 1
        return [raw]

    def acknowledge(self, sequence: int, now: float) -> None:
        """Take note that a message has arrived."""
        self._progress = now
        sent = self._flying.pop(sequence, None)
        if sent is None:
            self._slow.pop(sequence, None)
            return
        if sent.order > self._newest:
            self._newest = sent.order
            if sent.times == 1:  # of one that was repeated nobody knows which one this answers
                self.timeout.observe(now - sent.at)

    def overtaken(self, now: float) -> list[bytes]:
        """Return the messages to repeat because later ones have arrived."""
        lost = []
        for sequence, sent in self._flying.items():
            if sent.order > self._newest - _OVERTAKEN:
                break
            lost.append(sequence)
        return list(self._repeat(lost, now)) if lost else []

    def late(self, now: float) -> list[bytes]:
        """Return the messages to repeat because their time is up."""
        limit = now - self.timeout.seconds
        lost: list[int] = []
        if self._progress <= limit:
            for sequence, sent in self._flying.items():
                if sent.at > limit or len(lost) == _MOST_LATE:
                    break
                lost.append(sequence)
        messages = list(self._repeat(lost, now)) if lost else []
        for sequence, sent in list(self._slow.items()):
            if now >= sent.at + self._wait_s(sent):
                sent.times += 1
                sent.at = now
                messages.append(sent.raw)
                if sent.times > _LAST:
                    del self._slow[sequence]
        return messages

    def resumed(self, now: float) -> list[bytes]:
        """Return all that is not acknowledged, for a new connection, in order."""
        waiting = {**self._slow, **self._flying}
        self._flying, self._slow = {}, {}
        self._newest = self._order - 1
        for sequence in sorted(waiting):
            sent = waiting[sequence]
            if sent.times <= _LAST:
                self._flying[sequence] = _Sent(sent.raw, self._order, now, sent.times + 1)
                self._order += 1
        self.repeated += len(self._flying)
        return [sent.raw for sent in self._flying.values()]

    def next_s(self, now: float) -> float | None:
        """Return how long it is until something may be late; None when nothing is on its way."""
        waits = [sent.at + self._wait_s(sent) for sent in self._slow.values()]
        if self._flying:
            oldest = next(iter(self._flying.values())).at
            waits.append(max(oldest, self._progress) + self.timeout.seconds)
        return max(0.0, min(waits) - now) if waits else None

    def _wait_s(self, sent: _Sent) -> float:
        return float(min(_LONGEST_WAIT_S, self.timeout.seconds * 2 ** (sent.times - _PROMPT)))

    def _repeat(self, lost: list[int], now: float) -> Iterator[bytes]:
        for sequence in lost:
            sent = self._flying.pop(sequence)
            sent.order, sent.at = self._order, now
            sent.times += 1
            self._order += 1
            self.repeated += 1
            (self._flying if sent.times <= _PROMPT else self._slow)[sequence] = sent
            yield sent.raw
