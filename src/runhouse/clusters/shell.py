"""Shell commands and Python programs on a cluster's hosts."""

from __future__ import annotations

import contextlib
import json
import logging
import shlex
import sys
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from runhouse.clusters import arguments
from runhouse.registry.names import check_name
from runhouse.ssh.command import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runhouse.bootstrap.host import Completed, Host, OnOutput

Output = tuple[int, str, str]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """Hold how something is to be run, checked.

    Attributes:
        stream: Whether output is shown while it comes.
        ports: Ports of the host to lead here meanwhile.
        run_name: The name under which outputs are kept on the host, or None.
        script: A file on the host that sets the variables of an env; empty: only the interpreter of
            the host's workers comes first in PATH; None: PATH as it is.
    """

    stream: bool
    ports: tuple[int, ...]
    run_name: str | None
    script: str | None = None

    @classmethod
    def checked(cls, stream_logs: bool, port_forward: object, run_name: str | None) -> Options:
        """Check what a user gave.

        Raises:
            TypeError: A port is no number.
            ValueError: A port is out of range.
            InvalidNameError: The name of the run cannot be used.
        """
        return cls(
            stream=bool(stream_logs),
            ports=arguments.ports("port_forward", port_forward),
            run_name=None if run_name is None else check_name(run_name),
        )

    @property
    def on_output(self) -> OnOutput | None:
        """Return what shows a piece of output, or None."""
        return show if self.stream else None


def show(name: str, text: str) -> None:
    """Write a piece of output to this process's own stream."""
    stream = sys.stdout if name == "stdout" else sys.stderr
    stream.write(text)
    stream.flush()


def run(host: Host, lines: Sequence[str], options: Options) -> list[Output]:
    """Run shell commands one after the other on a host."""
    script = options.script
    ready = lines if script is None else [_in_env(host, line, script) for line in lines]
    with _tunnels(host, options.ports):
        outputs = [_output(host.run(line, on_output=options.on_output)) for line in ready]
    if options.run_name is not None:
        _keep(host, options.run_name, list(zip(lines, outputs, strict=True)))
    return outputs


def run_python(host: Host, lines: Sequence[str], options: Options) -> list[Output]:
    """Run lines of Python as one program on a host."""
    program = "\n".join(lines) + "\n"
    with _tunnels(host, options.ports):
        command = f"{shlex.quote(host.python())} -u -"
        if options.script:
            command = _in_env(host, "exec python -u -", options.script)
        done = host.run(command, input=program.encode(), on_output=options.on_output)
    if options.run_name is not None:
        _keep(host, options.run_name, [(program, _output(done))])
    return [_output(done)]


def _output(done: Completed) -> Output:
    return done.exit_code, done.stdout, done.stderr


def _in_env(host: Host, line: str, script: str) -> str:
    """Return a command for any login shell in which the env's interpreter comes first in PATH."""
    if script:
        return f"sh -c {quote(f'. {quote(script)}{chr(10)}{line}')}"
    folder = PurePosixPath(host.python()).parent
    return f'env PATH={quote(str(folder))}:"$PATH" sh -c {quote(line)}'


@contextlib.contextmanager
def _tunnels(host: Host, ports: Sequence[int]) -> Iterator[None]:
    """Lead ports of the host here for as long as the block runs."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(host.forward_port(port, port))
        yield


def _keep(host: Host, name: str, outputs: Sequence[tuple[str, Output]]) -> None:
    """Store outputs on the host under the run's name, readable by this user only."""
    rows = [
        {"command": command, "exit_code": code, "stdout": out, "stderr": err}
        for command, (code, out, err) in outputs
    ]
    script = (
        'umask 077 && runs="${RH_HOME:-$HOME/.rh}/runs" && mkdir -p "$runs" && cd "$runs" && '
        f"cat >.{name}.$$ && mv .{name}.$$ {name}.json"
    )
    done = host.run(f"sh -c {quote(script)}", input=json.dumps(rows).encode())
    if done.exit_code:
        log.warning("the outputs of the run %s were not kept: %s", name, done.stderr.strip())
