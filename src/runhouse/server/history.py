"""How busy this node has been: a sample every few seconds, while anybody may want to know."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from runhouse.server.nodes import cpu_seconds, gpus, memory

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_S = 5.0
_KEPT = 720  # an hour
_WATCHED_S = 600.0

Sample = tuple[float, float, int, "list[float]", "list[int]"]
"""Time in seconds since the epoch; how busy the CPUs were since the sample before, in percent; used
memory in bytes; for each GPU, how busy it is in percent; for each GPU, its used memory in bytes."""


class History:
    """Keep samples of the last hour; taken while calls run, or somebody has looked lately."""

    def __init__(self, is_used: Callable[[], object]) -> None:
        """Start without any.

        Args:
            is_used: Tells whether calls run.
        """
        self._is_used = is_used
        self._samples: deque[Sample] = deque(maxlen=_KEPT)
        self._cpu = cpu_seconds()
        self._looked_at = -_WATCHED_S

    async def run(self) -> None:
        """Take samples, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            if self._is_used() or time.monotonic() - self._looked_at < _WATCHED_S:
                await self._sample()

    async def since(self, after: float) -> list[Sample]:
        """Return the samples after a time; the first one who asks gets one at once."""
        is_new = time.monotonic() - self._looked_at >= _WATCHED_S
        self._looked_at = time.monotonic()
        if is_new:
            await self._sample()
        return [sample for sample in self._samples if sample[0] > after]

    async def _sample(self) -> None:
        (busy, total), (was_busy, was_total) = cpu_seconds(), self._cpu
        self._cpu = busy, total
        percent = 100 * (busy - was_busy) / (total - was_total) if total > was_total else 0.0
        whole, available = memory()
        found = await gpus()
        self._samples.append(
            (
                time.time(),
                round(min(100.0, max(0.0, percent)), 1),
                whole - available,
                [gpu.utilization_percent for gpu in found],
                [gpu.memory_used_bytes for gpu in found],
            )
        )
