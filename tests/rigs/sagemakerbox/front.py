"""The one endpoint of the box's AWS: what is played here, what moto answers, the data channel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from tests.rigs.sagemakerbox import limits, refusals
from tests.rigs.sagemakerbox.box import KEY, AwsError, Box
from tests.rigs.sagemakerbox.gateway import Connection
from tests.rigs.sagemakerbox.pricing import Pricing
from tests.rigs.sagemakerbox.sagemaker import SageMaker
from tests.rigs.sagemakerbox.systems_manager import NotPlayedError, SystemsManager

if TYPE_CHECKING:
    from tests.rigs.sagemakerbox.account import Account
    from tests.rigs.sagemakerbox.refusals import Refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_JSON = "application/x-amz-json-1.1"
_DROPPED = {"content-length", "transfer-encoding", "accept-encoding"}
_KEPT_OUT = {"transfer-encoding", "content-encoding", "connection"}
_SIMULATED = (
    '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
    "<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated>"
    "<EvaluationResults>{members}</EvaluationResults>"
    "</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
)
_MEMBER = (
    "<member><EvalActionName>{action}</EvalActionName>"
    "<EvalResourceName>*</EvalResourceName><EvalDecision>{decision}</EvalDecision></member>"
)


class Front:
    """Answer at the endpoint."""

    def __init__(self, box: Box, account: Account, faults: dict[str, float]) -> None:
        """Store what answers; nothing listens yet.

        Args:
            box: The box.
            account: What moto has.
            faults: What goes wrong; README.md tells which there are.
        """
        self.faults = faults
        self.sagemaker = SageMaker(box, account, faults)
        self.ssm = SystemsManager(box, self.sagemaker, faults)
        self._played = {
            "SageMaker": ("sagemaker", self.sagemaker),
            "AmazonSSM": ("ssm", self.ssm),
            "AWSPriceListService": ("pricing", Pricing()),
        }
        self._moto = account.endpoint
        self._http: aiohttp.ClientSession | None = None
        self._keys = {KEY: KEY}
        self._refusals: list[Refusal] = []

    def application(self) -> web.Application:
        """Return the application."""
        made = web.Application(client_max_size=1 << 33)
        routes: Mapping[str, Handler] = {
            "/box/register": self._register,
            "/box/heartbeat": self._heartbeat,
            "/box/faults": self._set_faults,
            "/box/refusals": self._set_refusals,
            "/box/cut": self._cut,
            "/box/pause": self._pause,
        }
        for path, handler in routes.items():
            made.router.add_post(path, handler)
        made.router.add_get("/box/sessions", self._list_sessions)
        made.router.add_route("*", "/{tail:.*}", self._answer)
        made.cleanup_ctx.append(self._client)
        made.cleanup_ctx.append(self._open_gateway)
        return made

    async def _client(self, app: web.Application) -> Any:
        del app
        async with aiohttp.ClientSession(auto_decompress=False) as self._http:
            yield

    # -- AWS ------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        service, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        called = operation or _operation(request, body)
        for refusal in self._refusals:
            if refusal.meets(called, request.headers.get("Authorization", "")):
                return refusal.answer(is_json=bool(operation), is_s3=called == refusals.S3)
        name, player = self._played.get(service, ("", None))
        method = getattr(player, operation, None) if operation[:1].isupper() else None
        if method is not None:
            with suppress(NotPlayedError):
                return _played(name, operation, method, body)
        if called == "SimulatePrincipalPolicy":  # moto has none
            return self._simulate(body)
        return await self._pass_on(request, body)

    def _simulate(self, body: bytes) -> web.Response:
        asked = [v for k, v in parse_qsl(body.decode()) if k.startswith("ActionNames.")]
        refused = {each.action for each in self._refusals}
        members = "".join(
            _MEMBER.format(
                action=action,
                decision="implicitDeny" if action.partition(":")[2] in refused else "allowed",
            )
            for action in asked
        )
        return web.Response(content_type="text/xml", text=_SIMULATED.format(members=members))

    async def _pass_on(self, request: web.Request, body: bytes) -> web.Response:
        """Let moto answer."""
        assert self._http is not None
        sent = {k: v for k, v in request.headers.items() if k.lower() not in _DROPPED}
        async with self._http.request(
            request.method,
            f"{self._moto}{request.raw_path}",
            data=body,
            headers=sent,
            allow_redirects=False,
            skip_auto_headers=["Accept-Encoding", "Content-Type"],
        ) as answer:
            out = await answer.read()
            if b"<SecretAccessKey>" in out:  # temporary credentials, with which things are signed
                key, secret = (_within(out, each) for each in ("AccessKeyId", "SecretAccessKey"))
                self._keys[key] = secret
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in _KEPT_OUT}
            if request.method == "HEAD":
                return web.Response(status=answer.status, headers=headers)
            headers.pop("Content-Length", None)
            return web.Response(status=answer.status, body=out, headers=headers)

    # -- the data channel -----------------------------------------------------------------------

    async def _open_gateway(self, app: web.Application) -> Any:
        """Take data channels at a port of their own."""
        del app

        def made() -> Connection:
            return Connection(self.ssm.sessions, self._keys, self.faults)

        server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
        self.ssm.gateway_port = server.sockets[0].getsockname()[1]
        yield
        server.close()

    # -- the box itself -------------------------------------------------------------------------

    async def _register(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(self.ssm.register(await request.json()))
        except AwsError as error:
            return web.Response(status=400, text=str(error))

    async def _heartbeat(self, request: web.Request) -> web.Response:
        self.ssm.heartbeat((await request.json())["ManagedInstanceID"])
        return web.json_response({})

    async def _list_sessions(self, request: web.Request) -> web.Response:
        del request
        return web.json_response([each.described() for each in self.ssm.sessions.values()])

    async def _cut(self, request: web.Request) -> web.Response:
        """Break every client's connection as a lost network does: without a closing frame."""
        del request
        return web.json_response({"cut": sum(each.cut() for each in self.ssm.sessions.values())})

    async def _pause(self, request: web.Request) -> web.Response:
        """Have the gateway say to every client that it is to be quiet, or to go on."""
        paused = bool((await request.json())["paused"])
        for each in self.ssm.sessions.values():
            each.pause(paused=paused)
        return web.json_response({})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self.faults.clear()
        self.faults.update(await request.json())
        return web.json_response(self.faults)

    async def _set_refusals(self, request: web.Request) -> web.Response:
        self._refusals = refusals.load(await request.json())
        return web.json_response({})


def _played(
    service: str, operation: str, method: Callable[[Any], Any], body: bytes
) -> web.Response:
    """Return what is played here, held to AWS's limits."""
    try:
        asked = json.loads(body or b"{}")
        limits.check(service, operation, asked)
        return web.json_response(method(asked), content_type=_JSON)
    except AwsError as error:
        told = {"__type": error.code, "message": str(error)}
        return web.json_response(told, status=400, content_type=_JSON)


def _operation(request: web.Request, body: bytes) -> str:
    """Return what a request asks for that does not say so in its head."""
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode())).get("Action", "")
    return refusals.S3


def _within(text: bytes, tag: str) -> str:
    return text.partition(f"<{tag}>".encode())[2].partition(b"<")[0].decode()
