"""What SkyPilot says while it works: shown to the user, and listened to for reasons."""

from __future__ import annotations

import io
import re
import sys

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# AWS refuses with "An error occurred (CODE) when calling the OPERATION operation: TEXT".
_AWS_REASON = re.compile(r"An error occurred \(.*")
_REASON = re.compile(r".*(?:quota|limit ?exceeded|insufficient).*", re.IGNORECASE)
_QUOTA = re.compile(r"quota|limit ?exceeded|maxspotinstancecount", re.IGNORECASE)
# Two first launches in a region give the same rules to the group that SkyPilot makes there; AWS
# takes them once. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
_RACE = "InvalidPermission.Duplicate"
_MOST = 5


class Progress(io.TextIOBase):
    """Pass on to standard error what is written, and keep why clouds refuse.

    The reason is needed from here: what SkyPilot raises in the end only says that it has failed.

    Attributes:
        reasons: The last different ones.
    """

    def __init__(self) -> None:
        """Have heard nothing."""
        super().__init__()
        self.reasons: list[str] = []
        self._begun = ""

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Show a piece of text, and look at the lines that are whole."""
        sys.stderr.write(text)
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            said = plain(line)
            found = _AWS_REASON.search(said) or _REASON.search(said)
            if found is not None and found[0] not in self.reasons:
                self.reasons = [*self.reasons, found[0]][-_MOST:]
        return len(text)

    def flush(self) -> None:
        """Show what was written."""
        sys.stderr.flush()


def plain(text: str) -> str:
    """Return a text without colours, on one line."""
    return " ".join(_COLOURS.sub("", text).split())


def is_quota(reason: str) -> bool:
    """Tell whether a reason is that the account may not have so much."""
    return _QUOTA.search(reason) is not None


def is_race(reason: str) -> bool:
    """Tell whether a reason is that another launch did the same in this moment."""
    return _RACE in reason
