"""Records: exact round trips, and what they refuse to hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from runhouse.errors import RecordError
from runhouse.registry.record import HEAD, Record

_TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex(r"[f-k]{1,3}", fullmatch=True), inner)
    ),
    max_leaves=12,
)
_FIELDS = st.dictionaries(
    st.from_regex(r"[f-k]{1,4}", fullmatch=True), _VALUES | st.from_regex(r"[^:-]*"), max_size=5
)


@given(kind=_TEXTS, name=_TEXTS, fields=_FIELDS)
def test_a_record_survives_the_round_trip(kind: str, name: str, fields: dict[str, Any]) -> None:
    record = Record(kind, name, fields)
    text = record.to_json()
    text.encode("utf-8")
    again = Record.from_json(text)
    assert again == record
    assert again.to_json() == text
    assert json.dumps(again.fields) == json.dumps(fields)  # types too: 1 is neither 1.0 nor True


def test_a_record_is_readable() -> None:
    record = Record("byo", "box", {"host": ["ada@gpu-box"], "note": "grün"})
    assert record.to_json() == (
        '{\n  "version": 1,\n  "kind": "byo",\n  "name": "box",\n'
        '  "host": [\n    "ada@gpu-box"\n  ],\n  "note": "grün"\n}\n'
    )


def test_a_record_keeps_a_copy() -> None:
    hosts = ["a"]
    record = Record("byo", "box", {"host": hosts, "pair": (1, 2)})
    hosts.append("b")
    assert record.fields == {"host": ["a"], "pair": [1, 2]}


@pytest.mark.parametrize(
    "key",
    [
        *("password", "ssh_password", "PASSWORD", "passwd", "dbPassword", "passphrase"),
        *("token", "HF_TOKEN", "accessToken", "bearer-token", "secret", "client_secrets"),
        *("credentials", "api_key", "apiKey", "APIKEY", "aws_secret_access_key", "access-key"),
        "private_key_content",
    ],
)
def test_keys_that_look_like_credentials_are_refused(key: str) -> None:
    for fields in ({key: "hunter2"}, {"ssh_creds": [{"ssh_user": "ada", key: "hunter2"}]}):
        with pytest.raises(RecordError, match="It looks like a credential") as caught:
            Record("byo", "box", fields)
        assert key in str(caught.value)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n",
        "-----BEGIN PRIVATE KEY-----",
        "https://ada:hunter2@git.example/repo",
    ],
)
def test_values_that_are_credentials_are_refused(value: str) -> None:
    with pytest.raises(RecordError, match="It looks like a credential") as caught:
        Record("byo", "box", {"ssh_creds": [{"ssh_private_key": value}]})
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["ssh_private_key", "TOKENIZERS_PARALLELISM", "tokenizer", "key", "path", "ssh_user"]
)
def test_keys_that_only_resemble_credentials_are_kept(key: str) -> None:
    assert Record("byo", "box", {key: "~/.ssh/id_ed25519"}).fields[key] == "~/.ssh/id_ed25519"


@pytest.mark.parametrize(
    "value",
    [object(), b"bytes", {1, 2}, {1: "a"}, float("nan"), float("inf"), "\ud800", [{"a": 1j}]],
)
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(RecordError, match=r"The record field fields\.x.* cannot be saved"):
        Record("byo", "box", {"x": value})


@pytest.mark.parametrize("key", HEAD)
def test_the_keys_of_the_head_are_not_fields(key: str) -> None:
    with pytest.raises(RecordError, match="reserved key"):
        Record("byo", "box", {key: "x"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ('{"version": 1, "kind": "byo", "na', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "Its version is None"),
        ('{"kind": "byo", "name": "box"}', "Its version is None"),
        ('{"version": 2, "kind": "byo", "name": "box"}', "Upgrade runhouse"),
        ('{"version": 1, "name": "box"}', "needs the texts 'kind' and 'name'"),
        ('{"version": 1, "kind": "byo", "name": 3}', "needs the texts 'kind' and 'name'"),
        ('{"version": 1, "kind": "byo", "name": "box", "x": NaN}', "cannot be saved"),
    ],
)
def test_a_text_that_is_no_record_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        Record.from_json(text)


def test_a_definition_must_be_a_mapping() -> None:
    with pytest.raises(RecordError, match="A dict is expected, not a list"):
        Record.from_mapping([])


def test_fields_that_the_kind_does_not_know_are_named() -> None:
    record = Record("byo", "box", {"host": ["a"], "hosst": ["b"]})
    assert record.take("host", "hosst") == record.fields
    with pytest.raises(RecordError, match="has no hosst; it has host, env"):
        record.take("host", "env")
