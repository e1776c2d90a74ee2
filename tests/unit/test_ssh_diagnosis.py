"""What ssh logs, and the error that becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runhouse.errors import (
    AuthenticationError,
    ConnectError,
    HostKeyChangedError,
    HostUnreachableError,
    SSMUnavailableError,
)
from runhouse.ssh.diagnosis import Attempt
from runhouse.ssh.target import Target

_BOX = Target("box", "ada", 2222)


def test_what_our_own_proxy_command_says_is_the_error() -> None:
    log = (
        "debug1: Executing proxy command\n"
        "runhouse.ssh.ssm: [TargetNotConnected] mi-1 cannot be reached. It is gone. Start it.\n"
        "Connection closed by UNKNOWN port 65535\n"
    )
    error = Attempt(_BOX, log, 5).error()
    assert isinstance(error, SSMUnavailableError)
    assert (error.code, str(error)) == (
        "TargetNotConnected",
        "mi-1 cannot be reached. It is gone. Start it.",
    )


@pytest.mark.parametrize(
    ("log", "kind", "said"),
    [
        (
            "ssh: Could not resolve hostname box: Name or service not known",
            HostUnreachableError,
            "name cannot be resolved",
        ),
        (
            "ssh: connect to host box port 2222: Connection refused",
            HostUnreachableError,
            "Nothing listens",
        ),
        (
            "ssh: connect to host box port 2222: No route to host",
            HostUnreachableError,
            "no route",
        ),
        (
            "ssh: connect to host box port 2222: Connection timed out",
            HostUnreachableError,
            "did not answer in time",
        ),
        (
            "Connection timed out during banner exchange",
            HostUnreachableError,
            "did not answer in time",
        ),
        (
            "kex_exchange_identification: read: Connection reset by peer",
            HostUnreachableError,
            "before the login",
        ),
        ("Bad configuration option: foo", HostUnreachableError, "Bad configuration option: foo"),
        ("", HostUnreachableError, "ended. Try by hand: ssh -v -p 2222 ada@box"),
        ("ada@box: Permission denied (publickey).", AuthenticationError, "publickey"),
        (
            "Received disconnect from box: 2: Too many authentication failures",
            AuthenticationError,
            "refused the login",
        ),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n"
            "Offending ED25519 key in /home/ada/.ssh/known_hosts:7\nHost key verification failed.",
            HostKeyChangedError,
            "line 7 of /home/ada/.ssh/known_hosts",
        ),
        (
            "No ED25519 host key is known for box and you have requested strict checking.\n"
            "Host key verification failed.",
            ConnectError,
            "not known",
        ),
    ],
)
def test_each_log_has_its_error(log: str, kind: type[ConnectError], said: str) -> None:
    error = Attempt(_BOX, f"debug1: Reading configuration\n{log}\n", 10).error()
    assert type(error) is kind
    assert said in str(error)
    assert "ada@box:2222" in str(error)
    assert error.host == "ada@box:2222"


def test_an_ssh_that_was_ended_says_after_how_long() -> None:
    error = Attempt(_BOX, "debug1: Connecting to box", 2.5, timed_out=True).error()
    assert isinstance(error, HostUnreachableError)
    assert "2.5 s" in str(error)


def test_the_way_is_named_when_there_is_one() -> None:
    target = Target("box", proxy_jump="hop")
    assert "goes through hop" in str(Attempt(target, "", 10).error())


def test_the_methods_that_were_tried_are_listed_in_order() -> None:
    log = (
        "debug1: Next authentication method: publickey\n"
        "debug1: Offering public key: ada@laptop RSA SHA256:abc agent\n"
        "debug1: Trying private key: /home/ada/.ssh/id_dsa\n"
        "debug1: Next authentication method: keyboard-interactive\n"
        "debug1: Next authentication method: password\n"
        "ada@box: Permission denied (publickey,password).\n"
    )
    target = Target("box", private_key=Path("/k"), password="secret")
    error = Attempt(target, log, 10).error()
    assert isinstance(error, AuthenticationError)
    assert error.methods == (
        "publickey ada@laptop",
        "publickey /home/ada/.ssh/id_dsa",
        "keyboard-interactive",
        "password",
    )
    assert "the host accepts: publickey,password" in str(error)
