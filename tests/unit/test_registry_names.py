"""Which names a resource may have."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, strategies as st

from runhouse.errors import InvalidNameError
from runhouse.registry.names import RESERVED, check_name, is_name

_FIRST = string.ascii_letters + string.digits
_VALID = st.builds(
    str.__add__,
    st.sampled_from(_FIRST),
    st.text(alphabet=_FIRST + "-_.", max_size=62),
).filter(lambda name: name.lower() not in RESERVED)


@given(_VALID)
def test_a_valid_name_is_returned_as_it_is(name: str) -> None:
    assert check_name(name) == name
    assert is_name(name)


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    form = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
    if form.match(text) and text.lower() not in RESERVED:
        assert check_name(text) == text
    else:
        assert not is_name(text)
        with pytest.raises(InvalidNameError):
            check_name(text)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "-a", ".a", "..", "_a", "a/b", "../a", "a\n", "é", "a\0", "a:b", "~"),
        "a" * 64,
        *(None, 7, b"box", ["box"]),
    ],
)
def test_other_forms_are_refused_with_what_to_do(name: object) -> None:
    with pytest.raises(InvalidNameError, match="A name has 1 to 63 letters") as caught:
        check_name(name)
    assert repr(name) in str(caught.value)
    assert str(caught.value).endswith("Choose another one.")


@pytest.mark.parametrize("name", [*sorted(RESERVED), "Local", "S3"])
def test_reserved_names_are_refused_and_listed(name: str) -> None:
    with pytest.raises(InvalidNameError, match="It is reserved, as are"):
        check_name(name)
    assert not is_name(name)


def test_the_longest_name_is_63_characters() -> None:
    assert check_name("x" * 63) == "x" * 63
