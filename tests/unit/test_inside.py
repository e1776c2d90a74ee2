"""Code knows whether it runs in a worker; a process that it forks is none."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from runhouse.wire.messages import Call
from runhouse.worker import inside
from runhouse.worker.capture import current
from runhouse.worker.inside import Inside
from runhouse.worker.outbox import Mailbox
from runhouse.worker.run import Run
from runhouse.worker.store import Objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    """Make this process a worker for one test."""
    monkeypatch.setattr(inside, "_slot", inside._Slot())
    made = Inside("worker", "server", "env", tmp_path, Objects(lambda *change: None))
    inside.enter(made)
    yield made


def answer_of_child(question: str) -> bytes:
    """Return what a forked child finds."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        found = inside.own() is None if question == "own" else inside.current_run_id() == ""
        os.write(writer, b"outside" if found else b"inside")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    assert os.waitpid(child, 0)[1] == 0
    return text


def test_a_process_is_no_worker_until_it_says_so(tmp_path: Path, worker: Inside) -> None:
    assert inside.own() is worker
    assert inside.own() == Inside("worker", "server", "env", tmp_path, worker.objects)


def test_this_process_is_no_worker() -> None:
    assert inside.own() is None
    assert inside.current_run_id() == ""


@pytest.mark.parametrize("question", ["own", "run"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_not_inside(worker: Inside, question: str) -> None:
    run = Run(Call("run-id", "call", "key"), Mailbox(None), lambda run: None)
    token = current.set(run)
    try:
        assert inside.current_run_id() == "run-id"
        assert answer_of_child(question) == b"outside"
        assert inside.own() is worker
    finally:
        current.reset(token)


def test_the_run_of_a_thread_is_its_own(worker: Inside) -> None:
    found: dict[str, str] = {}

    def work(name: str) -> None:
        current.set(Run(Call(name, "call", "key"), Mailbox(None), lambda run: None))
        found[name] = inside.current_run_id()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": "a", "b": "b"}
    assert inside.current_run_id() == ""
    assert worker.env == "env"
