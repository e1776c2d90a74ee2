"""What comes from the agent: in order, each message once, whatever happened on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runhouse.ssh.ssm.messages import Message

_MOST_HELD = 100_000  # as agent and plugin


class Incoming:
    """Put numbered messages in order."""

    def __init__(self) -> None:
        """Expect number 0."""
        self.expected = 0
        self._held: dict[int, Message] = {}

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing before what has come."""
        return not self._held

    def accepts(self, message: Message) -> bool:
        """Tell whether a message is to be acknowledged: all but those there is no room for.

        One that has come before is acknowledged again, as the first acknowledgement may be lost.
        """
        return message.sequence - self.expected < _MOST_HELD

    def take(self, message: Message) -> Sequence[Message]:
        """Take a message, and return those whose turn has come."""
        sequence = message.sequence
        if sequence == self.expected and not self._held:
            self.expected = sequence + 1
            return (message,)
        if sequence >= self.expected:
            self._held[sequence] = message
        turn = []
        while (following := self._held.pop(self.expected, None)) is not None:
            self.expected += 1
            turn.append(following)
        return turn
