"""A worker repeats a call that raises, and never what has been answered."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runhouse.errors import (
    NotSerializableError,
)
from runhouse.wire import frames
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind
from runhouse.wire.pickling import dumps, loads_frame
from tests.unit.hosting import Host, error, host as host, rest
from tests.unit.wiring import read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def test_a_call_that_raises_is_repeated_for_what_was_named(host: Host) -> None:
    again = Call("one", "call", "fail", retries=2, retry_on=["builtins.ValueError"])
    assert isinstance(error(host.ask(again)), ValueError)
    assert host.counted == 3
    other = Call("two", "call", "fail", retries=2, retry_on=["builtins.OSError"])
    assert isinstance(error(host.ask(other)), ValueError)
    assert host.counted == 4


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("keep", ["", "kept"])
def test_a_generator_is_repeated_until_it_has_given_an_item(
    host: Host, is_async: bool, keep: str
) -> None:
    def items(before: int) -> Iterator[int]:
        host.counted += 1
        if host.counted < before:
            raise ValueError
        yield host.counted
        raise OSError

    async def items_async(before: int) -> AsyncIterator[int]:
        for item in items(before):
            yield item

    host.objects.define("items", items_async if is_async else items)
    sock = host.connect()
    host.send(sock, Call("one", "call", "items", retries=5, keep=keep), 3)
    got = rest(sock)
    assert isinstance(error(got[-1]), OSError)
    if keep:  # nobody has seen anything before the end
        assert host.counted == 6
        assert len(got) == 1
    else:
        assert host.counted == 3
        assert [frame.kind for frame in got] == [Kind.STREAM, Kind.ITEM, Kind.ERROR]
        assert loads_frame(got[1]) == 3


@pytest.mark.parametrize("key", ["pipe", "pipe_async"])
def test_a_call_whose_result_cannot_be_sent_is_not_made_again(host: Host, key: str) -> None:
    def pipe() -> object:
        host.counted += 1
        return threading.Lock()

    async def pipe_async() -> object:
        return pipe()

    host.objects.define(key, pipe if key == "pipe" else pipe_async)
    answer = error(host.ask(Call("one", "call", key, retries=3)))
    assert isinstance(answer, NotSerializableError)
    assert host.counted == 1


def test_each_attempt_of_a_call_gets_arguments_that_none_has_changed(host: Host) -> None:
    seen: list[float] = []

    def double(numbers: Any) -> None:
        seen.append(float(numbers[0]))
        numbers *= 2
        raise OSError

    host.objects.define("double", double)
    pickled = dumps(((np.ones(100_000),), {}))
    call = Call("one", "call", "double", retries=2)
    sock = host.connect()
    frames.send(sock, Frame(Kind.CALL, call.to_meta(), pickled.body, pickled.buffers))
    assert isinstance(error(read(sock)), OSError)
    assert seen == [1.0, 1.0, 1.0]
