"""Shell commands and Python programs on a cluster's hosts."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runhouse.errors import ClusterNotUpError
from runhouse.registry.names import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runhouse.bootstrap.host import Host, OnOutput

Output = tuple[int, str, str]
_PORTS = range(1, 65536)


@dataclass(frozen=True, slots=True)
class Commands:
    """Hold what is to be run, checked.

    Attributes:
        lines: The commands, or the lines of a program.
        env: Name of the env.
        stream: Whether output is shown while it comes.
        ports: Ports of the host to lead here meanwhile.
        run_name: The name under which outputs are kept on the host, or None.
    """

    lines: tuple[str, ...]
    env: str
    stream: bool
    ports: tuple[int, ...]
    run_name: str | None

    @classmethod
    def checked(
        cls,
        commands: str | Sequence[str],
        env: str,
        stream: bool,
        port_forward: int | Sequence[int] | None,
        run_name: str | None,
    ) -> Commands:
        """Check what a user gave.

        Raises:
            TypeError: The commands are no texts.
            ValueError: There is no command, or a port is out of range.
            InvalidNameError: The run's name cannot be used.
        """
        lines = (commands,) if isinstance(commands, str) else tuple(commands)
        if not all(isinstance(line, str) for line in lines):
            msg = f"The commands must be texts, but one of {lines!r} is not. Pass a text or a list of texts."
            raise TypeError(msg)
        if not lines:
            msg = "There is no command to run. The list is empty. Pass at least one command."
            raise ValueError(msg)
        ports = (port_forward,) if isinstance(port_forward, int) else tuple(port_forward or ())
        check_ports(*ports)
        return cls(lines, env, bool(stream), ports, check_name(run_name) if run_name else None)


def check_ports(*ports: int) -> None:
    """Refuse what is no TCP port.

    Raises:
        ValueError: A port is not a whole number from 1 to 65535.
    """
    for port in ports:
        if not isinstance(port, int) or isinstance(port, bool) or port not in _PORTS:
            msg = f"{port!r} is no port. Ports are whole numbers from 1 to 65535. Choose one of these."
            raise ValueError(msg)


def nodes_of(ips: Sequence[str], node: int | str | None) -> list[int]:
    """Return the indices of the nodes that a user means.

    Raises:
        ValueError: There is no such node.
    """
    if node is None:
        return [0]
    if node == "all":
        return list(range(len(ips)))
    if isinstance(node, int) and not isinstance(node, bool) and 0 <= node < len(ips):
        return [node]
    if isinstance(node, str) and node in ips:
        return [ips.index(node)]
    msg = (
        f"There is no node {node!r}. The nodes are {', '.join(map(repr, ips))}, counted from 0. "
        'Pass an index, an address or "all".'
    )
    raise ValueError(msg)


def show(name: str, text: str) -> None:
    """Write a piece of output to this process's own stream."""
    stream = sys.stdout if name == "stdout" else sys.stderr
    stream.write(text)
    stream.flush()


def run(host: Host, commands: Commands) -> list[Output]:
    """Run shell commands one after the other on a host."""
    on_output: OnOutput | None = show if commands.stream else None
    with _ports(host, commands.ports):
        done = [host.run(line, on_output=on_output) for line in commands.lines]
    outputs = [(each.exit_code, each.stdout, each.stderr) for each in done]
    _keep(host, commands, outputs)
    return outputs


def run_python(host: Host, commands: Commands) -> list[Output]:
    """Run lines of Python as one program on a host."""
    program = ("\n".join(commands.lines) + "\n").encode()
    with _ports(host, commands.ports):
        done = host.run(
            f"{shlex.quote(host.python())} -u -",
            input=program,
            on_output=show if commands.stream else None,
        )
    outputs = [(done.exit_code, done.stdout, done.stderr)]
    _keep(host, commands, outputs)
    return outputs


def _ports(host: Host, ports: Sequence[int]) -> contextlib.ExitStack:
    """Open tunnels for as long as the block runs."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(host.forward_port(port, port))
        return stack.pop_all()


def _keep(host: Host, commands: Commands, outputs: Sequence[Output]) -> None:
    """Store outputs on the host under the run's name, readable by this user only."""
    if commands.run_name is None:
        return
    rows = [
        {"command": line, "exit_code": code, "stdout": out, "stderr": err}
        for line, (code, out, err) in zip(commands.lines, outputs, strict=False)
    ]
    host.run(
        f"umask 077 && mkdir -p ~/.rh/runs && cat > ~/.rh/runs/{shlex.quote(commands.run_name)}.json",
        input=json.dumps(rows).encode(),
    )


def not_up(name: str) -> ClusterNotUpError:
    """Return the error for a server that does not run and is not to be started."""
    return ClusterNotUpError(
        f"The cluster {name!r} is not up. Its server does not run. Start it with cluster.up()."
    )
