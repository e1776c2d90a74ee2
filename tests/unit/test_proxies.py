"""Proxies look like what they stand for."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.proxies.placement import signature_of, take_options
from tests.integration import sample

if TYPE_CHECKING:
    from collections.abc import Callable


def documented(a: int, *, b: str = "x") -> str:
    """Say something."""
    return f"{a}{b}"


def with_own_options(stream_logs: bool, run_name: str) -> tuple[bool, str]:
    """Have parameters of these names."""
    return stream_logs, run_name


def test_a_function_keeps_name_doc_and_signature() -> None:
    proxy = rh.function(documented)
    assert (proxy.__name__, proxy.__doc__, proxy.name) == (  # type: ignore[attr-defined]
        "documented",
        "Say something.",
        "documented",
    )
    assert inspect.signature(proxy) == inspect.signature(documented)
    assert rh.function(documented, name="other").name == "other"
    assert rh.function(proxy).name == "documented"
    assert repr(proxy) == "<runhouse.Function 'documented' (not on a cluster)>"
    assert rh.fn is rh.function


def test_a_class_keeps_name_doc_and_signature() -> None:
    proxy = rh.module(sample.Counter)
    assert proxy.name == "Counter"
    assert proxy.__doc__ == sample.Counter.__doc__
    assert inspect.signature(proxy) == inspect.signature(sample.Counter)
    assert repr(proxy) == "<runhouse.Module 'Counter' (not on a cluster)>"
    assert rh.cls is rh.module


def test_without_a_cluster_everything_is_here() -> None:
    assert rh.function(documented)(1, b="y") == "1y"
    counter = rh.module(sample.Counter)(3)
    assert isinstance(counter, sample.Counter)
    assert counter.add() == 4


@pytest.mark.parametrize(
    ("code", "given", "rest", "logs"),
    [
        (documented, {"b": "y"}, {"b": "y"}, True),
        (documented, {"b": "y", "stream_logs": False}, {"b": "y"}, False),
        (documented, {"run_name": "r"}, {}, True),
        (
            with_own_options,
            {"stream_logs": False, "run_name": "r"},
            {"stream_logs": False, "run_name": "r"},
            True,
        ),
        (None, {"stream_logs": False, "x": 1}, {"x": 1}, False),
    ],
)
def test_older_options_are_taken_only_where_the_function_has_none_of_that_name(
    code: Callable[..., object] | None,
    given: dict[str, object],
    rest: dict[str, object],
    logs: bool,
) -> None:
    signature = signature_of(code) if code is not None else None
    kept, options = take_options(signature, dict(given))
    assert kept == rest
    assert options.logs is logs


def test_a_signature_that_cannot_be_read_is_none() -> None:
    assert signature_of(object()) is None
