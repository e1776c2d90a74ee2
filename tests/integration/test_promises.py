"""What users of remote execution tools ask for most, as they would see it."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
import time
import xml.parsers.expat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runhouse as rh
from runhouse.errors import NotLoadableError, RemoteError, RunCancelledError
from tests.integration import sample, sample_store
from tests.rigs import interpreters
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def mark(cluster: rh.Cluster) -> Iterator[str]:
    """Give the path of a file on the cluster that is not there yet."""
    folder = cluster.run("mktemp -d", stream_logs=False)[0][1].strip()
    yield f"{folder}/mark"
    cluster.run(f"rm -rf '{folder}'", stream_logs=False)


def test_items_and_output_arrive_one_by_one_while_they_are_made(
    cluster: rh.Cluster,
    mark: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = rh.function(sample_store.speak_while_counting).to(cluster)
    capfd.readouterr()
    arrived = []
    for value in count(4, mark):
        arrived.append(time.time())
        assert capfd.readouterr().out == f"print {value}\n"
        assert caplog.records[-1].getMessage() == f"log {value}"
    assert len(caplog.records) == 4
    gaps = [later - earlier for earlier, later in zip(arrived, arrived[1:], strict=False)]
    assert min(gaps) > 0.1, "they come as they are made, not all at the end"


def test_the_output_of_two_calls_at_once_never_mixes(
    cluster: rh.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: dict[str, list[str]] = {}

    class PerThread(io.StringIO):
        def write(self, text: str) -> int:
            heard.setdefault(threading.current_thread().name, []).append(text)
            return len(text)

    speak = rh.function(sample.speak_often).to(cluster)
    monkeypatch.setattr(sys, "stdout", PerThread())
    threads = [
        threading.Thread(target=speak, args=(text, 1000), name=text) for text in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in ("one", "two"):
        assert "".join(heard[text]) == "".join(f"{text} {number}\n" for number in range(1000))


def test_processes_can_be_used_inside_of_a_call(
    cluster: rh.Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    assert rh.function(sample_store.use_processes).to(cluster)(4) == [4, 3, 2, 1]
    assert "from a child\n" in capfd.readouterr().out


def test_the_output_of_a_nested_call_reaches_the_outer_caller(
    cluster: rh.Cluster, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    inner = rh.function(sample_store.print_and_log).to(cluster, env="inner")
    outer = rh.function(sample_store.nested).to(cluster)
    capfd.readouterr()
    assert outer(inner, "x") == "x"
    assert capfd.readouterr().out == "before x\ninner print x\nafter x\n"
    assert "inner log x" in caplog.text
    run = outer.run(inner, "y")
    assert run.result() == "y"
    assert run.logs() == "before y\ninner print y\nWARNING:sample:inner log y\nafter y\n"


def test_a_cancelled_call_takes_the_calls_that_it_waits_for_with_it(cluster: rh.Cluster) -> None:
    for env in ("default", "inner"):
        inner = rh.function(sample.wait).to(cluster, env=env)
        run = rh.function(sample_store.wait_for).to(cluster).run(inner, 60.0)
        wait_until(lambda: cluster.status().running == 2)
        run.cancel()
        with pytest.raises(RunCancelledError):
            run.result()
        wait_until(lambda: cluster.status().running == 0)


def test_exceptions_of_every_sort_arrive_as_they_are(cluster: rh.Cluster) -> None:
    with pytest.raises(sample.SampleError) as custom:
        rh.function(sample.fail).to(cluster)(3)
    assert (custom.value.code, custom.value.hint) == (3, "more")
    with pytest.raises(RemoteError, match="holds a lock") as unpicklable:
        rh.function(sample.fail_unpicklably).to(cluster)()
    assert unpicklable.value.type_name == "ValueError"
    with pytest.raises(xml.parsers.expat.ExpatError, match="mismatched tag"):
        rh.function(sample_store.fail_in_c).to(cluster)()
    with pytest.raises(ValueError, match="Expecting property name") as decode:
        rh.function(sample_store.fail_to_read).to(cluster)()
    assert (decode.value.pos, decode.value.doc) == (1, "{")  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="No/Where"):
        rh.function(sample_store.fail_to_find).to(cluster)()
    with pytest.raises(RemoteError, match="unknown here") as unknown:
        rh.function(sample_store.raise_unknown).to(cluster)()
    with pytest.raises(KeyError, match="outer") as chained:
        rh.function(sample_store.fail_from_a_lock).to(cluster)()
    assert isinstance(chained.value.__cause__, RemoteError)
    assert chained.value.__cause__.type_name == "ValueError"
    assert unknown.value.type_name == "only_on_the_host.Thing"
    assert "raise thing(message)" in unknown.value.remote_traceback


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_an_exception_group_arrives_with_its_members(cluster: rh.Cluster) -> None:
    version = rh.function("platform:python_version").to(cluster)()
    if tuple(map(int, version.split(".")[:2])) < (3, 11):
        pytest.skip("the Python of this host has no exception groups")
    with pytest.raises(Exception, match="several") as caught:
        rh.function(sample_store.fail_in_group).to(cluster)()
    members = caught.value.exceptions  # type: ignore[attr-defined]
    assert [type(error) for error in members] == [ValueError, sample.SampleError]
    assert members[1].hint == "more"
    with pytest.raises(Exception, match="several") as partly:
        rh.function(sample_store.fail_in_group_unknown).to(cluster)()
    first, inner = partly.value.exceptions  # type: ignore[attr-defined]
    assert (type(first), inner.message) == (KeyError, "inner")
    stands_in, known = inner.exceptions
    assert (type(stands_in), stands_in.type_name) == (RemoteError, "only_on_the_host.Thing")
    assert (type(known), known.hint) == (sample.SampleError, "more")


def test_values_that_are_not_plain_data(cluster: rh.Cluster) -> None:
    (error,) = rh.function(sample_store.return_errors).to(cluster)()
    assert (type(error), error.args, vars(error)) == (
        sample.SampleError,
        ("code 3",),
        {"code": 3, "hint": "more"},
    )
    with pytest.raises(NotLoadableError, match="No module named 'only_on_the_host'"):
        rh.function(sample_store.return_unknown).to(cluster)()
    kept = rh.function(sample_store.return_unknown).to(cluster).remote()
    assert rh.function(repr).to(cluster)(kept).startswith("Thing(")
    assert rh.function(sample_store.return_code).to(cluster)()(21) == 42


def test_many_calls_at_once_leave_nothing_behind() -> None:
    wait = rh.function(sample.wait).to(rh.here)
    with contextlib.ExitStack() as stack:
        threads = [threading.Thread(target=wait, args=(0.5,)) for _ in range(500)]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
    assert rh.here.status().running == 0
    worker = max(rh.here.status().workers, key=lambda worker: worker.calls)
    wait_until(lambda: len(os.listdir(f"/proc/{worker.pid}/task")) < 30)
    rh.here.stop()


# What a client with an embedded server needs, all in plain Python.
_NEEDED = (
    "anyio",
    "click",
    "cloudpickle",
    "exceptiongroup",
    "h11",
    "idna",
    "pathspec",
    "starlette",
    "typing_extensions.py",
    "uvicorn",
)
CLIENT = """
import sys
import runhouse as rh
from tests.integration import sample, sample_store
cluster = rh.cluster("local", python=sys.argv[1])
assert rh.function(sample.add).to(cluster)(40, 2) == 42
assert rh.module(sample.Counter).to(cluster)(3).add(1) == 4
assert list(rh.function(sample.count_to).to(cluster)(3)) == [0, 1, 2]
assert rh.function(sample.move).to(cluster)(sample.Point(1), 2) == sample.Point(3)
try:
    rh.function(sample.fail).to(cluster)(3)
