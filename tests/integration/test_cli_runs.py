"""The command line calls functions, and looks after runs that somebody has started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.rigs.cli import RH, Cli, local_cli, on_terminal, record, run_python
from tests.rigs.sshd import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

SEND = """
for name in ("add", "add_later", "count_to", "count_later", "speak", "fail", "identity", "wait",
             "make_bytes", "make_point", "leave_by_exit", "mark_slowly", "nested_list",
             "speak_often"):
    rh.function(getattr(sample, name)).to(rh.here)
rh.module(sample.Counter).to(rh.here)
from tests.integration import http_sample
rh.function(http_sample.typed).to(rh.here)
rh.here.put("counter", sample.Counter(40))
rh.here.put("dotted.key", sample.Counter(1))
"""


@pytest.fixture(scope="module")
def rh() -> Iterator[Cli]:
    """Give a command line, and a server to which functions and objects were sent."""
    with local_cli() as cli:
        run_python(cli, SEND)
        yield cli


# -- call ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["add", "--arg", "2", "--arg", "3"], "5"),
        (["add", "--a", "2", "--b=3"], "5"),
        (["add", "--arg", "2", "--b", "-3"], "-1"),
        (["add_later", "--arg", "1", "--b", "2"], "3"),
        (["counter.add", "--amount", "2"], "42"),
        (["counter.total"], "42"),
        (["dotted.key.total"], "1"),
        (["Counter.double", "--arg", "21"], "42"),
        (["count_to", "--arg", "3"], "0\n1\n2"),
        (["count_later", "--number", "2"], "0\n1"),
        (["count_to", "--arg", "0"], ""),
        (["identity", "--arg", "text"], "'text'"),
        (["identity", "--arg", '"2"'], "'2'"),
        (["identity", "--arg", "NaN"], "'NaN'"),
        (["identity", "--arg", "-x"], "'-x'"),
        (["identity", "--arg", '{"a": [1, null, true]}'], "{'a': [1, None, True]}"),
        (["identity", "--value=--json"], "'--json'"),
        (["identity", "--value="], "''"),
        (["make_point", "--x", "1"], "Point(x=1, y=0)"),
        (["nested_list", "--", "--timeout", "1", "--json", "2"], "[1, 2]"),
    ],
)
def test_a_call_prints_its_result(rh: Cli, words: list[str], shown: str) -> None:
    done = rh("call", "local", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (f"{shown}\n" if shown else "")


def test_a_result_can_be_json(rh: Cli) -> None:
    assert rh.json("call", "local", "identity", "--arg", '{"a": [1, "ü"]}') == {"a": [1, "ü"]}
    assert rh.json("call", "local", "identity", "--arg", "null") is None
    items = rh("call", "local", "count_to", "--arg", "3", "--json")
    assert items.stdout == "0\n1\n2\n"
    no_json = rh.json("call", "local", "identity", "--arg", "[1]", "--json")
    assert no_json == [1]


def test_output_appears_and_is_kept_apart_from_json(rh: Cli) -> None:
    done = rh("call", "local", "speak", "--text", "hello")
    assert done.returncode == 0
    assert done.stdout == "hello\nbytes hello\n'hello'\n"
    assert done.stderr.splitlines() == ["hello", "warning hello"]
    apart = rh("call", "local", "speak", "--text", "hello", "--json")
    assert apart.stdout == '"hello"\n'
    assert sorted(apart.stderr.splitlines()) == ["bytes hello", "hello", "hello", "warning hello"]


def test_output_and_items_come_while_they_are_made(rh: Cli) -> None:
    command = [RH, "call", "local", "count_to", "--number", "1000", "--pause-s", "0.2"]
    with subprocess.Popen(
        command, env=rh.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")
    wait_until(lambda: not _going(rh))


def _going(rh: Cli) -> list[Any]:
    found = rh.json("runs", "--all")
    return [run for run in found if run["status"] in ("queued", "running")]


def test_items_that_nobody_reads_end_the_call(rh: Cli) -> None:
    line = f"'{RH}' call local count_to --number 100000000 | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line],
        env=rh.environ, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (141, "0\n", "")
    wait_until(lambda: not _going(rh))


def test_what_the_function_raises_is_shown_with_its_traceback(rh: Cli) -> None:
    done = rh("call", "local", "fail", "--code", "7")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: The function has raised an exception.\nTraceback")
    assert done.stderr.endswith("sample.SampleError: code 7\n")
    assert "in fail\n    raise SampleError" in done.stderr
    told = rh.json("call", "local", "fail", "--code", "7", code=1)
    assert told["error"] == "tests.integration.sample.SampleError"
    assert "code 7" in told["message"]
    assert "in fail" in told["traceback"]
    assert (told["name"], told["call"]) == ("local", "fail")
    gone = rh("call", "local", "leave_by_exit", "--code", "3")
    assert (gone.returncode, "SystemExit: 3" in gone.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["local", "nothing"], 4, "key 'nothing' not found"),
        (["local", "nothing.at_all"], 4, "key 'nothing' not found"),
        (["nobody", "add"], 4, "nobody"),
        (["gone", "add"], 5, "127.0.0.1"),
        (["local", "counter.nothing"], 4, "no attribute 'nothing'"),
        (["local", "counter"], 2, "Name a method, as counter.method"),
        (["local", "counter.total", "--arg", "1"], 2, "It is no method but holds int"),
        (["local", "add"], 2, "missing a required argument: 'a'"),
        (["local", "add", "--arg", "1", "--c", "1"], 2, "unexpected keyword argument 'c'"),
        (["local", "counter.add", "--arg", "x"], 2, "It must be an integer, and 'x' was given"),
        (["local", "add", "2"], 2, "'2' cannot be used"),
        (["local", "add", "--a"], 2, "--a cannot be used. It has no value"),
        (["local", "add", "--a", "--b", "1"], 2, "--a cannot be used. It has no value"),
        (["local", "add", "--a", "1", "--a=2"], 2, "It is there twice"),
        (["local", "add", "-a", "1"], 2, "'-a' cannot be used"),
        (["local", "add", "--1", "1"], 2, "'--1' cannot be used"),
        (["local", "wait", "--arg", "60", "--timeout", "0.1"], 1, "took longer than the 0.1 s"),
        (["local", "add", "--timeout", "0"], 2, "Pass more than 0"),
        (["local", "add", "--timeout", "nan"], 2, "Pass more than 0"),
        (["local", "add", "--timeout", "soon"], 2, "soon"),
        (["local", "add", "--run-name", "no good"], 2, "cannot be used as a name"),
        (["local"], 2, "KEY"),
    ],
)
def test_a_call_that_cannot_be_is_told(rh: Cli, words: list[str], code: int, said: str) -> None:
    record(rh.home, "gone", host=[f"127.0.0.1:{free_port()}"])
    done = rh("call", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.count("Traceback") == (1 if "has raised" in done.stderr else 0)


def test_what_has_no_form_in_json_is_told(rh: Cli) -> None:
    assert rh.json("call", "local", "make_point", "--x", "1") == {"x": 1, "y": 0}
    assert rh.json("call", "local", "make_bytes", "--size", "3") == "AAAA"
    told = rh.json("call", "local", "Counter", code=1)
    assert told["error"] == "NotSerializableError"
    assert rh.json("call", "local", "add", "--a", "1", "--run-name", "one") == 2


def test_arguments_have_the_types_of_the_annotations(rh: Cli) -> None:
    call = [
        "call",
        "local",
        "typed",
        "--number",
        "2",
        "--ratio",
        "1",
        "--yes",
        "no",
        "--text",
        "12",
    ]
    rest = ["--when", "2026-01-31", "--color", "red", "--items", "[1]", "--table={}", "--mode=fast"]
    told = rh.json(*call, *rest)
    assert told == {
        "number": 2,
        "ratio": 1.0,
        "yes": False,
        "text": "12",
        "when": "2026-01-31",
        "color": "red",
        "items": [1],
        "table": {},
        "mode": "fast",
        "maybe": None,
    }
    assert "datetime.date(2026, 1, 31)" in rh(*call, *rest).stdout


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_closed_stream_is_no_trouble(rh: Cli, stream: int) -> None:
    line = f"'{RH}' call local speak --text hello {stream}>&-"
    done = subprocess.run(
        ["bash", "-c", line],
        env=rh.environ, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0
    assert (done.stdout != "", done.stderr != "") == (stream != 1, stream != 2)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["keys", "keys --json", "call local add --a 1 --json"])
def test_a_full_disk_is_told(rh: Cli, words: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"'{RH}' {words} > /dev/full"],
        env=rh.environ, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error: [Errno 28] No space left on device\n"


# -- runs ----------------------------------------------------------------------------------------


def test_the_life_of_a_run(rh: Cli, tmp_path: Path) -> None:
    words = ["--path", str(tmp_path / "mark"), "--seconds", "12", "--run-name", "slow"]
    begun = rh("call", "local", "mark_slowly", "--background", *words)
    assert (begun.returncode, begun.stdout, begun.stderr) == (0, "slow\n", "")
    assert rh("result", "slow").returncode == 1
    assert "Wait for it with --wait" in rh("result", "slow").stderr
    row = next(line for line in rh("runs").stdout.splitlines() if line.startswith("slow "))
    assert row.split()[1:3] == ["mark_slowly", "running"]
    assert rh("logs", "slow").stdout.startswith("step 0\n")
    followed = rh("logs", "slow", "-f")
    assert followed.stdout == "".join(f"step {number}\n" for number in range(5))
    assert rh("result", "slow", "--wait").stdout == "1\n"
    assert rh.json("result", "slow") == 1
    assert rh.json("logs", "slow", "--follow") == {"name": "slow", "logs": followed.stdout}
    assert rh("cancel", "slow").stdout == "slow had ended before.\n"
    (found,) = [run for run in rh.json("runs") if run["key"] == "slow"]
    assert (found["status"], found["call"], found["env"]) == ("done", "mark_slowly", "default")
    assert rh.json("result", found["id"]) == 1
    assert rh.json("cancel", found["id"]) == {"name": found["id"], "cancelled": []}


def test_a_terminal_shows_what_is_waited_for(rh: Cli) -> None:
    rh("call", "local", "wait", "--seconds", "4", "--background", "--run-name", "nap")
    code, shown = on_terminal(rh, ["result", "nap", "--wait"], "")
    assert code == 0
    assert "Waiting for nap" in shown
    assert rh("result", "nap", "--wait").stderr == "", "nobody is shown anything elsewhere"


def test_the_newest_runs_are_listed_first(rh: Cli) -> None:
    run_python(
        rh, "for n in range(23): rh.function(sample.add).to(rh.here).run(n, run_name='many')"
    )
    shown = rh("runs").stdout.splitlines()
    assert shown[0].split() == ["KEY", "CALL", "STATUS", "AGE", "DURATION", "ENV"]
    assert len(shown) == 22
    assert "shown by: rh runs local --all" in shown[-1]
    everything = rh.json("runs", "local", "--all")
    assert len(rh("runs", "--all").stdout.splitlines()) == len(everything) + 1
    times = [run["created_at"] for run in everything]
    assert times == sorted(times, reverse=True)
    assert len(rh.json("runs")) == 20


def test_a_run_is_cancelled(rh: Cli) -> None:
    rh("call", "local", "wait", "--seconds", "60", "--background", "--run-name", "sleep")
    assert "TimeoutError" in rh("result", "sleep", "--timeout", "0.1", "--json").stdout
    assert rh("cancel", "sleep").stdout == "sleep was cancelled.\n"
    done = rh("result", "sleep", "--wait")
    assert (done.returncode, "cancelled" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


def test_all_runs_are_cancelled(rh: Cli) -> None:
    for name in ("first", "second"):
        rh("call", "local", "wait", "--seconds", "60", "--background", "--run-name", name)
    told = rh.json("cancel", "--all")
    assert told == {"name": "local", "cancelled": ["second", "first"]}
    assert rh("cancel", "--all").stdout == "0 runs cancelled.\n"
    statuses = {run["key"]: run["status"] for run in rh.json("runs")}
    assert (statuses["first"], statuses["second"]) == ("cancelled", "cancelled")


def test_force_ends_the_worker_too(rh: Cli) -> None:
    run_python(rh, "rh.function(sample.wait, 'wait_alone').to(rh.here, env='alone')")
    start = ["call", "local", "wait_alone", "--seconds", "60", "--background", "--run-name", "hang"]
    assert rh(*start).returncode == 0
    assert rh.json("cancel", "hang", "--force") == {"name": "hang", "cancelled": ["hang"]}
    wait_until(lambda: "alone" not in [w["env"] for w in rh.json("status")["workers"]])
    assert rh("keys").stdout, "other workers live on"


def test_ctrl_c_ends_the_showing_and_not_the_run(rh: Cli) -> None:
    rh("call", "local", "speak_often", "--text", "a", "--times", "3", "--background",
       "--run-name", "said")  # fmt: skip
    assert rh("logs", "said", "--follow").stdout == "a 0\na 1\na 2\n"
    slow = ["mark_slowly", "--path", "/dev/null", "--seconds", "300"]
    rh("call", "local", *slow, "--background", "--run-name", "watched")
    with subprocess.Popen(
        [RH, "logs", "watched", "-f"],
        env=rh.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"step 0\n"
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")
    assert [run["key"] for run in _going(rh)] == ["watched"]
    rh("cancel", "watched")


def test_a_call_that_is_interrupted_stops_there(rh: Cli, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with subprocess.Popen(
        [RH, "call", "local", "wait", "--seconds", "60", "--mark", str(mark)],
        env=rh.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        wait_until(lambda: len(_going(rh)) == 1)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    wait_until(mark.exists)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["logs", "nobody"], 4, "There is no run 'nobody'"),
        (["logs", "nobody", "-f"], 4, "There is no run 'nobody'"),
        (["logs", "x", "-c", "nobody"], 4, "nobody"),
        (["logs", "local", "-f"], 2, "Name a run"),
        (["logs", "-f"], 2, "Name a run"),
        (["result", "nobody"], 4, "There is no run 'nobody'"),
        (["result", "slow", "--timeout", "-1"], 2, "Pass 0 or more"),
        (["cancel", "nobody"], 4, "There is no run 'nobody'"),
        (["cancel"], 2, "Name one run, or add --all"),
        (["cancel", "slow", "--all"], 2, "Name one run, or add --all"),
        (["runs", "nobody"], 4, "nobody"),
        (["result"], 2, "RUN"),
    ],
)
def test_what_is_wrong_with_a_run_is_told(rh: Cli, words: list[str], code: int, said: str) -> None:
    done = rh(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if "-f" not in words and said != "RUN":
        told = json.loads(rh(*words, "--json").stdout)
        assert said in told["message"]


def test_a_name_may_be_that_of_a_run_or_of_a_cluster(rh: Cli) -> None:
    record(rh.home, "both", host=[f"127.0.0.1:{free_port()}"])
    assert rh("logs", "both").returncode == 5, "it is a cluster, and out of reach"
    rh("call", "local", "speak_often", "--text", "run", "--times", "1", "--run-name", "both")
    assert rh("logs", "both").stdout == "run 0\n"
    assert "server" in rh("logs").stdout
    assert rh("logs", "local").stdout == rh("logs").stdout


def test_a_result_whose_class_is_not_here_is_kept_all_the_same(rh: Cli) -> None:
    told = rh("call", "local", "make_point", "--x", "3", "--run-name", "point")
    assert told.returncode == 1
    assert "It needs what is not here: No module named 'tests'" in told.stderr
    assert rh("result", "point").returncode == 1
    assert run_python(rh, "print(rh.here.get_run('point').result())") == "Point(x=3, y=0)\n"


def test_a_generator_that_was_recorded_is_shown_item_by_item(rh: Cli) -> None:
    rh("call", "local", "count_to", "--number", "3", "--background", "--run-name", "items")
    assert rh("result", "items", "--wait").stdout == "0\n1\n2\n"
    assert rh("result", "items", "--json").stdout == "0\n1\n2\n"
