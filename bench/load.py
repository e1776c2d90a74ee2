"""Figures under load: huge values, many connections, many calls at once, many hours."""

from __future__ import annotations

import resource
import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import runhouse as rh
from bench import functions
from bench.callers import call_from_threads
from bench.peers.figures import seconds
from bench.rows import Row
from bench.usage import Peak, available_bytes, server_pid, settled, usage
from runhouse.client.endpoint import Target, greet
from runhouse.wire.messages import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.usage import Usage

HUGE = 3_000_000_000
CONNECTIONS = 1000
CALLS = 500
KEYS = 10_000
_HELD_S = 0.5
_SETTLED_S = 40.0  # longer than a call waits for a caller who has gone
_SOME = 500
_ROOM = 5  # this many times a huge value, for both sides and copies that should not be


def memory_rows(*, quick: bool) -> list[Row]:
    """Measure how far memory rises above a huge argument and a huge result."""
    size = HUGE // 10 if quick else HUGE
    if available_bytes() < _ROOM * size:
        sys.stderr.write(f"memory: left out, it needs {_ROOM * size / 1e9:g} GB that are free\n")
        return []
    own_pid, server = rh.function(functions.own_pid).to(rh.here), Peak(server_pid())
    rows = []
    kinds: tuple[tuple[str, Callable[[], object], Callable[[Any], object]], ...] = (
        ("array argument", lambda: np.ones(size, dtype="u1"), functions.size_of),
        ("array result", lambda: size, functions.make_array),
        ("bytes argument", lambda: b"x" * size, functions.size_of_bytes),
        ("bytes result", lambda: size, functions.make_bytes),
    )
    for name, prepare, function in kinds:
        remote, argument = rh.function(function).to(rh.here), prepare()
        peak = Peak(own_pid())  # with this call the worker lets go of the last result
        remote(argument)
        del argument
        growth = peak.growth_bytes() / size
        what = f"{size / 1e9:g} GB {name}, worker's peak"
        rows.append(Row(what, growth, "sizes", 1, "one copy", 1.15, 1.15, "less"))
    growth = server.growth_bytes() / 1e6
    rows.append(Row("the same, server's peak", growth, "MB", None, "", 100, 100, "less"))
    return rows


def scale_rows(*, quick: bool) -> list[Row]:
    """Measure what many connections and many calls at once take, and what stays of them."""
    number = 100 if quick else CONNECTIONS
    rh.function(functions.identity).to(rh.here)(1)
    server = server_pid()
    hold: Callable[[float], object] = rh.function(functions.hold).to(rh.here)
    for duration in (0, _HELD_S):  # what grows once only is no leak
        _at_once(partial(hold, duration), CALLS)
    with _descriptors(number + CALLS + 500):
        rows = [*_connection_rows(server, number), *_call_rows(server, hold)]
    return rows + _key_rows(server, KEYS // 20 if quick else KEYS)


def _connection_rows(server: int, number: int) -> list[Row]:
    """Hold connections open that say nothing."""
    target, host = Target(rh.here.env_name(None), Scope()), rh.here.host_of()

    def hold() -> tuple[float, Usage]:
        with ExitStack() as stack:
            opened = seconds(
                lambda: [stack.enter_context(greet(host, target, 60).sock) for _ in range(number)]
            )
            return opened, usage(server)

    hold()  # starts the worker and its spare threads
    before = settled(server, None, 3)
    opened, held = hold()
    left = settled(server, before, _SETTLED_S)
    name = f"{number:,} idle connections"
    memory, stayed = ((state.memory_bytes - before.memory_bytes) / 1e6 for state in (held, left))
    return [
        Row(f"{name}, to open them", opened, "s", None, "", 5, 2, "less"),
        Row(f"{name}, memory", memory, "MB", None, "", 50, 20, "less"),
        Row(f"{name}, memory that stays", stayed, "MB", None, "", 10, 10, "less"),
        _left_row(name, left.more_than(before)),
    ]


def _call_rows(server: int, hold: Callable[[float], object]) -> list[Row]:
    """Make calls at once that take some time."""
    before = settled(server, None, 3)
    took = seconds(lambda: _at_once(partial(hold, _HELD_S), CALLS))
    left = settled(server, before, _SETTLED_S)
    name = f"{CALLS} calls of {_HELD_S:g} s at once"
    stayed = (left.memory_bytes - before.memory_bytes) / 1e6
    return [
        Row(name, took, "s", _HELD_S, "one call", 5, 2, "less", by="figure"),
        Row(f"{name}, memory that stays", stayed, "MB", None, "", 10, 10, "less"),
        _left_row(name, left.more_than(before)),
    ]


def _key_rows(server: int, number: int) -> list[Row]:
    """Keep many objects, and let go of them."""
    keys = [f"key-{each}" for each in range(number)]
    some = keys[:: max(1, number // _SOME)]

    def put() -> None:
        for key in keys:
            rh.here.put(key, key)

    def get() -> None:
        for key in some:
            if rh.here.get(key) != key:
                raise AssertionError(key)

    put()
    get()
    rh.here.delete(keys)  # what grows once only is no leak
    before = settled(server, None, 3)
    took, listed, got = seconds(put), seconds(rh.here.keys), seconds(get)
    held = usage(server)
    rh.here.delete(keys)
    left = settled(server, before, 10)
    name = f"{number:,} keys"
    memory, stayed = ((state.memory_bytes - before.memory_bytes) / 1e6 for state in (held, left))
    return [
        Row(f"{name}, to put one", took / number * 1e3, "ms", None, "", 5, 5, "less"),
        Row(f"{name}, to get one", got / len(some) * 1e3, "ms", None, "", 10, 5, "less"),
        Row(f"{name}, to list them", listed * 1e3, "ms", None, "", 500, 200, "less"),
        Row(f"{name}, memory", memory, "MB", None, "", 50, 20, "less"),
        Row(f"{name}, memory that stays", stayed, "MB", None, "", 10, 10, "less"),
        _left_row(name, left.more_than(before)),
    ]


def _left_row(name: str, number: int) -> Row:
    what = f"{name}: descriptors, threads, processes, files that stay"
    return Row(what, number, "", None, "", 0, 0, "less")


def _at_once(call: Callable[[], object], number: int) -> None:
    """Make calls from as many threads, and close their connections."""
    call_from_threads(call, number)
    rh.here.disconnect()


@contextmanager
def _descriptors(number: int) -> Iterator[None]:
    """Let this process have so many files open; servers get what their users have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
