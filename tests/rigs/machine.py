"""Machines for tests: hosts with a root directory, processes and a network of their own.

Each runs a real sshd in Linux namespaces, over a copy-on-write layer in memory; nothing of the
machine that runs the tests is changed, and everything is gone when the process ends that made it.

Example:
    with Machine(MachineSpec(authorized_key=key, pythons=("3.12",))) as machine:
        machine.exec("python3 -V")    # as the user; or over ssh to machine.host, machine.port
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs import namespaces
from tests.rigs.machine_spec import MachineSpec, prepare
from tests.rigs.namespaces import SYSTEM_PATH, Process
from tests.rigs.relay import Relay
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Machine", "MachineSpec", "Process"]

_INIT = Path(__file__).with_name("machine_init.sh")
_START_TIMEOUT_S = 15.0
_SSHD = "/usr/sbin/sshd -E /var/log/sshd.log"


class Machine:
    """Run a host that can be logged in to.

    Attributes:
        spec: What it is like.
        host: The address at which it answers.
        port: The port there.
        pid: Its process 1, as seen from the outside.
        neighbour: The machine through which alone it can be reached, or None.
    """

    def __init__(
        self, spec: MachineSpec | None = None, *, network_of: Machine | None = None
    ) -> None:
        """Store what the machine is to be like; nothing is started.

        Args:
            spec: What it is to be like; None for a host without any login.
            network_of: A running machine to share the network with. The new one cannot be reached
                from the outside then, only from that machine, at `host` and `port`.
        """
        self.spec = spec or MachineSpec()
        self.neighbour = network_of
        self.host, self.port, self.pid = "127.0.0.1", 22, 0
        self._guests = 0
        self._namespace = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._relay: Relay | None = None

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Return `user@host:port`."""
        return f"{self.spec.user}@{self.host}:{self.port}"

    # Life and death

    def start(self) -> None:
        """Start the machine; it can be logged in to when this returns.

        Skips the test when no machine can be made here, or a Python is not installed.
        """
        namespaces.require()
        listen = self._place()
        mount = tempfile.mkdtemp(prefix="rh-machine-")
        try:
            variables, archive = prepare(self.spec, listen, self._host_key(Path(mount)))
            variables["M_MOUNT"] = mount
            variables["M_BRING_UP"] = "" if self._shares_network else "yes"
            self._launch(variables, archive)
        except BaseException:
            self.stop()
            raise
        finally:
            shutil.rmtree(mount, ignore_errors=True)
        if not self._shares_network:
            self._relay = Relay(self.pid, 22, ipv6=self.spec.ipv6)
            self.port = self._relay.port

    @property
    def _shares_network(self) -> bool:
        return self.spec.direct or self.neighbour is not None

    def _place(self) -> list[str]:
        """Decide where sshd listens, and return that as in its configuration."""
        if self.neighbour is not None:
            self.neighbour._guests += 1
            self.host = f"127.0.0.{self.neighbour._guests + 1}"
        elif self.spec.direct:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.port = int(probe.getsockname()[1])
            six = [f"[::1]:{self.port}"] if self.spec.ipv6 else []
            return [f"127.0.0.1:{self.port}", *six]
        return [f"{self.host}:22"]

    @staticmethod
    def _host_key(folder: Path) -> bytes:
        path = folder / "host_key"
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        key = path.read_bytes()
        path.unlink()
        path.with_suffix(".pub").unlink()
        return key

    def _launch(self, variables: dict[str, str], archive: bytes) -> None:
        """Start process 1 and wait until sshd listens."""
        command = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        if self.neighbour is not None:
            command = ["nsenter", f"--net=/proc/{self.neighbour.pid}/ns/net", *command]
        elif not self.spec.direct:
            command.append("--net")
        process = self._process = subprocess.Popen(
            [*command, "bash", str(_INIT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", **variables},
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(_START_TIMEOUT_S, process.kill)
        timer.start()
        said = []
        try:
            try:
                process.stdin.write(archive)
                process.stdin.flush()
            except BrokenPipeError as error:
                said.append(str(error).encode())
            for line in process.stdout:
                if line == b"ready\n":
                    break
                said.append(line)
            else:
                text = b"".join(said).decode(errors="replace")
                message = f"machine {self.spec.name} did not start: {text}"
                raise AssertionError(message)
        finally:
            timer.cancel()
        (self.pid,) = namespaces.children(process.pid)
        self._namespace = namespaces.inode(self.pid)

    def stop(self) -> None:
        """End the machine with all its processes; safe to repeat."""
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()  # which is the end of process 1, and that of all others
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()  # which takes process 1 along
            process.wait()
        process.stdout.close()
        assert not self.processes(), f"left of machine {self.spec.name}: {self.processes()}"

    @property
    def is_running(self) -> bool:
        """Tell whether process 1 is there."""
        return self._process is not None and self._process.poll() is None

    # Looking inside

    def exec(
        self,
        command: str | Sequence[str],
        *,
        as_root: bool = False,
        input: str | None = None,  # noqa: A002 - as in subprocess.run
        timeout_s: float = 15.0,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, without ssh: in the user's home and with a fresh environment.

        Args:
            command: A shell line, or words.
            as_root: Whether root runs it, not the user.
            input: What it reads on standard input.
            timeout_s: Longest time that it may run.
            check: Whether an exit code other than 0 is an error.
        """
        spec = self.spec
        uid, home, user = (0, "/root", "root") if as_root else (spec.uid, spec.home, spec.user)
        environ = {
            "HOME": home,
            "USER": user,
            "LOGNAME": user,
            "PATH": SYSTEM_PATH if as_root else "/usr/local/bin:/usr/bin:/bin:/usr/games",
        }
        line = command if isinstance(command, str) else shlex.join(command)
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--ipc", "--net"]
        user_part = [f"--setuid={uid}", f"--setgid={uid}", "--root", "--wd"]
        shell = ["/bin/sh", "-c", f"cd\n{line}"]
        return subprocess.run(
            [*enter, *user_part, "--", *shell],
            env=environ,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=check,
        )

    def path(self, inside: str) -> Path:
        """Return where a path of the machine is seen from the outside.

        Absolute symbolic links on the way would be followed outside.
        """
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    @property
    def home(self) -> Path:
        """Return where the home directory is seen from the outside."""
        return self.path(self.spec.home)

    def processes(self, containing: str = "") -> list[Process]:
        """Return the processes inside that have a text in their command line.

        Process 1 and the sshd that listens are not among them; the sshds of connections are.
        """
        return [
            process
            for process in namespaces.members(self._namespace)
            if containing in " ".join(process.command)
            and process.pid != self.pid
            and not process.command[0].startswith("sshd: /")
        ]

    def sshd_log(self) -> str:
        """Return what sshd has logged."""
        return self.path("/var/log/sshd.log").read_text(errors="replace")

    # Faults

    def stop_sshd(self) -> None:
        """Kill the sshd that listens; connections go on, new ones are refused."""
        pid_file = self.path("/run/sshd.pid")
        self.exec("kill -9 $(cat /run/sshd.pid) && rm /run/sshd.pid", as_root=True, check=True)
        assert not pid_file.exists()

    def start_sshd(self) -> None:
        """Start sshd again after `stop_sshd`; it listens when this returns."""
        self.exec(_SSHD, as_root=True, check=True)
        wait_until(self.path("/run/sshd.pid").exists)

    def restart_sshd(self) -> None:
        """Replace the sshd that listens; connections go on."""
        self.stop_sshd()
        self.start_sshd()

    def kill_sshd_sessions(self) -> None:
        """Kill the sshds of all connections, which ends these at once."""
        sessions = self.processes("sshd: ")
        for process in sessions:
            if process.command[0].startswith("sshd: "):
                with suppress(ProcessLookupError):  # it has ended with one that was killed before
                    os.kill(process.pid, signal.SIGKILL)

    def rotate_host_key(self) -> None:
        """Give the machine another host key, as if it had been set up anew."""
        with tempfile.TemporaryDirectory() as folder:
            key = self._host_key(Path(folder))
        self.path("/etc/ssh/host_key").write_bytes(key)
        self.restart_sshd()

    @property
    def relay(self) -> Relay:
        """Return the relay that makes up the network between the outside and this machine."""
        assert self._relay is not None, "a direct machine, or a stopped one, has no relay"
        return self._relay

    def cut_network(self) -> None:
        """Lose everything on the way from and to the machine, and close nothing."""
        self.relay.cut()

    def restore_network(self) -> None:
        """Let everything through again; what was on its way arrives now."""
        self.relay.restore()

    def reset_connections(self) -> None:
        """End all connections with a TCP reset."""
        self.relay.reset()
