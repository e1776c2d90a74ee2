"""How commands are quoted and wrapped, proved with the shells of this machine."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from runhouse.ssh.command import as_line, check_arguments, quote, wrapped

_TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
_SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "fish", "ksh") if shutil.which(shell)]


def _run(shell: str, line: str, data: bytes = b"") -> tuple[int, bytes]:
    """Run a line as sshd does: in a session of its own, with an input that stays open."""
    with subprocess.Popen(
        [shell, "-c", line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data)
        process.stdin.flush()
        output = process.stdout.read()
        return process.wait(10), output


@pytest.mark.parametrize("shell", _SHELLS)
@settings(max_examples=30, deadline=None)
@given(text=_TEXTS)
@example(text="a'b\\c\"d$e`f\ng\\'h\\\\")
def test_a_quoted_text_is_one_word_of_any_shell(shell: str, text: str) -> None:
    assert _run(shell, f"printf %s {quote(text)}") == (0, text.encode())


@settings(max_examples=30, deadline=None)
@given(words=st.lists(_TEXTS, max_size=4))
def test_a_sequence_is_quoted_word_for_word(words: list[str]) -> None:
    _, output = _run("sh", as_line(["printf", "%s\\0", "x", *words]))
    assert output == b"".join(word.encode() + b"\0" for word in ["x", *words])


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.parametrize(
    ("command", "code", "output"),
    [
        ("echo a; echo b", 0, b"a\nb\n"),
        ("cat; exit 3", 3, b""),
        ("echo \"it's\" 'a \\ b' # the end", 0, b"it's a \\ b\n"),
        ("echo a\n\necho b", 0, b"a\nb\n"),
        ("sh -c 'kill -9 $$'", 137, b""),
        ("false", 1, b""),
    ],
)
def test_a_wrapped_command_behaves_as_it_does_alone(
    shell: str, command: str, code: int, output: bytes
) -> None:
    assert _run(shell, wrapped(command, 0)) == (code, output)


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.parametrize(("command", "code"), [("cat", 0), ("cat; exit 4", 4)])
def test_a_wrapped_command_gets_its_input_and_the_end_of_it(
    shell: str, command: str, code: int
) -> None:
    data = bytes(range(256)) * 100
    assert _run(shell, wrapped(command, len(data)), data) == (code, data)


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.parametrize("data", [b"", b"some input"])
def test_a_command_is_hung_up_when_its_input_closes(shell: str, data: bytes) -> None:
    with subprocess.Popen(
        [shell, "-c", wrapped("echo ready; sleep 1000; echo never", len(data))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data)
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        process.stdin.close()  # the shell may be about to start `sleep`, or have done so
        # A child that zsh has forked and not executed may write once more what zsh has written.
        assert process.stdout.read() in (b"", b"ready\n" if shell == "zsh" else b"")
        process.wait(10)


@pytest.mark.parametrize("command", ["", "  ", "a\0b", "x" * 200_000, []])
def test_a_command_that_no_host_takes_is_refused(command: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot be run\. .+\. .+\."):
        as_line(command)


@pytest.mark.parametrize("command", [None, 3, b"ls", ["ls", 3], {"ls"}])
def test_a_command_of_another_type_is_refused(command: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot be run\. .+\. .+\."):
        as_line(command)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("text", None, None), TypeError),
        ((None, "print", None), TypeError),
        ((None, None, "3"), TypeError),
        ((None, None, True), TypeError),
        ((None, None, 0), ValueError),
        ((None, None, float("nan")), ValueError),
    ],
)
def test_arguments_of_run_are_checked(arguments: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"cannot be used\. .+\. .+\."):
        check_arguments(*arguments)
