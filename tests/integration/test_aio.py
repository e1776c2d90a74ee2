"""Calls from an event loop block nothing, and survive what calls from threads survive."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.errors import WorkerDiedError
from tests.integration import sample
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.rigs.cut_line import CutLine

pytestmark = pytest.mark.timeout(60)


async def slow_count(number: int, pause_s: float) -> AsyncIterator[int]:
    """Yield numbers, slowly."""
    for value in range(number):
        await asyncio.sleep(pause_s)
        yield value


async def slow_add(a: int, b: int, seconds: float) -> int:
    """Add two numbers, slowly."""
    await asyncio.sleep(seconds)
    return a + b


async def fail_later(code: int) -> None:
    """Raise after a while."""
    await asyncio.sleep(0)
    raise sample.SampleError(code, hint="later")


async def echo(value: bytes) -> bytes:
    """Return the argument."""
    return value


async def its_loop() -> int:
    """Return which event loop it runs on."""
    return id(asyncio.get_running_loop())


def test_the_first_coroutines_of_a_worker_share_one_event_loop() -> None:
    for number in range(3):
        call = rh.function(its_loop).to(rh.here, env=f"first-{number}")
        with ThreadPoolExecutor(8) as threads:
            loops = set(threads.map(lambda _, call=call: asyncio.run(call()), range(8)))
        assert len(loops) == 1


def test_the_event_loop_goes_on_meanwhile() -> None:
    add = rh.function(slow_add).to(rh.here)

    async def main() -> tuple[list[int], int]:
        ticks = 0
        waiting = asyncio.gather(*(add(n, 1, 0.5) for n in range(20)))
        while not waiting.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return await waiting, ticks

    began = time.monotonic()
    results, ticks = asyncio.run(main())
    assert results == list(range(1, 21))
    assert ticks > 10
    assert time.monotonic() - began < 8, "twenty calls of half a second went side by side"


def test_large_values_go_both_ways() -> None:
    remote = rh.function(echo).to(rh.here)
    value = bytes(range(256)) * 50_000
    assert asyncio.run(remote(value)) == value


def test_exceptions_arrive_in_their_type() -> None:
    remote = rh.function(fail_later).to(rh.here)
    with pytest.raises(sample.SampleError) as caught:
        asyncio.run(remote(4))
    assert (caught.value.code, caught.value.hint) == (4, "later")


def test_a_worker_that_dies_is_told() -> None:
    async def die() -> None:
        sample.leave(5)

    with pytest.raises(WorkerDiedError) as caught:
        asyncio.run(rh.function(die).to(rh.here, env="async-doomed")())
    assert caught.value.exit_code == 5


def test_a_generator_that_is_left_early_ends_there() -> None:
    remote = rh.function(slow_count).to(rh.here)

    async def main() -> list[int]:
        seen = []
        items = remote(10_000, 0.01)
        async for value in items:
            seen.append(value)
            if value == 2:
                break
        await items.aclose()  # type: ignore[attr-defined]
        return seen

    assert asyncio.run(main()) == [0, 1, 2]
    wait_until(lambda: rh.here.status().running == 0)


def test_a_cut_line_is_mended(rig: CutLine) -> None:
    rig.define("add_later")
    rig.define("count_later")

    async def main() -> tuple[int, list[int]]:
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, rig.cutter.cut)
        results = [await rig.call_async("add_later", n, 1) for n in range(10)]
        items = await rig.call_async("count_later", 2000)
        received = []
        async for value in items:
            received.append(value)
            if value % 600 == 100:
                rig.cutter.cut()
        return sum(results), received

    total, received = asyncio.run(main())
    assert total == 55
    assert received == list(range(2000))
    assert rig.cutter.connections > 2
