"""One shell command on this machine: how its output is read, and how it is ended."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import signal
import subprocess
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from runhouse.bootstrap.host import OnOutput

_CHUNK = 64 * 1024
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class LocalCompleted:
    """Hold how a local command ended."""

    exit_code: int
    stdout: str
    stderr: str


def run_command(command: str, data: bytes | None, on_output: OnOutput | None) -> LocalCompleted:
    """Run a shell command to its end; leaving early in any way hangs up all that it has started.

    Args:
        command: A line for `sh`.
        data: What it reads on standard input; None for nothing.
        on_output: Called with the stream's name and each piece of text, as it comes.
    """
    process = subprocess.Popen(  # noqa: S602 - running shell commands is what is asked for
        command,
        shell=True,
        stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    with process:
        try:
            texts = _follow(process, memoryview(data or b""), on_output)
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    return LocalCompleted(code if code >= 0 else 128 - code, texts["stdout"], texts["stderr"])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Hang up a command and what it has started, as sshd does; what ignores that is killed."""
    for number in (signal.SIGHUP, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
            return


def _follow(
    process: subprocess.Popen[bytes], rest: memoryview, on_output: OnOutput | None
) -> dict[str, str]:
    """Feed the command and read it until both outputs have ended."""
    texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
    decode = codecs.getincrementaldecoder("utf-8")
    decoders = {name: decode("replace") for name in texts}
    with selectors.DefaultSelector() as selector:
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while any(key.data for key in selector.get_map().values()):
            for key, _ in selector.select():
                if key.data is None:
                    rest = _feed(process.stdin, rest)
                    if not rest:
                        selector.unregister(key.fileobj)
                        _close(process.stdin)
                    continue
                chunk = os.read(key.fd, _CHUNK)
                text = decoders[key.data].decode(chunk, final=not chunk)
                if text:
                    texts[key.data].append(text)
                    if on_output is not None:
                        on_output(key.data, text)
                if not chunk:
                    selector.unregister(key.fileobj)
    return {name: "".join(pieces) for name, pieces in texts.items()}


def _feed(stream: IO[bytes] | None, data: memoryview) -> memoryview:
    """Write what the pipe takes; a command that reads no more gets no more."""
    if stream is None or not data:
        return data[:0]
    try:
        return data[os.write(stream.fileno(), data[:_CHUNK]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return data[:0]


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()
