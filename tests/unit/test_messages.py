"""Messages survive their way as JSON objects."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import pytest
from hypothesis import given, strategies as st

from runhouse.wire import messages
from runhouse.wire.messages import Call, Code, Death, Kind, Limits, RunInfo, Scope

texts = st.text(max_size=20)
times = st.floats(0, 1e12)
counts = st.none() | st.integers(0, 10**15)
calls = st.builds(
    Call,
    run_id=texts,
    op=st.sampled_from(get_args(messages.Operation)),
    key=texts,
    method=texts,
    new_key=texts,
    logs=st.booleans(),
    log_level=st.integers(0, 60),
    grace_s=times,
    record=st.booleans(),
    name=texts,
    watch=st.booleans(),
    keep=texts,
    persist=st.booleans(),
    timeout_s=times,
    retries=st.integers(0, 100),
    retry_on=st.lists(texts, max_size=3),
    backoff_s=times,
    parent=texts,
    arguments=st.sampled_from(get_args(messages.Format)),
    answer=st.sampled_from(get_args(messages.Format)),
    release=st.lists(texts, max_size=3),
)


def lists_as_tuples(message: Any) -> Any:
    """Return a message in which sequences are tuples: JSON knows lists only."""
    changed = {
        field.name: tuple(value)
        for field in dataclasses.fields(message)
        if isinstance(value := getattr(message, field.name), list)
    }
    return dataclasses.replace(message, **changed)


def through_json(meta: dict[str, object]) -> dict[str, Any]:
    """Return what arrives of a message."""
    arrived: dict[str, Any] = json.loads(json.dumps(meta))
    return arrived


@given(calls)
def test_a_call_arrives_with_all_of_its_fields(call: Call) -> None:
    arrived = Call(**through_json(call.to_meta()))
    assert lists_as_tuples(arrived) == lists_as_tuples(call)


def test_a_call_sends_only_what_it_must() -> None:
    assert Call("id", "call", "key").to_meta() == {"run_id": "id", "op": "call", "key": "key"}
    spoken = Call("id", "call", "key", logs=False, retries=2).to_meta()
    assert spoken.keys() == {"run_id", "op", "key", "logs", "retries"}
    assert Call("", "call", "").to_meta() == {"run_id": "", "op": "call", "key": ""}


infos = st.builds(
    RunInfo,
    id=texts,
    name=texts,
    call=texts,
    status=st.sampled_from(get_args(messages.RunStatus)),
    env=texts,
    worker_id=texts,
    recorded=st.booleans(),
    created_at=times,
    ended_at=times,
    error=texts,
    kept=texts,
)
others = st.one_of(
    infos,
    st.builds(Limits, concurrency=counts, queue=counts, memory_bytes=counts),
    st.builds(Scope, project=texts, generation=texts, python=texts),
    st.builds(Code, texts, texts, texts, st.lists(texts, max_size=3).map(tuple)),
)


@given(others)
def test_what_is_told_about_runs_limits_and_code_arrives(
    message: RunInfo | Limits | Scope | Code,
) -> None:
    arrived = type(message)(**through_json(message.to_meta()))
    assert lists_as_tuples(arrived) == message


def test_limits_are_none_unless_they_are_set() -> None:
    assert Limits() == Limits(concurrency=None, queue=None, memory_bytes=None)
    assert Limits(0, 0, 0).to_meta() == {"concurrency": 0, "queue": 0, "memory_bytes": 0}


@pytest.mark.parametrize("kind", [Call, RunInfo, Limits, Scope, Code, Death])
def test_messages_cannot_be_changed_or_have_unknown_fields(kind: type[Any]) -> None:
    required = {
        field.name: "text"
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING
    }
    made = kind(**required)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(kind)[0].name, "another")
    with pytest.raises(TypeError, match="unheard_of"):
        kind(**required, unheard_of=1)


def test_the_two_directions_of_frames_are_told_apart_by_number() -> None:
    to_worker = {Kind.CALL, Kind.ATTACH, Kind.CANCEL, Kind.ACK}
    assert {kind for kind in Kind if kind < 16} == to_worker
    assert len({int(kind) for kind in Kind}) == len(Kind)
