"""Start a local program that ends when this process does, kill -9 included."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A process beside the program waits for the end of a pipe whose other end only we hold. When it
# comes and the program (`$$`, as the shell becomes it) still runs, the program is asked to end.
_SCRIPT = (
    '( { cat "/dev/fd/$1"; kill -0 $$ && kill -TERM $$; } </dev/null >/dev/null 2>&1 & ); '
    'shift; exec "$@"'
)


@contextmanager
def leashed(
    argv: Sequence[str],
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, and end it at the end of the block if it still runs then.

    Args:
        argv: The program and its arguments.
        stdin: As for `subprocess.Popen`; None for the one of this process.
        stdout: Likewise.
        stderr: Likewise.

    Yields:
        The process.
    """
    reading, writing = os.pipe()
    try:
        with subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", str(reading), *argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[reading],
        ) as process:
            os.close(reading)
            reading = -1
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
    finally:
        if reading >= 0:
            os.close(reading)
        os.close(writing)


def run_leashed(argv: Sequence[str]) -> int:
    """Run a program on this process's terminal; return its exit code (128 + N for signal N)."""
    with leashed(argv) as process:
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                continue  # the terminal has sent it to the program as well, which decides
    return code if code >= 0 else 128 - code