except sample.SampleError as error:
    assert error.hint == "more"
run = rh.function(sample.speak_often).to(cluster).run("line", 2)
assert run.result() is None and run.logs() == "line 0\\nline 1\\n", run.logs()
here, there = "%d.%d" % sys.version_info[:2], sys.argv[2]
for send in (
    lambda: rh.function(lambda: 1).to(cluster),
    lambda: rh.function(sample.identity).to(cluster)(lambda: 1),
    lambda: cluster.put("code", lambda: 1),
    lambda: rh.function(sample_store.return_code).to(cluster)(),
    lambda: rh.function(sample_store.return_code).to(cluster).run().result(),
    lambda: list(rh.function(sample_store.yield_code).to(cluster)()),
):
    try:
        send()
    except rh.errors.PythonMismatchError as error:
        assert (error.here, error.there) == (here, there), error
        assert here in str(error) and there in str(error)
    else:
        raise SystemExit("code went by value between two versions of Python")
rh.here.stop()
print("fine")
"""


@pytest.mark.parametrize(("here", "there"), [("3.10", "3.13"), ("3.13", "3.10")])
def test_two_versions_of_python_understand_each_other(
    here: str, there: str, session_home: Path, tmp_path: Path
) -> None:
    ours, theirs = interpreters.find(here), interpreters.find(there)
    packages = Path(pytest.__file__).parents[1]
    for name in _NEEDED:
        (tmp_path / name).symlink_to(packages / name)
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), str(tmp_path)])
    done = subprocess.run(
        [str(ours.executable), "-c", CLIENT, str(theirs.executable), there],
        env=os.environ | {"PYTHONPATH": path, "RH_HOME": str(session_home / f"on-{here}")},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.stdout == "fine\n", done.stderr
