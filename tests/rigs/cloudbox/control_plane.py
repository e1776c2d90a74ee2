"""The region's AWS: moto, with a word of ours before it when a request is to be refused."""

from __future__ import annotations

import io
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2 import ec2_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.rigs.cloudbox import refusals
from tests.rigs.cloudbox.box import PORT, REGION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from tests.rigs.cloudbox.refusals import Refusal

# After these, hosts begin or end.
_CHANGES = {"RunInstances", "StartInstances", "StopInstances", "TerminateInstances"}


class _Quiet(WSGIRequestHandler):
    """Answer requests without a line in the log for each."""

    def log_request(self, code: object = "-", size: object = "-") -> None:
        del code, size


class ControlPlane:
    """Answer AWS requests at the endpoint.

    Attributes:
        changed: Is set when hosts may have begun or ended.
        zones: Zone of each subnet, for refusals that name a zone.
    """

    def __init__(self) -> None:
        """Store what is needed; nothing is started."""
        self.changed = threading.Event()
        self.zones: dict[str, str] = {}
        self._refusals: list[Refusal] = []
        self._refused: Counter[Refusal] = Counter()
        self._moto = DomainDispatcherApplication(create_backend_app)

    def start(self) -> None:
        """Begin to answer, in threads."""
        server = make_server(
            "0.0.0.0",  # noqa: S104 - of a network of its own
            PORT,
            self,
            threaded=True,
            request_handler=_Quiet,
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"] == refusals.PATH:
            self._refusals = refusals.load(body)
            self._refused.clear()
            return _answer(start_response, "200 OK", b"")
        request: dict[str, str] = {}
        if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
            request = dict(parse_qsl(body.decode()))
        for refusal in self._refusals:
            if refusal.meets(request, self.zones) and self._is_due(refusal):
                return _answer(start_response, "400 Bad Request", refusal.answer(request))
        if request.get("Action") == "StartInstances":
            _move(value for name, value in request.items() if name.startswith("InstanceId."))
        answer: Any = self._moto(environ, start_response)
        if request.get("Action") in _CHANGES:
            self.changed.set()
        return list(answer)

    def _is_due(self, refusal: Refusal) -> bool:
        """Count a request that is to be refused; tell whether it still is."""
        self._refused[refusal] += 1
        return refusal.times is None or self._refused[refusal] <= refusal.times


def _move(instances: Iterable[str]) -> None:
    """Give stopped instances other addresses, as AWS does with those that users connect to."""
    backend = ec2_backends[DEFAULT_ACCOUNT_ID][REGION]
    for instance in map(backend.get_instance, instances):
        if instance.state == "stopped":
            interface = instance.nics[0]
            interface.private_ip_address = interface.subnet.get_available_subnet_ip(instance)
            first = {"Primary": True, "PrivateIpAddress": interface.private_ip_address}
            interface.private_ip_addresses = [first]


def _answer(start_response: StartResponse, status: str, body: bytes) -> list[bytes]:
    headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]
