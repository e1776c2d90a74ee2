"""Where an SSH connection goes and how it logs in: parsed once, then trusted."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from runhouse import settings

_CREDENTIALS = (
    "ssh_user",
    "ssh_private_key",
    "password",
    "ssh_port",
    "ssh_host",
    "ssh_proxy_command",
    "ssh_proxy_jump",
)
_BAD_IN_HOST = re.compile(r"""[\s\x00-\x1f\x7f'"`$\\;&|<>(){}\[\],/*?!@#]""")
_BAD_IN_USER = re.compile(r"""[\s\x00-\x1f\x7f'"`$;&|<>(){}]""")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _reject(what: str, why: str, advice: str, kind: type[Exception] = ValueError) -> NoReturn:
    """Raise an error of three sentences."""
    msg = f"{what} cannot be used. {why}. {advice}."
    raise kind(msg)


def _text(value: object, name: str) -> str:
    """Return a value that must be a non-empty text of one line."""
    if not isinstance(value, str):
        _reject(name, f"It is of type {type(value).__name__}", "Give a text", TypeError)
    if not value or _CONTROL.search(value):
        _reject(name, "It is empty or has a control character", "Give a text of one line")
    return value


def _port(value: object, name: str) -> int:
    """Return a port number given as a number or as its digits."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        _reject(name, f"It is of type {type(value).__name__}", "Give a whole number", TypeError)
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        _reject(name, f"{value!r} is not a number", "Give a number from 1 to 65535")
    number = int(value)
    if not 1 <= number <= 65535:
        _reject(name, f"{number} is out of range", "Give a number from 1 to 65535")
    return number


def _split(text: str) -> tuple[str, str | None, int | None]:
    """Take `user@host:port` apart into host, user and port."""
    head, at, place = text.rpartition("@")
    if at and not head:
        _reject(f"The host {text!r}", "Nothing stands before its @", "Write user@host")
    if "//" in text:
        _reject(f"The host {text!r}", "It looks like a URL", "Write user@host or user@host:port")
    user = head or None
    if place.startswith("["):
        name, bracket, rest = place[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            _reject(f"The host {text!r}", "Its brackets do not match", "Write [address]:port")
        return name, user, _port(rest[1:], "The port of the host") if rest else None
    if place.count(":") == 1:
        name, _, digits = place.partition(":")
        return name, user, _port(digits, "The port of the host")
    return place, user, None


def _one(what: str, *values: object) -> object:
    """Return the one value that is given, possibly more than once, or None."""
    given = {value for value in values if value is not None}
    if len(given) > 1:
        shown = " and ".join(sorted(repr(value) for value in given))
        _reject(f"The {what}", f"Two different ones are given: {shown}", "Leave one of them out")
    return given.pop() if given else None


def _key_file(value: object) -> Path:
    """Return the path of a private key that exists."""
    if not isinstance(value, (str, os.PathLike)):
        kind = type(value).__name__
        _reject("ssh_private_key", f"It is of type {kind}", "Give the path of a file", TypeError)
    path = Path(_text(os.fspath(value), "ssh_private_key")).expanduser().absolute()
    if not path.is_file():
        _reject("ssh_private_key", f"There is no file {path}", "Give the path of a private key")
    return path


@dataclass(frozen=True, slots=True)
class Target:
    """Name a host and the way to log in there; what is None is left to OpenSSH's configuration.

    Attributes:
        host: Alias of `~/.ssh/config`, name, IPv4 or IPv6 address without brackets.
        user: Login name.
        port: TCP port of sshd.
        private_key: Private key file to offer; the agent is asked for this one only.
        password: Password of the user on the host; never shown, never in a command line.
        proxy_jump: Hosts to go through, as in OpenSSH's `ProxyJump`.
        proxy_command: Command whose input and output are the connection, as in `ProxyCommand`.
        known_as: Name under which the host's key is remembered instead of its address, in a file
            of our own: for machines that come and go, while their addresses are used again.
    """

    host: str
    user: str | None = None
    port: int | None = None
    private_key: Path | None = None
    password: str | None = field(default=None, repr=False)
    proxy_jump: str | None = None
    proxy_command: str | None = None
    known_as: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that would not survive a command line."""
        _text(self.host, "The host")
        if self.host.startswith("-") or _BAD_IN_HOST.search(self.host):
            _reject(f"The host {self.host!r}", "It has a character no host has", "Correct it")
        if self.user is not None:
            _text(self.user, "The user")
            if self.user.startswith("-") or _BAD_IN_USER.search(self.user):
                _reject(f"The user {self.user!r}", "It has a character no user has", "Correct it")
        if self.port is not None:
            _port(self.port, "The port")
        if self.password is not None:
            _text(self.password, "The password")
        for value, name in (
            (self.proxy_jump, "ssh_proxy_jump"),
            (self.proxy_command, "ssh_proxy_command"),
            (self.known_as, "known_as"),
        ):
            if value is not None:
                _text(value, name)
        if self.proxy_jump is not None:
            if self.proxy_jump.startswith("-") or re.search(r"[\s'\"]", self.proxy_jump):
                _reject("ssh_proxy_jump", "It is not a list of hosts", "Write user@host:port")
            if self.proxy_command is not None:
                _reject("ssh_proxy_jump", "ssh_proxy_command is given too", "Leave one out")

    @classmethod
    def parse(
        cls, host: str, creds: Mapping[str, object] | None = None, *, port: int | None = None
    ) -> Target:
        """Build a target from what a user writes; nothing is looked up on the network.

        Args:
            host: An alias, `host`, `user@host`, `user@host:port`, an IPv6 address with or without
                brackets (with them when a port follows).
            creds: Any of `ssh_user`, `ssh_private_key`, `password`, `ssh_port`, `ssh_host`,
                `ssh_proxy_command`, `ssh_proxy_jump`. `ssh_host` is connected to instead of `host`.
            port: Another place to give the port.

        Raises:
            TypeError: A value is of the wrong type, or a key of `creds` is unknown.
            ValueError: A value cannot be used, or two places contradict each other.

        Example:
            >>> Target.parse("ada@box:2222")
            Target(host='box', user='ada', port=2222, private_key=None, proxy_jump=None, \
proxy_command=None, known_as=None)
        """
        if creds is not None and not isinstance(creds, Mapping):
            kind = type(creds).__name__
            _reject("ssh_creds", f"It is of type {kind}", "Give a dictionary", TypeError)
        given = {key: value for key, value in (creds or {}).items() if value is not None}
        for key in given:
            if key not in _CREDENTIALS:
                known = ", ".join(_CREDENTIALS)
                _reject(f"The ssh_creds key {key!r}", "It is unknown", f"Use {known}", TypeError)
        name, user, inline_port = _split(_text(host, "The host"))
        if "ssh_host" in given:
            name, other_user, other_port = _split(_text(given["ssh_host"], "ssh_host"))
            user, inline_port = other_user or user, other_port or inline_port
        creds_user = _text(given["ssh_user"], "ssh_user") if "ssh_user" in given else None
        creds_port = _port(given["ssh_port"], "ssh_port") if "ssh_port" in given else None
        argument = None if port is None else _port(port, "The port")
        key_file = given.get("ssh_private_key")
        return cls(
            host=name,
            user=_one("user", user, creds_user),  # type: ignore[arg-type]
            port=_one("port", inline_port, creds_port, argument),  # type: ignore[arg-type]
            private_key=None if key_file is None else _key_file(key_file),
            password=given.get("password"),  # type: ignore[arg-type]
            proxy_jump=given.get("ssh_proxy_jump"),  # type: ignore[arg-type]
            proxy_command=given.get("ssh_proxy_command"),  # type: ignore[arg-type]
        )

    @property
    def destination(self) -> str:
        """Return the host argument of ssh; user and port are among `arguments()`."""
        return self.host

    @property
    def label(self) -> str:
        """Return the target as people write it, for messages."""
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{user}{host}:{self.port}" if self.port else f"{user}{host}"

    @property
    def by_hand(self) -> str:
        """Return the command with which a user can see what happens, for messages."""
        port = f"-p {self.port} " if self.port else ""
        return f"ssh -v {port}{self.user}@{self.host}" if self.user else f"ssh -v {port}{self.host}"

    @property
    def identity(self) -> str:
        """Return a short text that two targets share only when one connection serves both."""
        parts = (
            self.host,
            self.user,
            self.port,
            self.private_key,
            self.password is not None,
            self.proxy_jump,
            self.proxy_command,
            self.known_as,
        )
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]

    def arguments(self) -> list[str]:
        """Return the options for ssh that this target needs; the password is never among them."""
        options = []
        if self.port is not None:
            options += ["-p", str(self.port)]
        if self.user is not None:
            options += ["-l", self.user]
        if self.private_key is not None:
            options += ["-i", str(self.private_key).replace("%", "%%"), "-o", "IdentitiesOnly=yes"]
        if self.proxy_jump is not None:
            options += ["-J", self.proxy_jump]
        if self.proxy_command is not None:
            options += ["-o", f"ProxyCommand={self.proxy_command}"]
        if self.known_as is not None:
            known_hosts = str(settings.load().home / "known_hosts").replace("%", "%%")
            options += ["-o", f"HostKeyAlias={self.known_as}"]
            options += ["-o", f'UserKnownHostsFile="{known_hosts}"']
        return options + self._login_options()

    def _login_options(self) -> list[str]:
        if self.password is None:
            return ["-o", "BatchMode=yes"]
        methods = "password,keyboard-interactive"
        options = ["PasswordAuthentication=yes", "KbdInteractiveAuthentication=yes"]
        options += ["NumberOfPasswordPrompts=1"]
        if self.private_key is None:
            options += ["PubkeyAuthentication=no", f"PreferredAuthentications={methods}"]
        else:
            options += [f"PreferredAuthentications=publickey,{methods}"]
        return [word for option in options for word in ("-o", option)]
