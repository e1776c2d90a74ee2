"""What users write as a host and as credentials, and what ssh is given for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from runhouse.ssh.target import Target

_NAMES = st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True)
_PORTS = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "host", "user", "port"),
    [
        ("box", "box", None, None),
        ("ada@box", "box", "ada", None),
        ("ada@box:2222", "box", "ada", 2222),
        ("box:22", "box", None, 22),
        ("192.0.2.7", "192.0.2.7", None, None),
        ("::1", "::1", None, None),
        ("ada@::1", "::1", "ada", None),
        ("[::1]", "::1", None, None),
        ("[::1]:2222", "::1", None, 2222),
        ("ada@[fe80::1%eth0]:2222", "fe80::1%eth0", "ada", 2222),
        ("ada@corp.example@box", "box", "ada@corp.example", None),
        ("my_box-1.example", "my_box-1.example", None, None),
    ],
)
def test_a_host_is_taken_apart(text: str, host: str, user: str | None, port: int | None) -> None:
    assert Target.parse(text) == Target(host, user, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "@box", "ada@", "-oProxyCommand=x", "ada@-x", "box:", "box:0", "box:65536"),
        *("box:x", "box:²", "[::1", "[::1]x", "[::1]:", "ssh://box", "a b", "box\n", "box;ls"),
        *("$(ls)", "a`b", "a/b", "-u@box", "a b@box", "box\0", "[box", "b*x"),
    ],
)
def test_a_host_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be used\. .+\. .+\."):
        Target.parse(text)


@pytest.mark.parametrize(
    ("creds", "kind"),
    [
        ({"ssh_usr": "ada"}, TypeError),
        ({"ssh_user": 3}, TypeError),
        ({"ssh_user": ""}, ValueError),
        ({"ssh_user": "-x"}, ValueError),
        ({"ssh_port": "x"}, ValueError),
        ({"ssh_port": True}, TypeError),
        ({"ssh_port": 1.5}, TypeError),
        ({"ssh_port": 0}, ValueError),
        ({"ssh_private_key": 3}, TypeError),
        ({"ssh_private_key": "/no/such/key"}, ValueError),
        ({"password": b"x"}, TypeError),
        ({"password": ""}, ValueError),
        ({"password": "a\nb"}, ValueError),
        ({"ssh_proxy_jump": "-x"}, ValueError),
        ({"ssh_proxy_jump": "a b"}, ValueError),
        ({"ssh_proxy_command": "a\nb"}, ValueError),
        ({"ssh_proxy_jump": "a", "ssh_proxy_command": "b"}, ValueError),
        ({"ssh_host": ["x"]}, TypeError),
        (["ssh_user"], TypeError),
        ("ada", TypeError),
    ],
)
def test_bad_credentials_are_refused(creds: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"cannot be used\. .+\. .+\."):
        Target.parse("box", creds)


@pytest.mark.parametrize("value", [None, 3, b"box", ["box"]])
def test_a_host_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="The host cannot be used"):
        Target.parse(value)


def test_two_places_must_agree() -> None:
    same = Target.parse("ada@box:22", {"ssh_user": "ada", "ssh_port": "22"}, port=22)
    assert same == Target("box", "ada", 22)
    with pytest.raises(ValueError, match="Two different ones"):
        Target.parse("ada@box", {"ssh_user": "bob"})
    with pytest.raises(ValueError, match="Two different ones"):
        Target.parse("box:22", port=23)


def test_ssh_host_is_connected_to_instead() -> None:
    target = Target.parse("box", {"ssh_host": "198.51.100.3", "ssh_user": "ada"})
    assert target == Target("198.51.100.3", "ada")


def test_none_among_the_credentials_means_openssh_s_default() -> None:
    assert Target.parse("box", {"password": None, "ssh_port": None}) == Target("box")


def test_a_password_is_nowhere_to_be_seen() -> None:
    target = Target("box", password="open sesame")
    shown = [repr(target), str(target), target.label, target.identity, *target.arguments()]
    assert not [text for text in shown if "sesame" in text]


def test_each_way_to_log_in_has_its_options(tmp_path: Path) -> None:
    key = tmp_path / "my key"
    key.touch()
    by_key = Target.parse("box", {"ssh_private_key": key}).arguments()
    assert by_key[:4] == ["-i", str(key), "-o", "IdentitiesOnly=yes"]
    assert "BatchMode=yes" in by_key
    by_password = Target("box", password="x").arguments()
    assert "BatchMode=yes" not in by_password
    assert "PubkeyAuthentication=no" in by_password
    assert "NumberOfPasswordPrompts=1" in by_password
    both = Target("box", private_key=key, password="x").arguments()
    assert "PreferredAuthentications=publickey,password,keyboard-interactive" in both
    assert not [word for word in by_key + by_password + both if "StrictHostKeyChecking" in word]


def test_a_proxy_command_is_passed_as_it_is() -> None:
    command = "aws ssm start-session --target %h --parameters 'portNumber=%p' \"x y\""
    assert f"ProxyCommand={command}" in Target("box", proxy_command=command).arguments()


def test_targets_that_differ_share_no_connection() -> None:
    targets = [
        Target("box"),
        Target("box", "ada"),
        Target("box", port=22),
        Target("box", password="x"),
        Target("box", proxy_jump="a"),
        Target("box", proxy_command="a"),
        Target("box", private_key=Path("/k")),
    ]
    assert len({target.identity for target in targets}) == len(targets)


@given(user=st.none() | _NAMES, host=_NAMES, port=st.none() | _PORTS)
def test_a_label_is_parsed_to_the_same_target(
    user: str | None, host: str, port: int | None
) -> None:
    target = Target(host, user, port)
    assert Target.parse(target.label) == target


@given(st.ip_addresses(v=6), st.none() | _PORTS)
def test_any_ipv6_address_is_a_host(address: Any, port: int | None) -> None:
    target = Target(str(address), "ada", port)
    assert Target.parse(target.label) == target


@given(st.text())
def test_any_text_is_parsed_or_refused_and_never_an_option(text: str) -> None:
    try:
        target = Target.parse(text)
    except ValueError:
        return
    assert not target.host.startswith("-")
    assert not (target.user or "").startswith("-")
    assert "\n" not in " ".join(target.arguments())
