"""Copy from one host to another: directly where they can reach each other, else through here.

Both ways, an rsync on the first host speaks to one on the second, and nothing is stored here.
Directly, the first host logs in to the second with a key that is made for this transfer. Its
private half is only ever in the memory of an ssh-agent there, which ends with the transfer; the
second host lets it do nothing but receive into one folder, for about a day at most. No key or agent
of the user is lent. Through here, two ssh processes pass rsync's own stream on.
"""

from __future__ import annotations

import logging
import re
import secrets
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.errors import CommandFailedError, SyncError
from runhouse.ssh.command import quote
from runhouse.ssh.leash import leashed
from runhouse.ssh.rsync import (
    NoRsyncError,
    lines,
    quoted_shell,
    read_counts,
    told_progress,
    transfer_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runhouse.ssh.rsync import Counts, OnBytes
    from runhouse.ssh.session import Session

log = logging.getLogger(__name__)

_ALIAS = "rh-target"  # the second host in the words of the first one
_CONNECT_S = 5
_KEY_S = 38 * 3600  # hosts may be in any time zone: about a day
_MARK = "rh-word:"
_WORDS = f'shift; for word; do printf "%s\\n" "{_MARK}$word"; done >&2; exit 1'
# The stream between the two rsyncs: in and out of this script's own descriptors 3 and 4. It ends
# when the second host's has, which rsync waits for before it closes its own end.
_BRIDGE = "exec 5<&0; cat <&5 >&4 & exec cat <&3 5<&- 4>&-"
_ADD = (
    'umask 077; mkdir -p .ssh && f=.ssh/authorized_keys && touch "$f" && '
    'if [ -s "$f" ] && [ -n "$(tail -c 1 "$f")" ]; then echo >>"$f"; fi && cat >>"$f"'
)
# Beside it and renamed, and only if all of it could be written: no crash and no full disk locks the
# user out.
_REMOVE = (
    'f=$(readlink -f .ssh/authorized_keys) && cp -p "$f" "$f.$1" || exit 1; '
    'grep -v -- "$1" "$f" >"$f.$1"; if [ $? -gt 1 ]; then rm -f "$f.$1"; exit 1; fi; '
    'mv -f "$f.$1" "$f"; [ -s "$f" ] || rm -f "$f"'
)
# `$1`: known hosts, `$2`: public key; the private key comes from standard input.
_DIRECT = (
    "command -v ssh-agent >/dev/null && command -v ssh-add >/dev/null || exit 97; "
    "umask 077; d=$(mktemp -d) || exit 97; "
    'trap \'trap "" HUP INT TERM; rm -rf "$d"\' EXIT; trap "exit 98" HUP INT TERM; '
    'printf "%s\\n" "$1" >"$d/known"; printf "%s\\n" "$2" >"$d/key.pub"; export d; shift 2; '
    """ssh-agent sh -c 'ssh-add -q - 2>/dev/null || exit 97; "$@"; code=$?; """
    """kill "$SSH_AGENT_PID"; exit $code' sh "$@" """
)


@dataclass(frozen=True, slots=True)
class Between:
    """Describe a copy from a host to another one.

    Attributes:
        origin: The host that has the files.
        target: The host that gets them.
        source: A file or folder on the first; one with a slash at its end stands for its contents.
        dest: The folder on the second, made if need be.
        delete: Whether to delete there what the source does not have.
        checksum: Whether files of one size and time are compared by their content.
        on_bytes: Called with the bytes that are through and those in all.
    """

    origin: Session
    target: Session
    source: str
    dest: str
    delete: bool = False
    checksum: bool = False
    on_bytes: OnBytes | None = None

    def run(self) -> Counts:
        """Copy, directly if that is possible.

        Raises:
            NoRsyncError: One of the hosts has no rsync.
            ConnectError: One of them cannot be reached from here.
            SyncError: Something could not be copied.
        """
        server = self._server_command()
        found = self.target.run("command -v rsync", timeout_s=self.target.settings.start_timeout_s)
        if found.exit_code:
            raise NoRsyncError(self.target.target.label)
        receive = f"mkdir -p -- {quote(self.dest)} && cd -- {quote(self.dest)} && exec {server}"
        try:
            counts = self._directly(receive)
        except (CommandFailedError, OSError, subprocess.SubprocessError) as error:
            log.debug("no direct way between the hosts: %s", error)
            counts = None
        return counts if counts is not None else self._through_here(receive)

    def _rsync(self, shell: Sequence[str]) -> str:
        """Return the first host's command line."""
        argv = ["rsync", "-rlpt", "--stats", "--no-human-readable"]
        argv += transfer_options(self.checksum, resumable=True, progress=self.on_bytes is not None)
        if self.delete:
            argv.append("--delete")
        argv += ["-e", quoted_shell(shell), "--", self.source, f"{_ALIAS}:."]
        return " ".join(quote(word) for word in argv)

    def _server_command(self) -> str:
        """Ask the first host's rsync what it wants to run on the second one."""
        asked = self._rsync(["sh", "-c", _WORDS, "sh"])
        settings = self.origin.settings
        done = self.origin.run(
            f"command -v rsync >/dev/null || exit 127; {asked}", timeout_s=settings.start_timeout_s
        )
        words = re.findall(rf"(?m)^{_MARK}(.*)$", done.stderr)
        if done.exit_code == 127:
            raise NoRsyncError(self.origin.target.label)
        if words[:2] != ["rsync", "--server"]:
            raise self._error(done.exit_code, done.stderr)
        return " ".join(quote(word) for word in words)

    # -- directly -------------------------------------------------------------------------------

    def _directly(self, receive: str) -> Counts | None:
        """Copy over a connection of the first host to the second; None when there is no way."""
        place = _place(self.target)
        if place is None or "\n" in self.dest:
            return None
        address, port, user, known_hosts = place
        name = f"rh-{secrets.token_hex(8)}"
        private, public = _key_pair(name)
        expires = time.strftime("%Y%m%d%H%M", time.gmtime(time.time() + _KEY_S))
        command = f"sh -c {quote(receive)}".replace('"', '\\"')
        allowed = f'restrict,expiry-time="{expires}",command="{command}" {public}\n'
        try:
            self._on_target(_ADD, name, allowed.encode("utf-8", "surrogateescape"))
            shell = ["ssh", "-F", "/dev/null", "-p", port, "-l", user, "-o", f"HostName={address}"]
            for option in (
                f"HostKeyAlias={_ALIAS}",
                "StrictHostKeyChecking=yes",
                "IdentitiesOnly=yes",
                "BatchMode=yes",
                "PreferredAuthentications=publickey",
                f"ConnectTimeout={_CONNECT_S}",
                "ServerAliveInterval=10",
            ):
                shell += ["-o", option]
            # The folder of the two files is known there only.
            files = 'exec "$0" -o UserKnownHostsFile="$d/known" -o IdentityFile="$d/key.pub" "$@"'
            rsync = self._rsync(["sh", "-c", files, *shell])
            words = ["sh", "-c", _DIRECT, "sh", known_hosts, public]
            line = " ".join(quote(word) for word in words)
            heard = _Heard(self.on_bytes)
            done = self.origin.run(
                f"{line} sh -c {quote(rsync)}", input=private, on_output=heard.hear
            )
        finally:
            self._on_target(_REMOVE, name, b"")
        if done.exit_code == 0:
            return read_counts(done.stdout.encode())
        log.debug("copying directly ended with code %s: %s", done.exit_code, done.stderr[-500:])
        return None

    def _on_target(self, script: str, name: str, data: bytes) -> None:
        line = " ".join(quote(word) for word in ("sh", "-c", script, "sh", name))
        timeout_s = self.target.settings.start_timeout_s
        self.target.run(line, input=data, timeout_s=timeout_s, check=True)

    # -- through here ---------------------------------------------------------------------------

    def _through_here(self, receive: str) -> Counts:
        """Copy over the two connections that are open."""
        for session in (self.origin, self.target):
            session.connect()
        send = f"exec 3<&0 4>&1 >&2; {self._rsync(['sh', '-c', _BRIDGE])}"
        output = b""
        with (
            tempfile.TemporaryFile() as errors,
            leashed(
                [*self.target.shell_command(), "host", f"sh -c {quote(receive)}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors.fileno(),
            ) as receiver,
        ):
            if receiver.stdin is None or receiver.stdout is None:
                raise self._error(1, "")
            with leashed(
                [*self.origin.shell_command(), "host", f"sh -c {quote(send)}"],
                stdin=receiver.stdout.fileno(),
                stdout=receiver.stdin.fileno(),
                stderr=subprocess.PIPE,
            ) as sender:
                receiver.stdin.close()
                receiver.stdout.close()
                for line in lines(sender.stderr):
                    if self.on_bytes is None or not told_progress(line, self.on_bytes):
                        output += line + b"\n"
                code = sender.wait()
            receiver.wait()
            errors.seek(0)
            said = output.decode("utf-8", "replace") + errors.read().decode("utf-8", "replace")
        if code:
            raise self._error(code, said)
        return read_counts(output)

    def _error(self, code: int, said: str) -> SyncError:
        told = [line for line in said.splitlines() if line.strip() and not line.startswith(_MARK)]
        msg = (
            f"Files could not be copied from {self.origin.target.label} to "
            f"{self.target.target.label}. rsync ended with code {code}. It wrote: "
            f"{' / '.join(told[-6:])[-2000:] or 'nothing'}"
        )
        return SyncError(msg)


class _Heard:
    """Pick what is about progress out of pieces of rsync's output."""

    def __init__(self, on_bytes: OnBytes | None) -> None:
        self._on_bytes = on_bytes
        self._rest = ""

    def hear(self, stream: str, text: str) -> None:
        """Take a piece of output."""
        if stream != "stdout" or self._on_bytes is None:
            return
        *whole, self._rest = re.split(r"[\r\n]", self._rest + text)
        for line in whole:
            told_progress(line.encode(), self._on_bytes)


def _key_pair(name: str) -> tuple[bytes, str]:
    """Make a key pair; only its public half stays in no file."""
    with tempfile.TemporaryDirectory() as folder:  # which nobody else can enter
        path = Path(folder, "key")
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=10)
        return path.read_bytes(), path.with_suffix(".pub").read_text("ascii").strip()


def _place(session: Session) -> tuple[str, str, str, str] | None:
    """Return a host's address, port and user, and its known keys, as ssh finds them here."""
    target = session.target
    asked = [*session.command(), "-G", "--", target.destination]
    done = subprocess.run(
        asked, capture_output=True, check=True, stdin=subprocess.DEVNULL, timeout=10
    )
    found: dict[str, str] = {}
    for line in done.stdout.decode("utf-8", "surrogateescape").splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, value)
    address, port, user = found["hostname"], found["port"], found["user"]
    known_as = found.get("hostkeyalias") or (address if port == "22" else f"[{address}]:{port}")
    keys = []
    for file in _files(found.get("userknownhostsfile", "")):
        asked = ["ssh-keygen", "-F", known_as, "-f", str(file)]
        listed = subprocess.run(
            asked, capture_output=True, check=False, text=True, stdin=subprocess.DEVNULL, timeout=10
        )
        rows = [line.split() for line in listed.stdout.splitlines() if not line.startswith("#")]
        keys += [f"{_ALIAS} {' '.join(row[1:3])}" for row in rows if len(row) > 2]
    return (address, port, user, "\n".join(keys)) if keys else None


def _files(text: str) -> list[Path]:
    """Return the files in a list of `ssh -G`, which does not mark spaces in their names."""
    found, name = [], ""
    for word in text.split(" "):
        name = f"{name} {word}" if name else word
        file = Path(name).expanduser()
        if file.is_file():
            found.append(file)
            name = ""
    return found
