"""An sshd of its own on a free loopback port, for tests of the SSH layer alone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runhouse.settings import Settings
from runhouse.ssh.session import Session
from runhouse.ssh.target import Target
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "open 'sesame' $x"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def processes(text: str) -> list[int]:
    """Return the ids of the running processes with a text in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if text.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
    return found


class Sshd:
    """Run an sshd and hold the client's configuration for it, where its name is `box`."""

    def __init__(self, folder: Path, *options: str, password: bool = False) -> None:
        self.folder = folder
        self.port = free_port()
        self.user = getuser()
        self.password = password
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.key = folder / "user key"
        self._make_key(self.key)
        (folder / "authorized").write_bytes((folder / "user key.pub").read_bytes())
        self.rotate_host_key()
        self.config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self.configure()

    def configure(self, extra: str = "") -> None:
        """Write the client's configuration."""
        self.config.write_text(
            f"{extra}\nHost box box6\n  Port {self.port}\n"
            f"Host box\n  HostName 127.0.0.1\nHost box6\n  HostName ::1\n"
            f'Host *\n  User {self.user}\n  IdentityFile "{self.key}"\n  IdentitiesOnly yes\n'
            f'  UserKnownHostsFile "{self.known_hosts}"\n  GlobalKnownHostsFile none\n'
        )

    def settings(self, **changes: object) -> Settings:
        values = {"home": self.folder, "ssh_config": str(self.config), "ssh_persist_s": 1}
        return Settings(**(values | changes))  # type: ignore[arg-type]

    @contextmanager
    def session(self, host: str = "box", **creds: object) -> Iterator[Session]:
        session = Session(Target.parse(host, creds), self.settings())
        try:
            yield session
        finally:
            session.close()

    def environment(self) -> dict[str, str]:
        """Return the environment for another Python process that is to use this sshd."""
        return os.environ | {
            "RH_HOME": str(self.folder),
            "RH_SSH_CONFIG": str(self.config),
            "RH_SSH_PERSIST_S": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2] / "src")]),
        }

    def _make_key(self, path: Path) -> None:
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def rotate_host_key(self) -> None:
        for path in (self.folder / "host", self.folder / "host.pub"):
            path.unlink(missing_ok=True)
        self._make_key(self.folder / "host")

    def start(self) -> None:
        folder = self.folder
        config = folder / "sshd_config"
        lines = [
            *(f"Port {self.port}", "ListenAddress 127.0.0.1", "ListenAddress ::1", "UsePAM no"),
            *(f'HostKey "{folder}/host"', f'AuthorizedKeysFile "{folder}/authorized"'),
            *("StrictModes no", "PidFile none", "PermitRootLogin yes", *self._options),
            # What runs there is the same user here, and is to learn no host keys in their home. Of
            # several such lines the first counts: options may have one of their own.
            f'SetEnv "RH_SSH_CONFIG={self.config}"',
        ]
        config.write_text("\n".join(lines) + "\n")
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin") or "sshd"
        command = [sshd, "-D", "-f", str(config), "-E", str(folder / "sshd.log")]
        if self.password:
            command = self._with_password(command)
        self._process = subprocess.Popen(command)
        wait_until(self._is_listening)

    def _with_password(self, command: list[str]) -> list[str]:
        """Give the user a password that only this sshd sees, in a mount namespace."""
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"],
            input=PASSWORD, text=True, capture_output=True, check=True,
        ).stdout.strip()  # fmt: skip
        shadow = self.folder / "shadow"
        rows = Path("/etc/shadow").read_text().splitlines()
        rows = [row for row in rows if not row.startswith(f"{self.user}:")]
        shadow.write_text("\n".join([*rows, f"{self.user}:{hashed}:19000:0:99999:7:::", ""]))
        script = 'mount --bind "$1" /etc/shadow && shift && exec "$@"'
        return ["unshare", "-m", "sh", "-c", script, "sh", str(shadow), *command]

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def sessions(self) -> list[int]:
        """Return the process ids of sshd's connections."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(word) for word in children.read_text().split()]

    def stop(self) -> None:
        if self._process is not None:
            sessions = self.sessions()
            self._process.terminate()
            self._process.wait()
            self._process = None
            for pid in sessions:
                with suppress(ProcessLookupError):
                    os.kill(pid, 15)


@contextmanager
def running_sshd(*options: str, password: bool = False) -> Iterator[Sshd]:
    """Run an sshd; skip the test where that cannot be."""
    if not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin"):
        pytest.skip("there is no sshd: apt install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    elif password:
        pytest.skip("needs root, to give a user a password")
    folder = Path(tempfile.mkdtemp(prefix="rh-t"))  # short, as sockets are made in it
    sshd = Sshd(folder, *options, password=password)
    try:
        sshd.start()
        yield sshd
    finally:
        sshd.stop()
        shutil.rmtree(folder, ignore_errors=True)
