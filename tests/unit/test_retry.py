"""A call is repeated as often, and for what, its caller has said."""

from __future__ import annotations

import subprocess
import threading

import pytest
from hypothesis import given, strategies as st

from runhouse.clusters.calls import call_options
from runhouse.wire.messages import Call
from runhouse.worker.retry import Retry


def retry(retries: int, backoff_s: float = 0.0, retry_on: tuple[str, ...] = ()) -> Retry:
    """Return what counts the attempts of a call."""
    call = Call("id", "call", "key", retries=retries, backoff_s=backoff_s, retry_on=retry_on)
    return Retry(call)


class OwnError(ConnectionError):
    """Be an error of a user's own class."""


@given(st.integers(0, 30), st.floats(0, 1e6))
def test_there_are_so_many_pauses_and_each_is_as_long_as_it_should_be(
    retries: int, backoff_s: float
) -> None:
    counted = retry(retries, backoff_s)
    pauses = []
    while (pause := counted.pause_after(ValueError())) is not None:
        pauses.append(pause)
    assert len(pauses) == retries
    assert pauses[:1] == [backoff_s][:retries]
    for before, after in zip(pauses, pauses[1:], strict=False):
        assert after == max(before, min(2 * before, 60.0))


def test_the_end_is_the_end() -> None:
    counted = retry(1)
    assert counted.pause_after(ValueError()) == 0.0
    assert counted.pause_after(ValueError()) is None
    assert counted.pause_after(ValueError()) is None


@pytest.mark.parametrize(
    ("kinds", "error", "repeated"),
    [
        ((), ValueError(), True),
        (ValueError, ValueError(), True),
        (ValueError, UnicodeDecodeError("utf-8", b"", 0, 1, ""), True),
        (ValueError, TypeError(), False),
        ((TypeError, OSError), ConnectionResetError(), True),
        ([OwnError], OwnError(), True),
        ([OwnError], ConnectionError(), False),
        (Exception, OwnError(), True),
        (subprocess.SubprocessError, subprocess.CalledProcessError(1, "x"), True),
    ],
)
def test_only_what_is_meant_is_repeated(
    kinds: type[Exception] | tuple[type[Exception], ...], error: Exception, repeated: bool
) -> None:
    """The names that a client sends are those that a worker looks for."""
    counted = retry(1, 0.5, call_options(retry_on=kinds).retry_on)
    assert counted.pause_after(error) == (0.5 if repeated else None)


def test_a_pause_is_never_longer_than_a_wait_can_be() -> None:
    pause_s = retry(1, 1e12).pause_after(ValueError())
    assert pause_s is not None
    ended = threading.Event()
    ended.set()
    assert ended.wait(pause_s)


def test_what_has_begun_to_answer_is_not_repeated() -> None:
    counted = retry(2)
    assert counted.is_first
    assert counted.pause_after(ValueError()) == 0.0
    assert not counted.is_first
    counted.is_answering = True
    assert counted.pause_after(ValueError()) is None


def test_an_error_that_is_not_meant_does_not_count() -> None:
    counted = retry(1, 0.0, ("builtins.ValueError",))
    assert counted.pause_after(TypeError()) is None
    assert counted.pause_after(ValueError()) == 0.0


def test_a_failed_attempt_is_described() -> None:
    counted = retry(2, 1.5)
    error = ValueError("no luck")
    pause_s = counted.pause_after(error)
    assert pause_s is not None
    assert counted.describe(error, pause_s) == (
        "attempt 1 of 3 raised ValueError: no luck; again in 1.5 s"
    )
