"""What a job's containers print, read from CloudWatch while it is printed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from runhouse.clusters.accounts import AnswerError
from runhouse.clusters.boot import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.clusters.aws import Account

_GROUP = "/aws/sagemaker/TrainingJobs"
_PAUSE_S = 1.0
_ENDED = re.compile(rf"^{re.escape(ENDED)}(\d+)(?:: (.*))?$")
_MISSING = "ResourceNotFoundException"


class Ending(NamedTuple):
    """How the user's program has ended in a container, and why if it has failed."""

    code: int
    reason: str


@dataclass(slots=True)
class JobLogs:
    """Read the lines of a job's containers, each once.

    Attributes:
        account: The way to CloudWatch.
        job: The job's name.
        ends: How the user's program has ended, for each container in which it has.
    """

    account: Account
    job: str
    ends: dict[str, Ending] = field(default_factory=dict)
    _places: dict[str, str] = field(default_factory=dict)

    def read(self) -> Iterator[tuple[str, str]]:
        """Give host and text of the lines that have come since the last time."""
        for stream in self._streams():
            host = stream.rpartition("/")[2].rsplit("-", 1)[0]
            if "/" in stream.removeprefix(f"{self.job}/"):  # of the agent, not of the program
                continue
            for text in self._lines(stream):
                ended = _ENDED.match(text)
                if ended is not None:
                    self.ends[host] = Ending(int(ended[1]), ended[2] or "")
                yield host, text

    def follow(self, until: float | None) -> Iterator[tuple[str, str]]:
        """Give lines as they come; whoever reads them says when it is enough.

        A pair of two empty texts stands for a moment in which nothing came.

        Args:
            until: When to stop, in seconds of the monotonic clock; None: never.
        """
        while until is None or time.monotonic() < until:
            yield from self.read()
            yield "", ""
            time.sleep(_PAUSE_S)

    def _streams(self) -> list[str]:
        try:
            answer = self.account.try_to_ask(
                "logs",
                "describe_log_streams",
                logGroupName=_GROUP,
                logStreamNamePrefix=f"{self.job}/",
            )
        except AnswerError as error:
            if error.code == _MISSING:  # before the first job of an account prints something
                return []
            raise self.account.told(error, "Reading the log") from error
        return sorted(each["logStreamName"] for each in answer["logStreams"])

    def _lines(self, stream: str) -> Iterator[str]:
        while True:
            place = self._places.get(stream)
            answer = self.account.ask(
                "logs",
                "get_log_events",
                logGroupName=_GROUP,
                logStreamName=stream,
                startFromHead=True,
                **({"nextToken": place} if place is not None else {}),
            )
            self._places[stream] = answer["nextForwardToken"]
            for event in answer["events"]:
                yield event["message"]
            if not answer["events"]:
                return
