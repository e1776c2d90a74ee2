"""Errors of Systems Manager are told once, in our words; what may pass is tried again."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from runhouse.errors import ConnectError, SSMUnavailableError
from runhouse.ssh.ssm.channel import SSH_DOCUMENT
from runhouse.ssh.ssm.service import Service, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = """\
[profile there]
region = eu-west-1
aws_access_key_id = other
aws_secret_access_key = secret
"""
_TICKET = {"SessionId": "s-1", "StreamUrl": "wss://example.org/v1?a=b", "TokenValue": "secret"}


class Aws:
    """Be an endpoint that gives prepared answers, the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, Any]]] = [(200, _TICKET)]
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def refuse(self, *codes: str) -> None:
        answers = [(400, {"__type": code, "message": f"about {code}"}) for code in codes]
        self.answers = [*answers, (200, _TICKET)] if len(codes) > 1 else answers

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        aws = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802 - the name is given
                body = self.rfile.read(int(self.headers["Content-Length"]))
                aws.asked.append((self.headers["X-Amz-Target"], json.loads(body)))
                status, told = aws.answers.pop(0) if len(aws.answers) > 1 else aws.answers[0]
                text = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *words: object) -> None:
                del words

        return Handler


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Aws]:
    made = Aws()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (tmp_path / "config").write_text(_CONFIG)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{made.server.server_address[1]}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }.items():
        monkeypatch.setenv(name, value)
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_a_session_is_started_resumed_and_ended(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")  # which goes before the profile's
    service = Service("mi-1", profile="there")
    ticket = service.start(SSH_DOCUMENT, 2222)
    assert ticket == Ticket("s-1", "wss://example.org/v1?a=b", "secret")
    assert "secret" not in repr(ticket)
    assert service.resume("s-1") == ticket
    service.terminate("s-1")
    started = {
        "Target": "mi-1",
        "DocumentName": "AWS-StartSSHSession",
        "Parameters": {"portNumber": ["2222"]},
    }
    assert aws.asked == [
        ("AmazonSSM.StartSession", started),
        ("AmazonSSM.ResumeSession", {"SessionId": "s-1"}),
        ("AmazonSSM.TerminateSession", {"SessionId": "s-1"}),
    ]
    signed = service.sign(ticket.url)
    assert "/eu-west-1/ssmmessages/aws4_request" in signed["Authorization"]
    assert "secret" not in str(signed)


@pytest.mark.parametrize(
    ("code", "named", "said"),
    [
        ("TargetNotConnected", "TargetNotConnected", "whether the job still runs"),
        ("AccessDeniedException", "AccessDeniedException", "Allow ssm:StartSession"),
        ("AccessDenied", "AccessDeniedException", "Allow ssm:StartSession"),
        ("ExpiredTokenException", "ExpiredTokenException", "Log in again"),
        ("ExpiredToken", "ExpiredTokenException", "Log in again"),
        ("UnrecognizedClientException", "UnrecognizedClientException", "not accepted"),
        ("InvalidDocument", "InvalidDocument", "--document"),
        ("BadRequest", "BadRequest", "See what AWS says"),
    ],
)
def test_a_refusal_is_told_and_final(aws: Aws, code: str, named: str, said: str) -> None:
    aws.refuse(code)
    with pytest.raises(SSMUnavailableError, match=f"about {code}") as raised:
        Service("mi-1").start(SSH_DOCUMENT, 22)
    assert raised.value.code == named
    assert raised.value.host == "mi-1"
    assert said in str(raised.value)
    assert isinstance(raised.value, ConnectError)
    assert len(aws.asked) == 1


def test_what_throttles_is_tried_again(aws: Aws) -> None:
    aws.refuse("ThrottlingException", "ThrottlingException")
    assert Service("mi-1").start(SSH_DOCUMENT, 22).session_id == "s-1"
    assert len(aws.asked) == 3


def test_no_credentials_is_told(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SSMUnavailableError, match="Unable to locate credentials") as raised:
        Service("mi-1").start(SSH_DOCUMENT, 22)
    assert raised.value.code == "NoCredentialsError"
    assert aws.asked == []


def test_an_unknown_profile_is_told(aws: Aws) -> None:
    with pytest.raises(SSMUnavailableError, match=r"\(nowhere\) could not be found"):
        Service("mi-1", profile="nowhere")
    assert aws.asked == []


def test_no_region_is_told(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(SSMUnavailableError, match="specify a region"):
        Service("mi-1")
    assert aws.asked == []


def test_the_environments_proxy_is_used(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    del aws
    service = Service("mi-1")
    assert service.proxy("wss://example.org/") is None
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert service.proxy("wss://example.org/") == "http://proxy:3128"
    assert service.proxy("ws://example.org/") is None
