"""One command on the host: how it is wrapped, how its output is read, what comes of it."""

from __future__ import annotations

import codecs
import os
import selectors
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Literal

from runhouse.errors import CommandFailedError, CommandTimeoutError
from runhouse.ssh.mux import ConnectionGoneError, Control

OnOutput = Callable[[Literal["stdout", "stderr"], str], None]
_LONGEST_COMMAND = 100_000  # Linux allows 128 KiB for one argument, and quotes are added
_CHUNK = 1 << 16
_TAIL = 4000  # characters of output in an error
_TIMEOUT_CODE = 124  # as of timeout(1)

# The command lives as long as its caller: our end of its standard input stays open until it has
# ended, and a process beside it waits for the end of that input. When that comes while the login
# shell (`$PPID`) still runs the command, the caller, the network or sshd is gone, and the process
# group is hung up, as a terminal would do; what was started with nohup stays. It is hung up twice,
# as a child that zsh has forked but not yet executed loses a signal of that moment. The outer
# lines are made of what all login shells have in common, fish included; the rest is for sh.
_WAIT = "trap '' HUP; cat; kill -0 $PPID && kill -HUP 0 && sleep 1 && kill -HUP 0"
_WATCH = f"exec 3<&0; ( {{ {_WAIT}; }} <&3 >/dev/null 2>&1 & )"
# With input: the first `$1` bytes go to the command, then its input ends and the waiting begins.
_FEED = f'exec 3<&0; ( {{ head -c "$1"; exec >/dev/null; {_WAIT}; }} <&3 2>/dev/null & )'


@dataclass(frozen=True, slots=True)
class Completed:
    """Hold what a command that has ended left.

    Attributes:
        exit_code: Its exit code; 128 + N when signal N ended it.
        stdout: Its whole standard output.
        stderr: Its whole standard error.
    """

    exit_code: int
    stdout: str
    stderr: str


class ConnectionDroppedError(Exception):
    """The connection ended while the command ran."""


def quote(text: str) -> str:
    """Quote a text for any login shell, fish included, which treats backslashes in quotes."""
    parts = text.replace("\\", "'\\\\'").split("'\\\\'")
    quoted = ["'" + part.replace("'", "'\\''") + "'" for part in parts]
    return "\\\\".join(quoted)


def as_line(command: str | Sequence[str]) -> str:
    """Return a command as one shell line; a sequence is quoted word for word.

    Raises:
        TypeError: It is neither a text nor a sequence of texts.
        ValueError: It is empty, has a NUL character, or is too long for a host to take.
    """
    if isinstance(command, str):
        text = command
    elif isinstance(command, Sequence) and all(isinstance(word, str) for word in command):
        text = shlex.join(command)
    else:
        msg = (
            "The command cannot be run. It must be a text or a list of texts, not "
            f"{type(command).__name__}. Write it as in a shell, or word for word in a list."
        )
        raise TypeError(msg)
    if not text.strip() or "\0" in text or len(text.encode("utf-8", "replace")) > _LONGEST_COMMAND:
        msg = (
            "The command cannot be run. It is empty, has a NUL character, or is longer than "
            f"{_LONGEST_COMMAND} bytes. Correct it, or give a long script as input to sh."
        )
        raise ValueError(msg)
    return text


def wrapped(command: str, input_size: int) -> str:
    """Return the line to send to the host, so that the command ends when its caller does."""
    # The last word keeps the shell from becoming the command, so that it can tell of a signal.
    if input_size:
        return f"sh -c {quote(_FEED)} rh {input_size} | eval {quote(command)}; exit"
    return f"sh -c {quote(_WATCH)}; eval {quote(command)} </dev/null; exit"


