"""A machine for tests: a real sshd with a root tree, a home, processes and a network of its own.

It is made of Linux namespaces over a copy-on-write view of this system, so it starts in a fraction
of a second and nothing that happens in it reaches the system. Its network has a loopback and no
route out; a relay in the test process leads a loopback port of ours to its sshd, and can cut the
line.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rigs.line import Relay
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

USER = "ada"
_UID = 1815
_PR_SET_PDEATHSIG = 1
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOOLS = {"unshare": "util-linux", "ip": "iproute2", "openssl": "openssl"}

_INIT = r"""
set -e
D=$1 NAME=$2 HOME_DIR=$3 HOME_OPTIONS=$4 TMP_OPTIONS=$5
mount -t tmpfs -o mode=755 machine "$D"
mkdir "$D/up" "$D/work" "$D/root"
mount -t overlay -o "lowerdir=/,upperdir=$D/up,workdir=$D/work" machine "$D/root"
R=$D/root
mount -t proc proc "$R/proc"
mount -t tmpfs -o mode=755 dev "$R/dev"
for n in null zero full random urandom tty; do
  : >"$R/dev/$n"; mount --bind "/dev/$n" "$R/dev/$n"
done
mkdir "$R/dev/pts" "$R/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$R/dev/pts"
ln -s pts/ptmx "$R/dev/ptmx"; ln -s /proc/self/fd "$R/dev/fd"
mount -t tmpfs -o mode=1777 shm "$R/dev/shm"
mount -t tmpfs -o mode=755 run "$R/run"; mkdir "$R/run/sshd"
mount -t tmpfs -o "mode=1777$TMP_OPTIONS" tmp "$R/tmp"
mount -t tmpfs -o mode=755 home "$R/home"
mkdir -p "$R$HOME_DIR"; mount -t tmpfs -o "mode=755$HOME_OPTIONS" userhome "$R$HOME_DIR"
mkdir -m 755 "$R/pythons"
shift 5
for prefix in $PREFIXES; do mount -t tmpfs -o mode=755 hidden "$R$prefix"; done
while [ "$1" != -- ]; do
  mkdir "$R/pythons/$1"; mount --bind "$2" "$R/pythons/$1"
  # An interpreter may look for its library where it was installed.
  case $2 in /usr | /usr/local) ;; *) mkdir -p "$R$2"; mount --bind "$2" "$R$2" ;; esac
  shift 2
