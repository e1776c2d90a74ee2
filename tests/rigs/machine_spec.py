"""What a machine of a test is like, and what has to be put on its disk for that."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs import interpreters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.rigs.interpreters import Interpreter

UID = 1000
LINKS = "/usr/local/bin"


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """Describe a machine: who may log in, which Pythons it has, and what is wrong with it.

    Attributes:
        name: Its own name (`hostname`).
        user: Who logs in; any user but `root` has the number 1000.
        home: Home directory, which may have spaces. It is a file system of its own.
        shell: Login shell.
        password: Password of the user; None for none, and no login by password.
        authorized_key: Public key file that lets the user in; None for none.
        pythons: Versions (`"3.11"`) or paths of interpreters; no others are there. All but virtual
            environments come without third-party packages.
        python_names: What the first of them is called in PATH; `{version}` stands for its version.
            The others have their versioned name only.
        python_in_path: Whether they have names in PATH. If not, the first one is under
            `~/.pyenv/versions`; a virtual environment is only where it is outside.
        pep668: Whether the Pythons are marked as externally managed.
        rsync: Whether rsync is installed.
        lacks: Names of further programs that are not installed.
        tmp_noexec: Whether `/tmp` refuses to run programs.
        home_size_mb: Size of the home directory's file system; None for plenty.
        home_read_only: Whether the home directory cannot be written to.
        files: Further files: path -> content and mode. Those under `home` belong to the user.
        sshd_options: Lines for sshd's configuration, stronger than the rig's own.
        ipv6: Whether it can be reached at `::1` as well.
        direct: Whether it is without a network of its own: sshd listens on the loopback device of
            the outside, with no relay between, for measurements.
    """

    name: str = "machine"
    user: str = "ada"
    home: str = "/home/ada"
    shell: str = "/bin/sh"
    password: str | None = field(default=None, repr=False)
    authorized_key: Path | None = None
    pythons: tuple[str, ...] = ()
    python_names: tuple[str, ...] = ("python3", "python{version}")
    python_in_path: bool = True
    pep668: bool = False
    rsync: bool = True
    lacks: tuple[str, ...] = ()
    tmp_noexec: bool = False
    home_size_mb: int | None = None
    home_read_only: bool = False
    files: Mapping[str, tuple[str | bytes, int]] = field(default_factory=dict)
    sshd_options: tuple[str, ...] = ()
    ipv6: bool = False
    direct: bool = False

    @property
    def uid(self) -> int:
        """Return the user's number."""
        return 0 if self.user == "root" else UID


