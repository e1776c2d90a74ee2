"""Tell from the log of an ssh that did not connect what went wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runhouse.errors import (
    AuthenticationError,
    ConnectError,
    HostKeyChangedError,
    HostUnreachableError,
    SSMUnavailableError,
)
from runhouse.ssh.ssm import PREFIX

if TYPE_CHECKING:
    from runhouse.ssh.target import Target

# Patterns are compiled when first used: when all goes well, none is.
_DENIED = r"Permission denied \(([^)]*)\)|Too many authentication failures"
_CHANGED = r"REMOTE HOST IDENTIFICATION HAS CHANGED|REVOKED HOST KEY DETECTED"
_OFFENDING = r"(?m)^Offending .*key in (?P<file>.+):(?P<line>\d+)\s*$"
_TRIED = (
    r"(?m)Offering public key: (?P<key>.+?) (?:[A-Z0-9-]+) SHA256:"
    r"|Trying private key: (?P<file>.+)$"
    r"|Next authentication method: (?P<method>\S+)"
)
_KEY_TROUBLE = (
    r"(?m)^(?:debug1: )?(Load key .*|.*bad permissions.*|sign_and_send_pubkey: .*"
    r"|no such identity: .*|Permissions \d+ for .*)$"
)
_SSM = rf"(?m)^{re.escape(PREFIX)}\[(?P<code>\w+)\] (?P<said>.+)$"
_UNREACHABLE = (
    (
        r"Could not resolve hostname (.*)",
        "Its name cannot be resolved",
        "Correct the name, or look at the DNS and at ~/.ssh/config",
    ),
    (
        r"Connection refused",
        "Nothing listens on its SSH port",
        "Look whether sshd runs there and whether the port is right",
    ),
    (
        r"No route to host|Network is unreachable|Network is down",
        "There is no route to it",
        "Look at the network, at the address and at a VPN that it may need",
    ),
    (
        r"[Tt]imed out",
        "It did not answer in time",
        "Look at its firewall and address, or raise RH_CONNECT_TIMEOUT_S",
    ),
    (
        r"kex_exchange_identification: (.*)|banner exchange: (.*)",
        "It ended the connection before the login",
        "Look at the log of sshd, and at the hosts or the command that the connection goes through",
    ),
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Describe an ssh that did not connect.

    Attributes:
        target: Where it should have connected.
        log: What it logged, at level DEBUG1.
        timeout_s: The time that it was given.
        timed_out: Whether it was ended because that time had passed.
    """

    target: Target
    log: str
    timeout_s: float
    timed_out: bool = False

    def error(self) -> ConnectError:
        """Return the error to raise."""
        if re.search(_CHANGED, self.log):
            return self._host_key_error()
        if found := re.search(_SSM, self.log):
            return SSMUnavailableError(found["said"], host=self.target.label, code=found["code"])
        if re.search(_DENIED, self.log):
            return self._authentication_error()
        if "Host key verification failed" in self.log or "host key is known for" in self.log:
            return self._unknown_key_error()
        return self._unreachable_error()

    def methods(self) -> tuple[str, ...]:
        """Return the ways to log in that were tried, in order."""
        tried = []
        for found in re.finditer(_TRIED, self.log):
            key = found["key"] or found["file"]
            if key:
                tried.append(f"publickey {key}")
            elif found["method"] != "publickey":
                tried.append(found["method"])
        return tuple(dict.fromkeys(tried))

    def _host_key_error(self) -> HostKeyChangedError:
        label = self.target.label
        found = re.search(_OFFENDING, self.log)
        where = f"line {found['line']} of {found['file']}" if found else "the known_hosts file"
        remove = f"sed -i {found['line']}d '{found['file']}'" if found else "ssh-keygen -R HOST"
        msg = (
            f"{label} was not connected to. Its host key differs from the one in {where}: it was "
            "installed anew, or somebody stands between. "
            f"If you know why it changed, forget the old key with: {remove}"
        )
        return HostKeyChangedError(msg, host=label)

    def _unknown_key_error(self) -> ConnectError:
        label = self.target.label
        msg = (
            f"{label} was not connected to. Its host key, or that of a host on the way, is not "
            "known, and your SSH configuration does not let a new one be accepted. "
            "Connect once by hand with ssh and confirm the key."
        )
        return ConnectError(msg, host=label)

    def _authentication_error(self) -> AuthenticationError:
        label = self.target.label
        methods = self.methods()
        shown = ", ".join(methods) if methods else "nothing, as there is no key to offer"
        denied = re.search(_DENIED, self.log)
        accepted = denied[1] if denied and denied[1] else "unknown"
        trouble = re.search(_KEY_TROUBLE, self.log) if self.target.private_key else None
        detail = f" ({trouble[1].strip()})" if trouble else ""
        if self.target.password is not None:
            advice = "Look at the user name and the password."
        else:
            advice = "Look at the user name, give ssh_private_key or password, or use ssh-add."
        msg = (
            f"{label} refused the login. Tried: {shown}{detail}; the host accepts: {accepted}. "
            f"{advice}"
        )
        return AuthenticationError(msg, host=label, methods=methods)

    def _unreachable_error(self) -> HostUnreachableError:
        label = self.target.label
        way = self.target.proxy_jump or self.target.proxy_command
        why, advice = "The connection ended", f"Try by hand: {self.target.by_hand}"
        if self.timed_out:
            why = f"It did not let us in within {self.timeout_s:g} s"
            advice = "Look at its firewall and its load, or raise RH_CONNECT_TIMEOUT_S"
        else:
            for pattern, reason, hint in _UNREACHABLE:
                found = re.search(pattern, self.log)
                if found:
                    said = found[0].strip()
                    why, advice = f"{reason} ({said})", hint
                    break
            else:
                lines = [
                    line
                    for line in self.log.splitlines()
                    if line.strip() and not line.startswith("debug1:")
                ]
                if lines:
                    why = f"ssh said: {lines[-1].strip()}"
        if way:
            why += f"; the connection goes through {way}"
        return HostUnreachableError(f"{label} cannot be reached. {why}. {advice}.", host=label)
