"""What comes from the agent: in order, each message once, whatever happened on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.ssh.ssm.messages import Message

_MOST_HELD = 100_000  # as agent and plugin


class Incoming:
    """Put numbered messages in order."""

    def __init__(self) -> None:
        """Expect number 0."""
        self.expected = 0
        self._held: dict[int, Message] = {}

    def accepts(self, message: Message) -> bool:
        """Tell whether a message is to be acknowledged: all but those there is no room for.

        One that has come before is acknowledged again, as the first acknowledgement may be lost.
        """
        return message.sequence - self.expected < _MOST_HELD

    def take(self, message: Message) -> Iterator[Message]:
        """Take a message, and yield those whose turn has come."""
        sequence = message.sequence
        if sequence == self.expected and not self._held:
            self.expected = sequence + 1
            yield message
            return
        if sequence >= self.expected:
            self._held[sequence] = message
        while (following := self._held.pop(self.expected, None)) is not None:
            self.expected += 1
            yield following