done
shift
cp -r "$1"/. "$R"; chown -R "$2" "$R$HOME_DIR"
mkdir "$R/old"; cd "$R"; pivot_root . old; cd /; umount -l /old
hostname "$NAME"
ip link set lo up 2>/dev/null || true
. /setup.sh
exec /usr/sbin/sshd -D -f /etc/ssh/machine_config -E /run/sshd.log
"""


@dataclass(frozen=True)
class MachineSpec:
    """Say what a machine has.

    Attributes:
        name: Its host name.
        home: The user's home directory.
        password: The user's password; None allows keys only.
        pythons: Versions of Python that are on it, as `"3.11"`; `"here"` is the one of the tests.
        python_names: Names in PATH for the first of them; none: it is there, but not in PATH.
        home_options: Mount options of the home directory, such as `",size=3m"`.
        tmp_options: Mount options of `/tmp`, such as `",noexec"`.
        setup: Shell commands run as root inside before sshd starts.
        private_network: Whether it has a network of its own, without a route out.
        files: Further files, by absolute path.
    """

    name: str = "box"
    home: str = f"/home/{USER}"
    password: str | None = None
    pythons: tuple[str, ...] = ("here",)
    python_names: tuple[str, ...] = ("python3",)
    home_options: str = ""
    tmp_options: str = ""
    setup: str = ""
    private_network: bool = True
    files: Mapping[str, str] = field(default_factory=dict)


@cache
def require_machines() -> None:
    """Skip the test where machines cannot be made, and say what is missing."""
    if os.geteuid():
        pytest.skip("machines need namespaces and mounts: run the tests as root")
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if not Path("/usr/sbin/sshd").exists():
        missing.append("openssh-server")
    if missing:
        pytest.skip(f"machines need more programs: apt-get install {' '.join(missing)}")


@cache
def python_prefix(version: str) -> str:
    """Return where a version of Python is installed on this system, or skip the test."""
    if version == "here":
        return sys.base_prefix
    for pattern in (f"~/.pyenv/versions/{version}.*", f"/opt/python/{version}*"):
        for found in sorted(glob.glob(os.path.expanduser(pattern))):
            return found
    pytest.skip(f"needs a Python {version}, for example in ~/.pyenv/versions")


def _places_of_pythons() -> list[str]:
    """Return the directories with versions of Python that machines see only by request."""
    places = {str(Path("~/.pyenv/versions").expanduser())}
    if sys.base_prefix not in ("/usr", "/usr/local"):
        places.add(str(Path(sys.base_prefix).parent))
    return sorted(place for place in places if Path(place).is_dir())


def _make_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """Run one machine; a context manager."""

    def __init__(self, spec: MachineSpec | None = None) -> None:
        """Store what it has; `start` makes it."""
        require_machines()
        self.spec = spec if spec is not None else MachineSpec()
        self._folder = Path(tempfile.mkdtemp(prefix="rh-machine-"))
        self.key = self._folder / "key"
        self.config = self._folder / "ssh_config"
        self.known_hosts = self._folder / "known_hosts"
        self._process: subprocess.Popen[bytes] | None = None
        self.relay: Relay | None = None
        self.port = 0

    def __enter__(self) -> Machine:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def pid(self) -> int:
        """Return the process id of the machine's first process, as seen from here."""
        return self._children()[0]

    def _children(self) -> list[int]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(word) for word in children.read_text().split()]

    def start(self) -> None:
        """Make the machine and wait until its sshd answers."""
        self._write_files(self._folder / "files")
        disk = self._folder / "disk"
        disk.mkdir()
        spec = self.spec
        pythons = [word for v in spec.pythons for word in (v, python_prefix(v))]
        namespaces = ["--mount", "--pid", "--uts", "--ipc"]
        namespaces += ["--net"] if spec.private_network else []
        with (self._folder / "init.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "unshare",
                    *namespaces,
                    "--fork",
                    "--kill-child=SIGKILL",
                    "--propagation",
                    "private",
                ]
                + ["sh", "-c", _INIT, "init", str(disk), spec.name, spec.home]
                + [spec.home_options, spec.tmp_options, *pythons, "--", str(self._folder / "files")]
                + [f"{_UID}:{_UID}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": _PATH, "PREFIXES": " ".join(_places_of_pythons())},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        wait_until(self._is_up)
        self._listen()
        self._write_client_config()

    def _is_up(self) -> bool:
        assert self._process is not None
        log = self._folder / "init.log"
        assert self._process.poll() is None, f"the machine did not start: {log.read_text()}"
        if not self._children():
            return False
        done = self.run("grep -q 'Server listening' /run/sshd.log")
        return done.returncode == 0

    def _listen(self) -> None:
        if self.spec.private_network:
            self.relay = Relay(self.pid, 22)
            self.port = self.relay.port

    def _write_files(self, files: Path) -> None:
        """Write what differs from this system's own files."""
        spec = self.spec
        _make_key(self.key)
        ssh = files / spec.home.lstrip("/") / ".ssh"
        etc = files / "etc" / "ssh"
        for folder in (ssh, etc):
            folder.mkdir(parents=True)
        shutil.copy(f"{self.key}.pub", ssh / "authorized_keys")
        _make_key(etc / "machine_key")
        if not spec.private_network:
            with Relay.free_port() as port:
                self.port = port
        (etc / "machine_config").write_text(
            f"Port {self.port or 22}\nListenAddress 127.0.0.1\nHostKey /etc/ssh/machine_key\n"
            "UsePAM no\nPidFile none\nStrictModes no\nMaxStartups 200\nPermitRootLogin no\n"
            f"PasswordAuthentication {'yes' if spec.password else 'no'}\n"
            "Subsystem sftp internal-sftp\n"
        )
        self._write_accounts(files / "etc")
        names = " ".join(f"/usr/local/bin/{name}" for name in spec.python_names)
        first = f"/pythons/{spec.pythons[0]}/bin/python3" if spec.pythons else ""
        link = f"for n in {names}; do ln -sfn {first} $n; done\n"
        (files / "setup.sh").write_text(
            "rm -f /usr/bin/python* /usr/local/bin/python* /opt/*/bin/python*\n"
            "chmod 711 /root\n" + (link if first and names else "") + spec.setup + "\n"
        )
        for path, text in spec.files.items():
            file = files / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)

    def _write_accounts(self, etc: Path) -> None:
        rows = {
            "passwd": f"{USER}:x:{_UID}:{_UID}::{self.spec.home}:/bin/sh",
            "group": f"{USER}:x:{_UID}:",
            "shadow": f"{USER}:{self._hashed_password()}:19000:0:99999:7:::",
        }
        for name, row in rows.items():
            kept = [line for line in Path("/etc", name).read_text().splitlines() if line]
            (etc / name).write_text("\n".join([*kept, row, ""]))
        (etc / "shadow").chmod(0o600)

    def _hashed_password(self) -> str:
        if self.spec.password is None:
            return "*"
        command = ["openssl", "passwd", "-6", "-stdin"]
        done = subprocess.run(
            command, input=self.spec.password, text=True, capture_output=True, check=True
        )
        return done.stdout.strip()

    def _write_client_config(self) -> None:
        key = "" if self.spec.password else f'  IdentityFile "{self.key}"\n'
        self.config.write_text(
            f"Host {self.spec.name}\n  HostName 127.0.0.1\n  Port {self.port}\n"
            f"Host *\n  User {USER}\n{key}  IdentitiesOnly yes\n"
            f'  UserKnownHostsFile "{self.known_hosts}"\n  GlobalKnownHostsFile none\n'
        )

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root and without SSH."""
        inside = ["nsenter", "-t", str(self.pid), "--mount", "--pid", "--net", "--uts", "--ipc"]
        return subprocess.run(
            [*inside, "sh", "-c", command], capture_output=True, text=True, check=False, timeout=20
        )

    def path(self, inside: str) -> Path:
        """Return a path of the machine as it can be opened from here."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def processes(self) -> dict[int, str]:
        """Return the command lines of the machine's processes, by their ids as seen from here."""
        namespace = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if os.readlink(entry / "ns/pid") == namespace:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(entry.name)] = line.strip()
        return found

    def stop(self) -> None:
        """End the machine and all that runs on it."""
        if self.relay is not None:
            self.relay.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
