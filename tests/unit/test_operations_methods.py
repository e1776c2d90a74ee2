"""What a worker tells about attributes that are not there, and methods that return their object."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from runhouse.wire.messages import Itself
from tests.unit.test_operations import host as host

if TYPE_CHECKING:
    from tests.unit.test_operations import Host


class Answering:
    """Answer for attributes by itself."""

    def __getattr__(self, name: str) -> str:
        msg = f"no {name}"
        raise AttributeError(msg)


@pytest.mark.parametrize(
    ("key", "name", "words"),
    [
        ("counter", "numberx", "'Counter' has no attribute 'numberx'.*mean number?"),
        ("Counter", "kinds", "'Counter' has no attribute 'kinds'.*mean kind?"),
        ("counter", "xyz", "Look at dir"),
        ("counter", "broken", "'int' object has no attribute 'nothing'"),
        ("answering", "xyz", "no xyz"),
    ],
)
def test_an_attribute_that_is_not_there_is_told_with_near_names(
    host: Host, key: str, name: str, words: str
) -> None:
    host.objects.put("answering", Answering())
    with pytest.raises(AttributeError, match=words):
        host.do("read", key, method=name)
    with pytest.raises(AttributeError, match=words):
        host.do("method", key, method=name)


def test_a_method_that_returns_its_object_says_so_when_asked(host: Host) -> None:
    counter = host.objects.get("counter")
    assert host.do("method", "counter", method="same", itself=True) is Itself.ITSELF
    assert host.do("method", "counter", method="same") is counter
    assert host.do("method", "counter", method="add", itself=True) == 3
    later = host.do("method", "counter", method="same_later", itself=True)
    assert asyncio.run(later) is Itself.ITSELF
