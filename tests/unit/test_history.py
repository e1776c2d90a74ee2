"""Samples of how busy a node is are taken while somebody may want them, and no others."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from runhouse.server import history, nodes
from runhouse.server.history import History


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take samples often, on a node without GPUs whose CPUs are busy for a quarter of the time."""
    monkeypatch.setattr(history, "INTERVAL_S", 0.001)
    ticks = itertools.count()
    monkeypatch.setattr(history, "cpu_seconds", lambda: (1.0 * (n := next(ticks)), 4.0 * n))
    monkeypatch.setattr(history, "memory", lambda: (100, 40))


async def turns(count: int) -> None:
    """Let the others work for a while."""
    for _ in range(count):
        await asyncio.sleep(0.001)


def test_whoever_looks_gets_a_sample_at_once() -> None:
    before = time.time()
    [(at, cpu, used, gpus, gpu_memory)] = asyncio.run(History(lambda: 0).since(0.0))
    assert before <= at <= time.time()
    assert (cpu, used, gpus, gpu_memory) == (25.0, 60, [], [])


def test_nothing_is_sampled_while_nobody_looks_and_nothing_runs() -> None:
    async def samples(running: int) -> int:
        kept = History(lambda: running)
        task = asyncio.create_task(kept.run())
        await turns(20)
        task.cancel()
        return len(kept._samples)

    assert asyncio.run(samples(0)) == 0
    assert asyncio.run(samples(1)) > 1


def test_only_what_is_new_is_told() -> None:
    async def follow() -> None:
        kept = History(lambda: 0)
        first = await kept.since(0.0)
        task = asyncio.create_task(kept.run())
        while len(kept._samples) < 4:
            await turns(1)
        task.cancel()
        later = await kept.since(first[-1][0])
        assert len(later) >= 3
        assert min(sample[0] for sample in later) > first[-1][0]
        assert await kept.since(later[-1][0]) == []

    asyncio.run(follow())


def test_the_time_of_processors_grows() -> None:
    busy, total = nodes.cpu_seconds()
    assert 0 < busy <= total
    assert nodes.cpu_seconds()[1] >= total


def test_where_proc_tells_nothing_there_is_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", fail)
    assert nodes.cpu_seconds() == (0.0, 0.0)
