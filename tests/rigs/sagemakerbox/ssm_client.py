"""A minimal ProxyCommand over the data channel: the rig's own check of itself, not a product.

    ssh -o ProxyCommand='python -m tests.rigs.sagemakerbox.ssm_client %h %p' root@mi-0123

Signed upgrade, retransmission, resume. With the arguments of AWS's session-manager-plugin it takes
the place of that: `aws ssm start-session` has started the session then.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from contextlib import suppress
from typing import Any

import aiohttp
import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from tests.rigs.sagemakerbox import ssmproto as p

VERSION = "1.2.764.0"
_SSH = "AWS-StartSSHSession"


class Channel:
    """Pass standard input to a port of a target, and what it says to standard output."""

    def __init__(self, boto: boto3.Session, session: dict[str, Any]) -> None:
        """Take a session that was started."""
        self._boto, self._session = boto, session
        self._ssm = boto.client("ssm")
        self._client_id = str(uuid.uuid4())
        self._ws: Any = None
        self._ready = asyncio.Event()
        self._sender = p.Sender(self._send, p.INPUT)
        self._receiver = p.Receiver()
        self._out = sys.stdout.buffer

    async def _send(self, raw: bytes) -> None:
        if self._ws is not None and not self._ws.closed:
            with suppress(ConnectionError):  # unacknowledged: sent again after the resume
                await self._ws.send_bytes(raw)

    async def _upload(self) -> None:
        stdin = asyncio.StreamReader(limit=1 << 20)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin.buffer)
        await self._ready.wait()  # what comes before HandshakeComplete is thrown away
        while data := await stdin.read(p.PAYLOAD_MAX):
            await self._sender.put(data)
        await self._sender.put(p.FLAG_TERMINATE_SESSION.to_bytes(4, "big"), p.T_FLAG)

    async def _receive(self, message: p.Message) -> bool:
        """Take a message, and tell whether the session is over."""
        if message.kind == p.ACK:
            self._sender.acked(message)
        elif message.kind == p.PAUSE:
            self._sender.running.clear()
        elif message.kind == p.START:
            self._sender.running.set()
        elif message.kind == p.CLOSED:
            why = json.loads(message.payload).get("Output", "")
            if why:
                sys.stderr.write(f"session closed: {why}\n")
            return True
        elif message.kind == p.OUTPUT:
            await self._send(message.ack())
            for each in self._receiver.take(message):
                await self._handle(each)
        return False

    async def _handle(self, message: p.Message) -> None:
        if message.payload_type == p.T_HANDSHAKE_REQUEST:
            asked = json.loads(message.payload)["RequestedClientActions"]
            done = [_processed(each["ActionType"]) for each in asked]
            errors = [each["Error"] for each in done if each["Error"]]
            answer = {"ClientVersion": VERSION, "ProcessedClientActions": done, "Errors": errors}
            await self._sender.put(json.dumps(answer).encode(), p.T_HANDSHAKE_RESPONSE)
        elif message.payload_type == p.T_HANDSHAKE_COMPLETE:
            self._ready.set()
        elif message.payload_type == p.T_OUTPUT:
            self._out.write(message.payload)
            self._out.flush()

    def _headers(self) -> dict[str, str]:
        request = AWSRequest("GET", self._session["StreamUrl"].replace("ws", "http", 1))
        credentials = self._boto.get_credentials().get_frozen_credentials()
        SigV4Auth(credentials, "ssmmessages", self._ssm.meta.region_name).add_auth(request)
        return dict(request.headers)

    async def _attach(self, http: aiohttp.ClientSession) -> bool:
        """Talk over one websocket, and tell whether the session is over."""
        async with http.ws_connect(
            self._session["StreamUrl"], max_msg_size=0, headers=self._headers(), heartbeat=30
        ) as self._ws:
            hello = {
                "MessageSchemaVersion": "1.0",
                "RequestId": str(uuid.uuid4()),
                "TokenValue": self._session["TokenValue"],
                "ClientId": self._client_id,
                "ClientVersion": VERSION,
            }
            await self._ws.send_str(json.dumps(hello))
            async for frame in self._ws:
                if isinstance(frame.data, bytes) and await self._receive(p.Message(frame.data)):
                    return True
        return False

    async def run(self) -> None:
        """Pass bytes until the session is over."""
        tasks = [
            asyncio.create_task(self._upload()),
            asyncio.create_task(self._sender.resend_forever()),
        ]
        async with aiohttp.ClientSession() as http:
            while not await self._attach(http):
                self._session = await asyncio.to_thread(
                    self._ssm.resume_session, SessionId=self._session["SessionId"]
                )
        for task in tasks:
            task.cancel()


def _processed(kind: str) -> dict[str, Any]:
    known = kind == "SessionType"
    return {
        "ActionType": kind,
        "ActionStatus": 1 if known else 3,
        "ActionResult": None,
        "Error": "" if known else "not supported by this client",
    }


def _open(target: str, port: str = "22") -> Channel:
    boto = boto3.Session()
    session = boto.client("ssm").start_session(
        Target=target, DocumentName=_SSH, Parameters={"portNumber": [port]}
    )
    return Channel(boto, session)


def _open_as_plugin(answer: str, region: str, verb: str, profile: str, *_: str) -> Channel:
    assert verb == "StartSession"
    boto = boto3.Session(region_name=region, profile_name=profile or None)
    return Channel(boto, json.loads(os.environ.get(answer, answer)))  # newer ones name a variable


async def _main(words: list[str]) -> None:
    await (_open_as_plugin(*words) if len(words) > 2 else _open(*words)).run()
    os._exit(0)  # the thread that reads standard input would keep it


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