@dataclass(slots=True)
class Exchange:
    """Run one command over a conversation with the connection's owner, and read what it says."""

    control: Control
    input: bytes | memoryview = b""
    on_output: OnOutput | None = None
    stdout_to: IO[bytes] | None = None
    deadline: float | None = None
    _texts: dict[str, list[str]] = field(default_factory=lambda: {"stdout": [], "stderr": []})

    def run(self, command: str) -> Completed:
        """Run a command to its end; leaving early in any way hangs it up on the host.

        Raises:
            RefusedError: The connection takes no further session; nothing was run.
            ConnectionGoneError: It ended before the command was started.
            ConnectionDroppedError: It ended, and the command may or may not have run to its end.
            TimeoutError: The deadline has passed.
        """
        with ExitStack() as stack:
            stack.callback(self.control.close)
            with ExitStack() as theirs:
                their_stdin, stdin = _pipe(theirs, stack)
                stdout, their_stdout = _pipe(stack, theirs)
                stderr, their_stderr = _pipe(stack, theirs)
                line = wrapped(command, len(self.input))
                self.control.open_session(line, their_stdin, their_stdout, their_stderr)
            os.set_blocking(stdin, False)
            code = self._follow(stdin, stdout, stderr)
        if code is None:
            msg = "the session ended without an exit code"
            raise ConnectionDroppedError(msg)
        return Completed(code, self.text("stdout"), self.text("stderr"))

    def text(self, stream: Literal["stdout", "stderr"]) -> str:
        """Return what has been read so far."""
        return "".join(self._texts[stream])

    def _follow(self, stdin: int, stdout: int, stderr: int) -> int | None:
        """Feed the command and read it until both outputs and the conversation have ended."""
        code = None
        rest = memoryview(self.input)
        decode = codecs.getincrementaldecoder("utf-8")
        decoders = {stdout: ("stdout", decode("replace")), stderr: ("stderr", decode("replace"))}
        with selectors.DefaultSelector() as selector:
            for descriptor in (stdout, stderr, self.control):
                selector.register(descriptor, selectors.EVENT_READ)
            if rest:
                selector.register(stdin, selectors.EVENT_WRITE)
            while any(key.fd != stdin for key in selector.get_map().values()):
                for key, _ in selector.select(self._remaining()):
                    if key.fd == stdin:
                        rest = _feed(stdin, rest)
                        if not rest:
                            selector.unregister(stdin)
                    elif key.fd in decoders:
                        chunk = os.read(key.fd, _CHUNK)
                        name, decoder = decoders[key.fd]
                        if key.fd == stdout and self.stdout_to is not None:
                            self.stdout_to.write(chunk)
                        else:
                            self._deliver(name, decoder.decode(chunk, final=not chunk))
                        if not chunk:
                            selector.unregister(key.fd)
                    else:
                        try:
                            found = self.control.exit_code()
                            code = code if found is None else found
                        except ConnectionGoneError:
                            selector.unregister(self.control)
        return code

    def _deliver(self, name: str, text: str) -> None:
        if text:
            self._texts[name].append(text)
            if self.on_output is not None:
                self.on_output("stdout" if name == "stdout" else "stderr", text)

    def _remaining(self) -> float | None:
        if self.deadline is None:
            return None
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining


def _feed(descriptor: int, data: memoryview) -> memoryview:
    """Write what the pipe takes; a command that reads no more gets no more."""
    try:
        return data[os.write(descriptor, data[:_CHUNK]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return memoryview(b"")


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Make a pipe whose two ends are closed with these stacks."""
    reading, writing = os.pipe()
    reader.callback(os.close, reading)
    writer.callback(os.close, writing)
    return reading, writing


def check_arguments(data: object, on_output: object, timeout_s: object) -> None:
    """Refuse arguments of `Session.run` that are of a wrong type or out of range."""
    if data is not None and not isinstance(data, (bytes, memoryview)):
        kind = type(data).__name__
        msg = f"The input cannot be used. It is of type {kind}. Give bytes."
        raise TypeError(msg)
    if on_output is not None and not callable(on_output):
        msg = "on_output cannot be used. It cannot be called. Give a function of two arguments."
        raise TypeError(msg)
    if timeout_s is None:
        return
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)):
        kind = type(timeout_s).__name__
        msg = f"timeout_s cannot be used. It is of type {kind}. Give a number of seconds."
        raise TypeError(msg)
    if not timeout_s > 0:
        msg = f"timeout_s cannot be used. {timeout_s} is not positive. Give seconds, or None."
        raise ValueError(msg)


def failed_error(command: str, completed: Completed) -> CommandFailedError:
    """Return the error for a command that ended with a code other than 0."""
    tail = completed.stderr[-_TAIL:] or completed.stdout[-_TAIL:]
    msg = (
        f"The command failed on the host: {command[:200]}. It ended with code "
        f"{completed.exit_code}. It wrote: {tail.strip() or 'nothing'}"
    )
    return CommandFailedError(
        msg,
        command=command,
        exit_code=completed.exit_code,
        stdout_tail=completed.stdout[-_TAIL:],
        stderr_tail=completed.stderr[-_TAIL:],
    )


def timeout_error(command: str, exchange: Exchange, timeout_s: float | None) -> CommandTimeoutError:
    """Return the error for a command that was hung up as its time had passed."""
    msg = (
        f"The command was hung up on the host: {command[:200]}. It ran longer than "
        f"{timeout_s:g} s. Allow it more time, or look at why it takes so long."
    )
    return CommandTimeoutError(
        msg,
        command=command,
        exit_code=_TIMEOUT_CODE,
        stdout_tail=exchange.text("stdout")[-_TAIL:],
        stderr_tail=exchange.text("stderr")[-_TAIL:],
    )
