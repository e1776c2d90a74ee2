"""The HTTP API of this machine's cluster, with what the tests call over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from tests.integration import http_sample, sample
from tests.rigs.http import Http, http_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def api(session_home: Path) -> Iterator[Http]:
    """Give the API of this machine's cluster, with the functions of the tests."""
    assert session_home.is_dir()
    for function in (
        *(sample.add, sample.add_later, sample.count_to, sample.fail, sample.identity),
        *(sample.leave, sample.make_bytes, sample.mark, sample.size_of, sample.speak, sample.wait),
        *(sample.count_later, http_sample.typed, http_sample.shaped, http_sample.stuck_stream),
        *(http_sample.fails_later, http_sample.shout, http_sample.make, http_sample.say),
    ):
        rh.function(function).to(rh.here)
    rh.module(sample.Counter).to(rh.here)
    yield http_of(rh.here)
    rh.here.disconnect()
    rh.here.stop()
