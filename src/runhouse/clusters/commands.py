"""Commands, shells, tunnels and files on a cluster's hosts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from runhouse.clusters import arguments, shell
from runhouse.clusters.envs import Envs
from runhouse.files import Copying
from runhouse.specs.progress import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from runhouse.bootstrap.host import Tunnel
    from runhouse.clusters.env_use import EnvLike


class Commands(Envs):
    """Work on a cluster's hosts by shell commands, without its server."""

    @overload
    def run(
        self,
        commands: str | Sequence[str],
        env: EnvLike = None,
        stream_logs: bool = True,
        port_forward: int | Sequence[int] | None = None,
        require_outputs: Literal[True] = True,
        run_name: str | None = None,
        *,
        node: int | str | None = None,
    ) -> list[shell.Output]: ...

    @overload
    def run(
        self,
        commands: str | Sequence[str],
        env: EnvLike = None,
        stream_logs: bool = True,
        port_forward: int | Sequence[int] | None = None,
        require_outputs: bool = True,
        run_name: str | None = None,
        *,
        node: int | str | None = None,
    ) -> list[shell.Output] | list[int]: ...

    def run(
        self,
        commands: str | Sequence[str],
        env: EnvLike = None,
        stream_logs: bool = True,
        port_forward: int | Sequence[int] | None = None,
        require_outputs: bool = True,
        run_name: str | None = None,
        *,
        node: int | str | None = None,
    ) -> list[shell.Output] | list[int]:
        """Run shell commands, one after the other, each in a shell of its own.

        A command that fails does not raise and does not stop the next one: its exit code tells.

        Args:
            commands: One command, or several.
            env: The env, or its name, whose variables are set and whose interpreter comes first in
                PATH; None for the cluster's own, and if it was given none, for PATH as it is.
            stream_logs: Show the output here while the commands run.
            port_forward: A port of the host, or several, to lead to the same ports here meanwhile.
            require_outputs: Return the outputs too; False returns the exit codes only.
            run_name: Keep the outputs on the host, in `~/.rh/runs/<run_name>.json`.
            node: Index or address of the node; "all" for all of them; None for the head.

        Returns:
            One `(exit code, stdout, stderr)` for each command, node by node for "all"; or the
            exit codes. Bytes that are not UTF-8 become U+FFFD.

        Raises:
            ConnectError: The host cannot be reached, or the connection broke in mid-command.
            TypeError: An argument is of the wrong type.
            ValueError: There is no command or no such node, or a port is out of range.
            InvalidNameError: The name of the env or run cannot be used.
            EnvSetupError: The env could not be set up.

        Example:
            >>> import runhouse as rh
            >>> rh.here.run("exit 3", require_outputs=False)
            [3]
        """
        lines = arguments.commands(commands)
        options = shell.Options.checked(stream_logs, port_forward, run_name)
        nodes = arguments.nodes(self.ips, node)
        options = replace(options, script=self.env_script(env))
        if options.script and nodes != [0]:
            msg = (
                "The commands were not run. Envs are on the head of a cluster, and another node "
                "was asked for. Leave out env=, or make that host a cluster of its own."
            )
            raise ValueError(msg)
        outputs = [
            output for index in nodes for output in shell.run(self.host_of(index), lines, options)
        ]
        return outputs if require_outputs else [code for code, _, _ in outputs]

    def run_python(
        self,
        commands: str | Sequence[str],
        env: EnvLike = None,
        stream_logs: bool = True,
        port_forward: int | Sequence[int] | None = None,
        run_name: str | None = None,
    ) -> list[shell.Output]:
        r"""Run lines of Python as one program, in the interpreter of the cluster's workers.

        The program goes over standard input: any quotes and compound statements work.

        Args:
            commands: The lines; a line may hold several.
            env: The env, or its name; None for the cluster's own.
            stream_logs: Show the output here while it runs.
            port_forward: A port of the host, or several, to lead to the same ports here meanwhile.
            run_name: Keep the output on the host, in `~/.rh/runs/<run_name>.json`.

        Returns:
            One `(exit code, stdout, stderr)`; a program that fails does not raise.

        Raises:
            ConnectError: The host cannot be reached, or the connection broke.
            BootstrapError: The host was reached, but has no Python that can be used.
            TypeError: An argument is of the wrong type.
            ValueError: There are no lines, or a port is out of range.
            InvalidNameError: The name of the env or run cannot be used.
            EnvSetupError: The env could not be set up.

        Example:
            >>> import runhouse as rh
            >>> rh.here.run_python(["for x in range(2):", "    print(x)"], stream_logs=False)
            [(0, '0\n1\n', '')]
        """
        lines = arguments.program(commands)
        options = shell.Options.checked(stream_logs, port_forward, run_name)
        options = replace(options, script=self.env_script(env))
        return shell.run_python(self.host_of(), lines, options)

    def ssh(self) -> int:
        """Open a shell on the head, on this terminal.

        Returns:
            The shell's exit code.

        Raises:
            ConnectError: The host cannot be reached, or does not let us in.

        Example:
            >>> import runhouse as rh
            >>> code = rh.here.ssh()  # doctest: +SKIP
        """
        return self.host_of().interactive()

    def ssh_tunnel(
        self, local_port: int, remote_port: int | None = None, num_ports_to_try: int = 0
    ) -> tuple[Tunnel, int]:
        """Lead a port of this machine to a port of the head.

        Args:
            local_port: The port here; 0 for any free one.
            remote_port: The port on the host; None for the same number.
            num_ports_to_try: How many further ports to try here when the first ones are busy.

        Returns:
            The tunnel (a context manager with `close()`), and the port here that leads to it.

        Raises:
            ConnectError: The host cannot be reached.
            SettingsError: No port was free.
            TypeError: An argument is no whole number.
            ValueError: A port is not between 1 and 65535.

        Example:
            >>> import runhouse as rh
            >>> tunnel, port = rh.here.ssh_tunnel(0, remote_port=8888)
            >>> with tunnel:
            ...     port == tunnel.local_port
            True
        """
        arguments.port("local_port", local_port, least=0 if remote_port is not None else 1)
        remote = local_port if remote_port is None else arguments.port("remote_port", remote_port)
        attempts = arguments.number("num_ports_to_try", num_ports_to_try, least=0) + 1
        tunnel = self.host_of().forward_port(local_port, remote, attempts=min(attempts, 65535))
        return tunnel, tunnel.local_port

    def rsync(
        self,
        source: str | PathLike[str],
        dest: str | PathLike[str],
        up: bool = True,
        contents: bool = False,
        filter_options: str | Sequence[str] | None = None,
        node: int | str | None = None,
    ) -> None:
        """Copy files or directories to or from the cluster, and show how far that is.

        What is there already is not sent again, and an interrupted copy goes on where it stopped.

        Args:
            source: Path to copy from; on the host when `up` is off.
            dest: Path to copy to; a relative one on the host is relative to the home directory.
            up: Copy to the cluster; False copies from it.
            contents: Copy what is in the directory instead of the directory itself.
            filter_options: A pattern of names to leave out, or several, as rsync's `--exclude`
                takes them.
            node: Index or address of the node; "all" for all of them, to copy to each; None for
                the head.

        Raises:
            SyncError: A file could not be copied.
            FileNotFoundError: There is no `source` here.
            ConnectError: The host cannot be reached.
            TypeError: An argument is of the wrong type.
            ValueError: A path is empty, or there is no such node.

        Example:
            >>> import runhouse as rh
            >>> import pathlib, tempfile
            >>> folder = pathlib.Path(tempfile.mkdtemp())
            >>> _ = (folder / "data.txt").write_text("abc")
            >>> rh.here.rsync(folder / "data.txt", folder / "copy.txt")
            >>> (folder / "copy.txt").read_text()
            'abc'
        """
        origin, target = arguments.path("source", source), arguments.path("dest", dest)
        if up and not Path(origin).expanduser().exists():
            msg = f"{origin} cannot be copied. There is no such file here. Correct the path."
            raise FileNotFoundError(msg)
        filters = arguments.texts(
            "filter_options", () if filter_options is None else filter_options
        )
        for index in arguments.nodes(self.ips, node):
            with shown(Path(origin).name) as on_bytes:
                how = Copying(excludes=filters, on_bytes=on_bytes)
                self.host_of(index).copy(origin, target, up=up, contents=contents, how=how)
