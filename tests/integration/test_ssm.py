"""Our proxy command against the box's Session Manager: bad networks, breaks, ends, refusals."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from runhouse.errors import SSMUnavailableError
from runhouse.ssh.diagnosis import Attempt
from runhouse.ssh.ssm.channel import FORWARDING_DOCUMENT
from runhouse.ssh.target import Target as SshTarget
from tests.rigs import namespaces
from tests.rigs.sagemakerbox import life
from tests.rigs.sagemakerbox.box import Box
from tests.rigs.ssm import Target, start_target
from tests.rigs.ssm_carrier import Carrier, carrying, program
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        namespaces.why_not() is not None, reason=f"needs a box; {namespaces.why_not()}"
    ),
]
_MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ssm") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made], check=True)
    return made


@pytest.fixture(scope="module")
def shared(key: Path) -> Iterator[Target]:
    with life.running(Box.private()) as box:
        public = key.with_suffix(".pub").read_text()
        yield start_target(box, environment={"AUTHORIZED_KEY": public})


@pytest.fixture
def target(shared: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """Give the target, and leave no session and no fault behind."""
    for name, value in shared.box.variables().items():
        monkeypatch.setenv(name, value)
    yield shared
    shared.fail()
    shared.ask("/box/refusals", [])
    wait_until(lambda: not shared.sessions())


def refused(target: Target, **options: Any) -> SSMUnavailableError:
    """Return the error of a session that cannot be had."""
    with (
        pytest.raises(SSMUnavailableError) as raised,
        carrying(target, **options) as carrier,
    ):
        assert carrier.stdout.read() == b""
    return raised.value


def texts(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    return process.stderr.read().decode()


def test_the_program_carries_bytes_and_ends_cleanly(target: Target) -> None:
    data = random.Random(1).randbytes(3 * _MEGABYTE)  # noqa: S311
    with program(target) as (carrier, process):
        carrier.begin()
        session = carrier.session()
        assert (session["Signed"], session["ClientVersion"]) == (True, "1.2.764.0")
        assert session["DocumentName"] == "AWS-StartSSHSession"
        carrier.send(data)
        assert carrier.session()["Discarded"] == 0
        carrier.stdin.close()
        assert process.wait(10) == 0
        assert texts(process) == ""
        assert target.sessions() == []


def test_the_program_says_what_becomes_an_error_of_ssh(target: Target) -> None:
    with program(Target(target.box, "mi-0123456789abcdef0")) as (carrier, process):
        text = texts(process)
        assert process.wait(10) == 1
        assert carrier.stdout.read() == b""
    assert text.count("\n") == 1
    error = Attempt(SshTarget("box"), text, 5).error()
    assert isinstance(error, SSMUnavailableError)
    assert (error.code, error.host) == ("TargetNotConnected", "box")
    assert "mi-0123456789abcdef0 is not connected" in str(error)


def test_much_may_come(target: Target) -> None:
    with carrying(target) as carrier:
        carrier.fetch(5 * _MEGABYTE + 17)


@pytest.mark.parametrize(
    "faults",
    [
        {"loss": 0.01, "dup": 0.02, "reorder": 0.02},
        {"loss": 0.1, "dup": 0.1, "reorder": 0.2},
        {"loss": 0.02, "acks_once": 1},
    ],
)
def test_a_bad_network_loses_nothing(target: Target, faults: dict[str, float]) -> None:
    data = random.Random(2).randbytes(_MEGABYTE)  # noqa: S311
    with carrying(target) as carrier:
        carrier.begin()
        target.fail(**faults)
        carrier.send(data)
        assert carrier.session()["Resent"] > 0
        target.fail()


def test_what_the_agent_sends_again_comes_once(target: Target) -> None:
    with carrying(target) as carrier:
        carrier.begin()
        target.fail(loss=0.1, dup=0.1, reorder=0.2)
        carrier.fetch(10_000)  # little, as the agent repeats one message in 100 ms
        target.fail()


def test_a_broken_connection_is_resumed_in_mid_transfer(target: Target) -> None:
    data = random.Random(3).randbytes(8 * _MEGABYTE)  # noqa: S311
    with carrying(target) as carrier:
        carrier.begin()
        target.fail(acks_once=1)
        carrier.say(f"up {len(data)}\n".encode())
        for part in range(8):
            carrier.say(data[part * _MEGABYTE : (part + 1) * _MEGABYTE])
            if part in (1, 4):
                wait_until(lambda: carrier.session()["Connected"])
                target.ask("/box/cut", {})
        assert carrier.read(64).decode() == hashlib.sha256(data).hexdigest()
        assert carrier.session()["Attached"] == 3


def test_what_comes_is_resumed_too(target: Target) -> None:
    with carrying(target) as carrier:
        carrier.begin()
        target.fail(pace_ms=1)  # as on AWS; the agent repeats what is on its way one in 100 ms
        piece = 50_000
        carrier.say(f"down {16 * piece}\n".encode())
        digest = hashlib.sha256()
        for part in range(16):
            digest.update(carrier.read(piece))
            if part in (3, 9):
                wait_until(lambda: carrier.session()["Connected"])
                target.ask("/box/cut", {})
        assert carrier.read(64).decode() == digest.hexdigest()
        assert carrier.session()["Attached"] == 3


def test_a_laptop_that_slept_goes_on(target: Target) -> None:
    with program(target) as (carrier, process):
        carrier.say(b"echo\n")
        carrier.echo(b"before")
        process.send_signal(signal.SIGSTOP)
        target.ask("/box/cut", {})
        wait_until(lambda: carrier.session()["Connected"] is False)
        carrier.say(b"typed while asleep")
        process.send_signal(signal.SIGCONT)
        assert carrier.read(18) == b"typed while asleep"
        assert carrier.session()["Attached"] == 2
        carrier.stdin.close()
        assert process.wait(10) == 0


def test_a_token_that_has_expired_is_replaced(target: Target) -> None:
    with carrying(target) as carrier:
        carrier.say(b"echo\n")
        carrier.echo(b"before")
        target.fail(expired_tokens=1)
        target.ask("/box/cut", {})
        wait_until(lambda: carrier.session()["Expired"] > 0)
        target.fail()
        carrier.echo(b"after")


def test_tokens_that_are_never_accepted_are_told(target: Target) -> None:
    target.fail(expired_tokens=1)
    error = refused(target)
    assert error.code == "Refused"
    assert "the gateway closed the connection" in str(error)


def test_a_session_that_is_gone_is_not_resumed(target: Target) -> None:
    refusal = {"action": "ResumeSession", "code": "DoesNotExistException", "message": "over"}
    with (
        pytest.raises(SSMUnavailableError, match="The session has ended") as raised,
        carrying(target) as carrier,
    ):
        carrier.begin()
        target.ask("/box/refusals", [refusal])
        target.ask("/box/cut", {})
        assert carrier.stdout.read() == b""
    assert raised.value.code == "DoesNotExistException"


def test_the_gateway_may_ask_for_quiet(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PING_AFTER_S", "_IDLE_LOOK_S"):
        monkeypatch.setattr(f"runhouse.ssh.ssm.pump.{name}", 0.05)

    def wait_for_a_ping(carrier: Carrier) -> None:
        before = carrier.session()["Pings"]
        wait_until(lambda: carrier.session()["Pings"] > before + 1)

    with carrying(target) as carrier:
        carrier.say(b"echo\n")
        carrier.echo(b"before")
        target.ask("/box/pause", {"paused": True})
        wait_for_a_ping(carrier)  # so it has read what came before
        carrier.say(b"kept back")
        wait_for_a_ping(carrier)
        assert carrier.session()["Unasked"] == 0
        target.ask("/box/pause", {"paused": False})
        assert carrier.read(9) == b"kept back"


def test_data_before_the_port_is_reached_is_sent_again(target: Target) -> None:
    target.fail(dial_s=0.5)
    with carrying(target) as carrier:
        carrier.begin()
        assert carrier.session()["Refused"] > 0
        target.fail()
        carrier.send(b"x" * 5000)


def test_kms_is_declined_with_the_reason(target: Target) -> None:
    target.fail(kms=1)
    error = refused(target)
    assert error.code == "ChannelClosed"
    assert "KMSEncryption failed on client" in str(error)
    assert "turn KMS encryption off" in str(error)


def test_a_closed_port_is_told(target: Target) -> None:
    error = refused(target, port=9)
    assert error.code == "ChannelClosed"
    assert "Unable to connect to specified port" in str(error)


def test_signatures_may_be_required_of_roles(target: Target) -> None:
    target.fail(require_signed=1)
    with carrying(target, profile="sagemaker") as carrier:
        carrier.begin()
        assert carrier.session()["Signed"] is True


def test_a_wrong_signature_is_final(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    error = refused(target)
    assert error.code == "Refused"
    assert "status 403" in str(error)


def test_missing_permissions_are_told(target: Target) -> None:
    refusal = {"action": "StartSession", "code": "AccessDeniedException", "message": "not you"}
    target.ask("/box/refusals", [refusal])
    assert refused(target).code == "AccessDeniedException"


def test_a_session_that_is_ended_there_ends_here(target: Target) -> None:
    with (
        pytest.raises(SSMUnavailableError, match="Session terminated by user"),
        carrying(target) as carrier,
    ):
        carrier.say(b"up 100000000\n" + bytes(_MEGABYTE))
        wait_until(lambda: carrier.session()["Received"] > _MEGABYTE)
        identity = carrier.session()["SessionId"]
        target.aws("AmazonSSM", "TerminateSession", {"SessionId": identity})
        assert carrier.stdout.read() == b""


def test_a_signal_ends_the_session_too(target: Target) -> None:
    with program(target) as (carrier, process):
        carrier.begin()
        carrier.say(b"up 100000000\n" + bytes(_MEGABYTE))
        process.send_signal(signal.SIGHUP)  # as ssh does
        assert process.wait(10) == 128 + signal.SIGHUP
        assert texts(process) == ""
        assert target.sessions() == []


def test_a_reader_that_has_gone_ends_it(target: Target) -> None:
    with carrying(target) as carrier:
        carrier.say(b"echo\n")
        carrier.echo(b"heard")
        carrier.stdout.close()
        wait_until(lambda: not target.sessions())


def test_a_reader_that_goes_while_the_connection_is_broken_ends_it(target: Target) -> None:
    with carrying(target) as carrier:
        carrier.begin()
        refusal = {"action": "ResumeSession", "code": "InternalServerError", "message": "later"}
        target.ask("/box/refusals", [refusal])
        target.ask("/box/cut", {})
        wait_until(lambda: not carrier.session()["Connected"])
        carrier.stdout.close()


def test_a_reader_that_is_slow_gets_all(target: Target) -> None:
    with carrying(target) as carrier:
        carrier.begin()
        carrier.say(f"down {12 * _MEGABYTE}\n".encode())
        wait_until(lambda: carrier.session()["Full"])
        data = carrier.read(12 * _MEGABYTE)
        assert carrier.read(64).decode() == hashlib.sha256(data).hexdigest()


def test_a_forwarding_session_does_as_well(target: Target) -> None:
    with carrying(target, document=FORWARDING_DOCUMENT) as carrier:
        carrier.begin()
        assert carrier.session()["DocumentName"] == "AWS-StartPortForwardingSession"
        carrier.send(b"x" * 100_000)


def test_ssh_goes_through_it(target: Target, key: Path, tmp_path: Path) -> None:
    proxy = " ".join(target.command(port=22))
    options = [
        f"ProxyCommand={proxy}",
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={tmp_path}/known",
        "BatchMode=yes",
        "LogLevel=ERROR",
    ]
    words = [word for option in options for word in ("-o", option)]
    done = subprocess.run(
        ["ssh", "-F", "none", "-i", key, *words, "root@box", "cat; echo end"],
        input=bytes(2 * _MEGABYTE),
        capture_output=True,
        env=target.box.environment(),
        check=True,
        timeout=15,
    )
    assert len(done.stdout) == 2 * _MEGABYTE + 4
    assert done.stdout.endswith(b"end\n")
    assert done.stderr == b""
