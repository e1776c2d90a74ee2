"""What goes to the agent: numbered, kept until it is acknowledged, and sent again when it is lost.

A message counts as lost when several that were sent after it have been acknowledged, or when
nothing was acknowledged for the retransmission time-out, which follows the round-trip times as in
agent and plugin. One that is overtaken again and again no longer takes room in the window, is
repeated ever more slowly, and is forgotten in the end: the agent never acknowledges a message a
second time, so when its acknowledgement is lost with a connection, none will come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from runhouse.ssh.ssm.messages import INPUT, LONGEST_PAYLOAD, PayloadType

if TYPE_CHECKING:
    from runhouse.ssh.ssm.messages import Stamp

WINDOW: Final = 4096
_OVERTAKEN: Final = 3  # so many later messages acknowledged: lost, not only out of order
_PROMPT: Final = 5  # so many times it is repeated at once; then it waits longer and longer
_LAST: Final = 8  # so many times it was overtaken: it has arrived
_MOST_LATE: Final = 64  # repeated at once
_FIRST_TIMEOUT_S: Final = 0.2
_SHORTEST_TIMEOUT_S: Final = 0.1
_LONGEST_TIMEOUT_S: Final = 1.0


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


class _Sent(NamedTuple):
    """A message on its way.

    Attributes:
        raw: Its bytes.
        order: Which one it was of all that were sent, when it was sent last.
        at: When that was.
        times: How often it was sent.
        overtaken: How often later ones arrived while it did not.
    """

    raw: bytes
    order: int
    at: float
    times: int
    overtaken: int


class Outgoing:
    """Number the messages of one session and decide when each is sent."""

    def __init__(self, stamp: Stamp) -> None:
        """Begin with number 0."""
        self._stamp = stamp
        self._sequence = 0
        self._order = 0
        self._flying: dict[int, _Sent] = {}  # in the order in which they were sent last
        self._slow: dict[int, _Sent] = {}
        self._slow_due = 0.0
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
        pieces = [data[at : at + LONGEST_PAYLOAD] for at in range(0, len(data), LONGEST_PAYLOAD)]
        return self._send(pieces, now, PayloadType.DATA)

    def send_whole(self, data: bytes, now: float, payload_type: int) -> list[bytes]:
        """Return one message for some data, however long, as the handshake needs it."""
        return self._send([data], now, payload_type)

    def _send(self, payloads: list[bytes], now: float, payload_type: int) -> list[bytes]:
        sequence, order = self._sequence, self._order
        messages = self._stamp.pack_all(INPUT, payloads, sequence, payload_type)
        for count, raw in enumerate(messages):
            self._flying[sequence + count] = _Sent(raw, order + count, now, 1, 0)
        self._sequence += len(messages)
        self._order += len(messages)
        return messages

    def acknowledge(self, sequences: list[int], now: float, *, repeat: bool = True) -> list[bytes]:
        """Take note that messages have arrived.

        Args:
            sequences: Their numbers.
            now: The time.
            repeat: Whether anything may be sent now.

        Returns:
            The messages to repeat, as they were sent earlier than these and have not arrived.
        """
        latest: _Sent | None = None
        flying = self._flying
        for sequence in sequences:
            sent = flying.pop(sequence, None)
            if sent is None:
                self._slow.pop(sequence, None)
            elif sent.order > self._newest:
                self._newest, latest = sent.order, sent
        self._progress = now
        if latest is not None and latest.times == 1:  # else nobody knows what this answers
            self.timeout.observe(now - latest.at)
        lost = []
        for sequence, sent in flying.items() if repeat else ():
            if sent.order > self._newest - _OVERTAKEN:
                break
            lost.append(sequence)
        return self._repeat(lost, now, overtaken=1) if lost else []

    def late(self, now: float) -> list[bytes]:
        """Return the messages to repeat because their time is up."""
        limit = now - self.timeout.seconds
        lost: list[int] = []
        if self._progress <= limit:
            for sequence, sent in self._flying.items():
                if sent.at > limit or len(lost) == _MOST_LATE:
                    break
                lost.append(sequence)
        messages = self._repeat(lost, now) if lost else []
        if self._slow and now >= self._slow_due:
            messages += self._repeat_slow(now)
        return messages

    def resumed(self, now: float) -> list[bytes]:
        """Return all that is not acknowledged, for a new connection, in order."""
        waiting = {**self._slow, **self._flying}
        self._slow = {}
        self._flying = {sequence: waiting[sequence] for sequence in sorted(waiting)}
        self._newest = self._order - 1
        self._progress = now
        return self._repeat(list(self._flying), now)

    def _repeat(self, lost: list[int], now: float, *, overtaken: int = 0) -> list[bytes]:
        messages = []
        for sequence in lost:
            sent = self._flying.pop(sequence)
            times = sent.overtaken + overtaken
            again = _Sent(sent.raw, self._order, now, sent.times + 1, times)
            self._order += 1
            if times < _PROMPT:
                self._flying[sequence] = again
            else:
                self._slow_due = min(self._slow_due, self._due(again)) if self._slow else 0.0
                self._slow[sequence] = again
            messages.append(sent.raw)
        self.repeated += len(messages)
        return messages

    def _due(self, sent: _Sent) -> float:
        """Return when a message that has been overtaken often is sent again."""
        return float(sent.at + self.timeout.seconds * 2 ** (sent.overtaken - _PROMPT))

    def _repeat_slow(self, now: float) -> list[bytes]:
        messages = []
        for sequence, sent in list(self._slow.items()):
            if now < self._due(sent):
                continue
            overtaken = sent.overtaken + (self._progress > sent.at)  # not while all is silent
            again = _Sent(sent.raw, self._order, now, sent.times + 1, overtaken)
            self._order += 1
            messages.append(sent.raw)
            if overtaken > _LAST:
                del self._slow[sequence]
            else:
                self._slow[sequence] = again
        self._slow_due = min(map(self._due, self._slow.values()), default=0.0)
        self.repeated += len(messages)
        return messages