class Disk:
    """Collect what is laid over the root directory of a machine."""

    def __init__(self) -> None:
        self._entries: list[tuple[tarfile.TarInfo, bytes]] = []

    @staticmethod
    def _entry(path: str, mode: int, uid: int) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.mode, entry.uid, entry.gid, entry.mtime = mode, uid, uid, int(time.time())
        return entry

    def add_file(self, path: str, content: str | bytes, mode: int = 0o644, uid: int = 0) -> None:
        data = content.encode() if isinstance(content, str) else content
        entry = self._entry(path, mode, uid)
        entry.size = len(data)
        self._entries.append((entry, data))

    def add_folder(self, path: str, mode: int = 0o755, uid: int = 0) -> None:
        entry = self._entry(path, mode, uid)
        entry.type = tarfile.DIRTYPE
        self._entries.append((entry, b""))

    def add_link(self, path: str, target: str) -> None:
        entry = self._entry(path, 0o777, 0)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._entries.append((entry, b""))

    def archive(self) -> bytes:
        """Return everything as a tar archive."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for entry, data in self._entries:
                tar.addfile(entry, io.BytesIO(data))
        return packed.getvalue()


def _hashed(password: str) -> str:
    done = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=password, text=True, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def with_row(name: str, row: str) -> str:
    """Return a database of users or groups of the outside with one row of our own."""
    own = row.split(":")
    rows = []
    for line in Path(f"/etc/{name}").read_text().splitlines():
        fields = line.split(":")
        same_number = name != "shadow" and fields[2:3] == own[2:3]
        if line and fields[0] != own[0] and not same_number:
            rows.append(line)
    return "\n".join([*rows, row, ""])


def _add_user(disk: Disk, spec: MachineSpec) -> None:
    uid = spec.uid
    hashed = "*" if spec.password is None else _hashed(spec.password)
    rows = {
        "passwd": (f"{spec.user}:x:{uid}:{uid}::{spec.home}:{spec.shell}", 0o644),
        "group": (f"{spec.user}:x:{uid}:", 0o644),
        "shadow": (f"{spec.user}:{hashed}:19000:0:99999:7:::", 0o600),
    }
    for name, (row, mode) in rows.items():
        disk.add_file(f"/etc/{name}", with_row(name, row), mode)
    disk.add_folder(spec.home, 0o755, uid)
    if spec.authorized_key is not None:
        disk.add_folder(f"{spec.home}/.ssh", 0o700, uid)
        keys = spec.authorized_key.read_text()
        disk.add_file(f"{spec.home}/.ssh/authorized_keys", keys, 0o600, uid)


def _add_sshd(disk: Disk, spec: MachineSpec, addresses: list[str], host_key: bytes) -> None:
    listen = [f"ListenAddress {address}" for address in addresses]
    answer = "no" if spec.password is None else "yes"
    lines = [
        *spec.sshd_options,
        *listen,
        *("HostKey /etc/ssh/host_key", "PidFile /run/sshd.pid", "UsePAM no", "UseDNS no"),
        *(f"PasswordAuthentication {answer}", "KbdInteractiveAuthentication no"),
        *("PermitRootLogin yes", "MaxStartups 500", "LogLevel VERBOSE", "PrintMotd no"),
        *("AllowTcpForwarding yes", "AllowStreamLocalForwarding yes"),
        "Subsystem sftp internal-sftp",
    ]
    disk.add_file("/etc/ssh/sshd_config", "\n".join([*lines, ""]))
    disk.add_file("/etc/ssh/host_key", host_key, 0o600)


@dataclass(frozen=True, slots=True)
class Pythons:
    """Hold how a machine gets its Pythons, in terms of mounts and links.

    Attributes:
        layers: Directories of the outside to show at their own place.
        empty: Directories whose content is hidden.
        binds: Directories to show at a second place, with that place.
        keep: Programs of the system's directories that are not to be removed.
        links: Names in PATH with the target of each.
        wrappers: Names in PATH with the interpreter that each runs.
        copies: Files of the outside to copy, with the place of each.
        marked: Directories to be marked as externally managed.
    """

    layers: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    binds: list[tuple[str, str]] = field(default_factory=list)
    keep: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    wrappers: dict[str, str] = field(default_factory=dict)
    copies: list[tuple[Path, str]] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)

    def _show(self, python: Interpreter) -> None:
        """Make an interpreter be there, at the place where it is outside."""
        shown = [] if python.is_system else [python.base_prefix]
        if python.is_environment:
            shown.append(python.prefix)
        else:
            self.empty.extend(str(path) for path in python.packages)
        self.layers.extend(str(path) for path in shown if str(path) not in self.layers)

    def _put_aside(self, python: Interpreter, home: str) -> None:
        """Make an interpreter be there under the home directory, where no PATH leads."""
        place = f"{home}/.pyenv/versions/{python.version}"
        if python.is_system:
            self.copies.append((python.program, f"{place}/bin/python{python.version}"))
        else:
            self.binds.append((str(python.base_prefix), place))

    def _name(self, python: Interpreter, names: tuple[str, ...]) -> None:
        place = self.wrappers if python.is_environment else self.links
        for name in names:
            full = name.format(version=python.version)
            if full not in {*self.wrappers, *self.links}:
                place[full] = str(python.program)

    @classmethod
    def of(cls, spec: MachineSpec) -> Pythons:
        """Plan the Pythons of a machine; skip the test when one is not installed here."""
        plan = cls()
        for number, wanted in enumerate(spec.pythons):
            python = interpreters.find(wanted)
            plan._show(python)
            if spec.pep668:
                plan.marked.append(str(python.library))
            if spec.python_in_path:
                plan._name(python, ("python{version}",) if number else spec.python_names)
            if spec.python_in_path or python.is_environment:
                plan.keep.update(str(step) for step in python.chain)
            else:
                plan._put_aside(python, spec.home)
        return plan

    def add_to(self, disk: Disk) -> None:
        """Put names and marks on a disk."""
        for name, target in self.links.items():
            if target != f"{LINKS}/{name}":
                disk.add_link(f"{LINKS}/{name}", target)
        for name, target in self.wrappers.items():
            disk.add_file(f"{LINKS}/{name}", f'#!/bin/sh\nexec "{target}" "$@"\n', 0o755)
        for source, place in self.copies:
            disk.add_file(place, source.read_bytes(), 0o755)
        for path in self.marked:
            note = "[externally-managed]\nError=This Python belongs to the system.\n"
            disk.add_file(f"{path}/EXTERNALLY-MANAGED", note)


def _hidden(spec: MachineSpec, pythons: Pythons) -> list[str]:
    """Return the paths of programs to remove."""
    names = [*spec.lacks, *([] if spec.rsync else ["rsync"])]
    folders = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
    return [
        *(path for path in interpreters.system_programs() if path not in pythons.keep),
        *(f"{folder}/{name}" for folder in folders for name in names),
    ]


def prepare(
    spec: MachineSpec, addresses: list[str], host_key: bytes
) -> tuple[dict[str, str], bytes]:
    """Return the variables and the archive that `machine_init.sh` makes a machine from.

    Args:
        spec: What the machine is to be like.
        addresses: Where its sshd listens, as in `ListenAddress`.
        host_key: Its private host key.
    """
    disk = Disk()
    pythons = Pythons.of(spec)
    disk.add_file("/etc/hostname", f"{spec.name}\n")
    disk.add_file("/etc/hosts", f"127.0.0.1 localhost {spec.name}\n::1 localhost\n")
    disk.add_file("/etc/resolv.conf", "")
    _add_user(disk, spec)
    _add_sshd(disk, spec, addresses, host_key)
    pythons.add_to(disk)
    for path, (content, mode) in spec.files.items():
        is_theirs = path.startswith(f"{spec.home}/")
        if is_theirs:
            for folder in reversed(Path(path).relative_to(spec.home).parents[:-1]):
                disk.add_folder(f"{spec.home}/{folder}", 0o755, spec.uid)
        disk.add_file(path, content, mode, spec.uid if is_theirs else 0)
    archive = disk.archive()
    size = "" if spec.home_size_mb is None else f",size={spec.home_size_mb}m"
    variables = {
        "M_NAME": spec.name,
        "M_SIZE": str(len(archive)),
        "M_DISK": "80%",
        "M_TMP_OPTIONS": "mode=1777,noexec" if spec.tmp_noexec else "mode=1777",
        "M_HOME": spec.home,
        "M_HOME_OPTIONS": f"mode=755,uid={spec.uid},gid={spec.uid}{size}",
        "M_HOME_READ_ONLY": "yes" if spec.home_read_only else "",
        "M_LAYERS": "\n".join(pythons.layers),
        "M_EMPTY": "\n".join(pythons.empty),
        "M_BINDS": "\n".join("\t".join(pair) for pair in pythons.binds),
        "M_HIDE": "\n".join(_hidden(spec, pythons)),
    }
    return variables, archive
