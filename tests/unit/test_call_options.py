"""What a caller says about a call is checked before anything is connected."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from runhouse.clusters import arguments
from runhouse.clusters.calls import CallOptions, call_options, new_key
from runhouse.errors import InvalidNameError
from runhouse.registry.names import check_key, check_name
from runhouse.wire.pickling import set_main_alias


class OwnError(Exception):
    """Be an exception of a user."""

    class InnerError(Exception):
        """Be an exception within a class."""


def test_nothing_said_is_nothing_asked_for() -> None:
    assert call_options() == CallOptions()
    assert CallOptions() == CallOptions(
        logs=True, run_name="", timeout_s=0.0, retries=0, retry_on=(), backoff_s=0.0
    )


def test_what_is_said_is_kept() -> None:
    made = call_options(
        stream_logs=False,
        run_name="nightly-1",
        timeout=5,
        retries=2,
        retry_on=[OwnError, OwnError.InnerError, ValueError],
        backoff=0.5,
    )
    names = (f"{__name__}.OwnError", f"{__name__}.OwnError.InnerError", "builtins.ValueError")
    assert made == CallOptions(False, "nightly-1", 5.0, 2, names, 0.5)
    assert isinstance(made.timeout_s, float)
    assert call_options(retry_on=ValueError).retry_on == ("builtins.ValueError",)
    assert call_options(retry_on=()).retry_on == ()
    assert call_options(run_name="here").run_name == "here", "reserved for clusters only"


def test_an_exception_of_the_running_script_is_named_as_it_is_known_there() -> None:
    class LocalError(Exception):
        """Be an exception that goes by value, with the name of its module."""

    script_error = type("ScriptError", (Exception,), {"__module__": "__main__"})
    LocalError.__module__ = "__main__"
    here = "__main__.ScriptError"
    assert call_options(retry_on=script_error).retry_on == (here,)
    set_main_alias("my_script")
    try:
        named = call_options(retry_on=[script_error, LocalError, ValueError]).retry_on
    finally:
        set_main_alias(None)
    assert named[0] == "my_script.ScriptError"
    assert named[1].startswith("__main__.test_an_exception_of")
    assert named[2] == "builtins.ValueError"


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"timeout": 0}, ValueError, "timeout cannot be 0. .* Pass more than 0."),
        ({"timeout": -1}, ValueError, "timeout cannot be -1"),
        ({"timeout": math.nan}, ValueError, "timeout cannot be nan"),
        ({"timeout": math.inf}, ValueError, "timeout cannot be inf"),
        ({"timeout": "5"}, TypeError, "It is of type str. Pass a number of seconds"),
        ({"timeout": True}, TypeError, "It is of type bool"),
        ({"backoff": -0.1}, ValueError, "backoff cannot be -0.1. .* Pass 0 or more."),
        ({"backoff": None}, TypeError, "backoff cannot be used"),
        ({"retries": -1}, ValueError, "retries cannot be -1. The least is 0"),
        ({"retries": 1.0}, TypeError, "Pass a whole number"),
        ({"retries": True}, TypeError, "It is of type bool"),
        ({"retry_on": int}, TypeError, "retry_on=<class 'int'> cannot be used"),
        ({"retry_on": "ValueError"}, TypeError, "retry_on='V' cannot be used"),
        ({"retry_on": [ValueError, ValueError()]}, TypeError, r"retry_on=ValueError\(\) cannot"),
        ({"retry_on": KeyboardInterrupt}, TypeError, "must be a class of exceptions"),
        ({"retry_on": 5}, TypeError, "retry_on=5 cannot be used"),
        ({"retry_on": None}, TypeError, "retry_on=None cannot be used"),
        ({"run_name": ""}, InvalidNameError, "'' cannot be used as a name"),
        ({"run_name": "a b"}, InvalidNameError, "Choose another one"),
        ({"run_name": "../a"}, InvalidNameError, "begins with a letter or digit"),
        ({"run_name": "x" * 64}, InvalidNameError, "1 to 63"),
        ({"run_name": 5}, InvalidNameError, "5 cannot be used as a name"),
        ({"unheard_of": 1}, TypeError, "unheard_of"),
    ],
)
def test_what_cannot_be_used_is_told(
    given: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call_options(**given)


@given(st.floats(min_value=0, max_value=1e300, exclude_min=True) | st.integers(1, 10**9))
def test_any_positive_number_is_a_time(value: float) -> None:
    assert arguments.seconds("timeout", value, above=0.0) == value
    assert arguments.seconds("timeout", value) == value


def test_no_time_at_all_is_a_time_only_where_it_means_something() -> None:
    assert arguments.seconds("pause", 0) == 0.0
    assert arguments.seconds("pause", -0.0) == 0.0
    with pytest.raises(ValueError, match="more than 0"):
        arguments.seconds("pause", -0.0, above=0.0)


@pytest.mark.parametrize("value", ["1", None, b"1", [], 1j, False])
def test_what_is_no_number_of_seconds_is_told(value: object) -> None:
    with pytest.raises((TypeError, ValueError), match="pause cannot be"):
        arguments.seconds("pause", value)


@given(st.text(max_size=80))
def test_a_key_is_made_from_any_text_and_can_be_used(what: str) -> None:
    made = new_key(CallOptions(), what)
    assert check_key(made) == made
    assert made != new_key(CallOptions(), what), "no key is made twice"
    assert re.fullmatch(r".+-[0-9a-f]{12}", made)


def test_a_key_says_what_it_is_the_result_of() -> None:
    assert new_key(CallOptions(), "train").startswith("train-")
    assert new_key(CallOptions(), "module:Class.method").startswith("module-Class.method-")
    assert new_key(CallOptions(), "<lambda>").startswith("lambda-")
    assert new_key(CallOptions(), "é!").startswith("result-")


def test_a_run_that_has_a_name_gives_it_to_its_result() -> None:
    assert new_key(call_options(run_name="nightly"), "train") == "nightly"


@given(st.text(max_size=70))
def test_every_name_of_a_cluster_is_a_key_and_keys_have_one_form(text: str) -> None:
    def is_taken(check: Any) -> bool:
        try:
            return bool(check(text) == text)
        except InvalidNameError:
            return False

    assert is_taken(check_key) == bool(re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}", text))
    assert not is_taken(check_name) or is_taken(check_key)
