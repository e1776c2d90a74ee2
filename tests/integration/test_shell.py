"""Commands, Python programs and shells on a cluster's hosts: what goes in, and what comes back."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import runhouse as rh
from tests.rigs.clusters import local_and_ssh, private_sshd
from tests.rigs.sshd import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(60)
cluster = local_and_ssh


def quiet(cluster: rh.Cluster, *commands: str) -> list[tuple[int, str, str]]:
    return cluster.run(list(commands), stream_logs=False)


def python(cluster: rh.Cluster, *lines: str) -> tuple[int, str, str]:
    (output,) = cluster.run_python(list(lines), stream_logs=False)
    return output


# -- commands ----------------------------------------------------------------------------------


def test_every_command_runs_and_tells_how_it_ended(cluster: rh.Cluster) -> None:
    outputs = quiet(
        cluster, "echo out; echo err >&2; exit 3", "false", "sh -c 'kill -9 $$'", "echo end"
    )
    assert outputs[0] == (3, "out\n", "err\n")
    assert outputs[1] == (1, "", "")
    assert outputs[2][0] == 137
    assert outputs[3] == (0, "end\n", "")
    assert cluster.run("exit 4", require_outputs=False) == [4]
    assert quiet(cluster, "no-such-program")[0][0] == 127
    assert quiet(cluster, "cd /; pwd", "pwd")[1][1] != "/\n", "each has a shell of its own"


@pytest.mark.parametrize(
    "text", ["'", '"', "\\", "$HOME", "`id`", "a  b", "ü€😀", "%s", "!x", "*", "line\nline", "\t"]
)
def test_texts_arrive_as_they_are(cluster: rh.Cluster, text: str) -> None:
    quoted = "'" + text.replace("'", "'\\''") + "'"
    assert quiet(cluster, f"printf %s {quoted}") == [(0, text, "")]


def test_big_outputs_are_whole_on_both_streams(cluster: rh.Cluster) -> None:
    count = 200_000
    ((code, out, err),) = quiet(cluster, f"seq {count} >&2 & seq {count}; wait")
    expected = "".join(f"{n}\n" for n in range(1, count + 1))
    assert (code, out == expected, err == expected) == (0, True, True)


def test_bytes_that_are_no_text_do_no_harm(cluster: rh.Cluster) -> None:
    assert quiet(cluster, r"printf 'a\377b'") == [(0, "a\ufffdb", "")]


def test_output_is_shown_while_it_comes_and_only_when_wanted(
    cluster: rh.Cluster, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    seen: list[str] = []

    def has_seen_the_first() -> bool:
        seen.append(capsys.readouterr().out)
        return "first" in "".join(seen)

    def open_gate() -> None:
        wait_until(has_seen_the_first)
        gate.write_text("go")

    thread = threading.Thread(target=open_gate)
    thread.start()
    outputs = cluster.run(f"echo first; cat {gate}; echo last >&2")
    thread.join()
    assert outputs == [(0, "first\ngo", "last\n")]
    assert capsys.readouterr().err == "last\n"
    quiet(cluster, "echo silent; echo silent >&2")
    assert capsys.readouterr() == ("", "")


def test_an_env_s_interpreter_comes_first_in_path(cluster: rh.Cluster) -> None:
    found = cluster.run("command -v python; echo '$x' \"it's\"", env="default", stream_logs=False)
    assert found == [(0, f"{Path(sys.executable).parent}/python\n$x it's\n", "")]


def test_ports_lead_here_while_the_command_runs() -> None:
    with private_sshd() as sshd:
        box = sshd.cluster("forward")
        port = free_port()
        answers = []

        def probe() -> None:
            def is_open() -> bool:
                with socket.socket() as client:
                    return client.connect_ex(("127.0.0.1", port)) == 0

            wait_until(is_open)
            answers.append(port)
            done.touch()

        done = sshd.folder / "done"
        thread = threading.Thread(target=probe)
        thread.start()
        wait = f"while [ ! -e {done} ]; do sleep 0.02; done; echo ended"
        outputs = box.run(wait, port_forward=port, stream_logs=False)
        thread.join()
        assert (outputs, answers) == ([(0, "ended\n", "")], [port])
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) != 0
        box.disconnect()


def test_outputs_are_kept_under_a_run_s_name(cluster: rh.Cluster) -> None:
    name = f"kept-{os.getpid()}"
    cluster.run(["echo 'a'", "exit 2"], stream_logs=False, run_name=name)
    file = f'"${{RH_HOME:-$HOME/.rh}}"/runs/{name}.json'
    ((_, text, _), (_, mode, _)) = quiet(cluster, f"cat {file}", f"stat -c %a {file}")
    assert json.loads(text) == [
        {"command": "echo 'a'", "exit_code": 0, "stdout": "a\n", "stderr": ""},
        {"command": "exit 2", "exit_code": 2, "stdout": "", "stderr": ""},
    ]
    assert mode == "600\n"
    cluster.run_python(["x = 1", "print(x)"], stream_logs=False, run_name=name)
    ((_, text, _),) = quiet(cluster, f"cat {file}")
    assert json.loads(text)[0]["command"] == "x = 1\nprint(x)\n"


# -- programs ----------------------------------------------------------------------------------


def test_lines_of_python_are_one_program(cluster: rh.Cluster) -> None:
    lines = [
        "import sys",
        "def f(x):",
        '    return f"{x} it\'s \\"quoted\\" $HOME `id` \\\\ ü"',
        "for x in range(2):",
        "    if x:",
        "        print(f(x))",
        "    else:",
        "        print('''zero''', file=sys.stderr)",
        "print(len('''two",
        "lines'''))",
    ]
    expected = '1 it\'s "quoted" $HOME `id` \\ ü\n9\n'
    assert python(cluster, *lines) == (0, expected, "zero\n")
    assert cluster.run_python("print(1)", stream_logs=False) == [(0, "1\n", "")]


def test_a_program_that_fails_tells_its_code_and_traceback(cluster: rh.Cluster) -> None:
    code, out, err = python(cluster, "print('before')", "1 / 0")
    assert (code, out) == (1, "before\n")
    assert err.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert python(cluster, "import sys", "sys.exit(7)")[0] == 7
    assert "SyntaxError" in python(cluster, "for")[2]


def test_programs_run_in_the_workers_interpreter(cluster: rh.Cluster) -> None:
    assert python(cluster, "import sys", "print(sys.executable)")[1] == f"{sys.executable}\n"


def test_a_program_s_big_output_is_whole(cluster: rh.Cluster) -> None:
    code, out, err = python(
        cluster, "import sys", "print('x' * 3_000_000)", "print('y' * 3_000_000, file=sys.stderr)"
    )
    assert (code, len(out), len(err)) == (0, 3_000_001, 3_000_001)


# -- shells ------------------------------------------------------------------------------------

_SHELL = """
import runhouse as rh
cluster = rh.Cluster.from_config({config})
print("code", cluster.ssh())
"""


class Terminal:
    """Run a Python program on a terminal, type, and read what is shown."""

    def __init__(self, program: str) -> None:
        master, slave = pty.openpty()
        environ = {**os.environ, "SHELL": "/bin/sh", "PS1": "$ ", "TERM": "dumb"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._master = master
        self.text = ""

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def read_until(self, pattern: str, timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self._master], [], [], deadline - time.monotonic())
            assert ready, f"no {pattern!r} in {self.text!r}"
            self.text += os.read(self._master, 4096).decode()

    def close(self) -> None:
        os.close(self._master)
        self._process.kill()
        self._process.wait()


def test_a_shell_on_a_terminal_answers(cluster: rh.Cluster) -> None:
    terminal = Terminal(_SHELL.format(config=cluster.config()))
    try:
        terminal.type("echo $((40+2)); tty; exit 5")
        terminal.read_until(r"\b42\r?\n/dev/pts/\d+")
        terminal.read_until(r"code 5\r?\n")
    finally:
        terminal.close()


# -- bad input ---------------------------------------------------------------------------------

NOWHERE = rh.cluster("nowhere", host=["nowhere.invalid", "second.invalid"])


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda c: c.run(None), TypeError, "commands cannot be used"),
        (lambda c: c.run(b"ls"), TypeError, "It is of type bytes"),
        (lambda c: c.run(["ls", 3]), TypeError, r"commands\[1\]"),
        (lambda c: c.run({"a": "b"}), TypeError, "It is of type dict"),
        (lambda c: c.run([]), ValueError, "The list is empty"),
        (lambda c: c.run("  "), ValueError, "It is empty"),
        (lambda c: c.run("a\0b"), ValueError, "NUL"),
        (lambda c: c.run("x" * 200_000), ValueError, "longer than"),
        (lambda c: c.run("ls", env="no good"), ValueError, "as a name"),
        (lambda c: c.run("ls", env=""), ValueError, "as a name"),
        (lambda c: c.run("ls", run_name="../x"), ValueError, "as a name"),
        (lambda c: c.run("ls", run_name=""), ValueError, "as a name"),
        (lambda c: c.run("ls", port_forward=0), ValueError, "port_forward cannot be 0"),
        (lambda c: c.run("ls", port_forward="80"), TypeError, "port_forward cannot be used"),
        (lambda c: c.run("ls", port_forward=[80, 1.5]), TypeError, r"port_forward\[1\]"),
        (lambda c: c.run("ls", port_forward=True), TypeError, "of type bool"),
        (lambda c: c.run("ls", node=2), ValueError, "no node 2"),
        (lambda c: c.run("ls", node=-1), ValueError, "no node -1"),
        (lambda c: c.run("ls", node="third"), ValueError, "no node 'third'"),
        (lambda c: c.run("ls", node=1.0), TypeError, "node cannot be used"),
        (lambda c: c.run_python(3), TypeError, "commands cannot be used"),
        (lambda c: c.run_python([]), ValueError, "The list is empty"),
        (lambda c: c.run_python(["a", "b\0"]), ValueError, r"commands\[1\]"),
        (lambda c: c.run_python(["'\ud800'"]), ValueError, "Unicode"),
        (lambda c: c.run_python(["1"], port_forward=-1), ValueError, "cannot be -1"),
        (lambda c: c.ssh_tunnel("80"), TypeError, "local_port"),
        (lambda c: c.ssh_tunnel(0), ValueError, "local_port cannot be 0"),
        (lambda c: c.ssh_tunnel(80, 65536), ValueError, "remote_port cannot be 65536"),
        (lambda c: c.ssh_tunnel(80, 81, num_ports_to_try=-1), ValueError, "least is 0"),
        (lambda c: c.ssh_tunnel(80, 81, num_ports_to_try="1"), TypeError, "num_ports_to_try"),
        (lambda c: c.rsync(3, "x"), TypeError, "source cannot be used"),
        (lambda c: c.rsync("", "x"), ValueError, "source cannot be ''"),
        (lambda c: c.rsync("/", "a\0"), ValueError, "dest cannot be"),
        (lambda c: c.rsync(b"/", "x"), TypeError, "source cannot be used"),
        (lambda c: c.rsync("/", "x", filter_options=3), TypeError, "filter_options"),
        (lambda c: c.rsync("/", "x", node=9), ValueError, "no node 9"),
        (lambda c: c.keep_warm("5"), TypeError, "autostop_mins"),
        (lambda c: c.keep_warm(-2), ValueError, "The least is -1"),
    ],
)
def test_bad_input_is_refused_before_anything_is_connected(
    act: object, error: type[Exception], words: str
) -> None:
    assert callable(act)
    with pytest.raises(error, match=words) as caught:
        act(NOWHERE)
    assert re.search(r"\. .+\. .+", str(caught.value), re.DOTALL), "three sentences"
