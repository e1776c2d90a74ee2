"""What `rh dashboard` serves, as a browser would ask for it."""

from __future__ import annotations

import http.client
import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.rigs.cli import RH

if TYPE_CHECKING:
    from collections.abc import Iterator

Answer = tuple[int, Any]


class Gateway:
    """Ask what `rh dashboard` serves."""

    def __init__(self, url: str) -> None:
        """Store the address with the token."""
        parts = urlsplit(url)
        self.port = int(parts.port or 0)
        self.token = parts.fragment.removeprefix("token=")

    def __call__(
        self, method: str, path: str, body: object = None, token: str | None = None, **more: str
    ) -> Answer:
        """Return the status of an answer, and its JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {self.token if token is None else token}", **more}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        is_json = "json" in (answer.headers["content-type"] or "")
        return answer.status, json.loads(data) if is_json else data.decode()


@contextmanager
def dashboard_url(environ: dict[str, str], cluster: str = "local") -> Iterator[str]:
    """Run `rh dashboard`, and give the address that it tells."""
    command = [RH, "dashboard", cluster, "--json"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = ""
        while not lines.endswith("}\n"):
            line = process.stdout.readline()
            assert line, "it has ended"
            lines += line
        try:
            yield str(json.loads(lines)["url"])
        finally:
            process.terminate()


@contextmanager
def dashboard(environ: dict[str, str], cluster: str = "local") -> Iterator[Gateway]:
    """Run `rh dashboard`, and give the way to it."""
    with dashboard_url(environ, cluster) as url:
        yield Gateway(url)
