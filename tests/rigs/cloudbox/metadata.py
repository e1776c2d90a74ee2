"""The instance metadata service of one host, at an address that only that host has.

Stands alone: it is copied to hosts. SkyPilot's agent there takes the role's credentials from here,
and no others, before it stops or terminates its own cluster.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROLE = "skypilot-v1"
_ROLES = "iam/security-credentials/"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def credentials() -> dict[str, str]:
    """Return the role's credentials, good for some hours."""
    now = datetime.now(timezone.utc)
    return {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": now.strftime(_TIME),
        "Expiration": (now + timedelta(hours=6)).strftime(_TIME),
        "AccessKeyId": "testing",
        "SecretAccessKey": "testing",
        "Token": "testing",
    }


class Handler(BaseHTTPRequestHandler):
    """Answer what an instance asks about itself."""

    document: dict[str, str]
    facts: dict[str, str]

    def _reply(self, text: str | None) -> None:
        body = (text or "").encode()
        self.send_response(404 if text is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        """Give a token, which no request needs."""
        self._reply("token" if self.path == "/latest/api/token" else None)

    def do_GET(self) -> None:
        """Give a fact."""
        fact = self.path.partition("/latest/meta-data/")[2]
        if self.path == "/latest/dynamic/instance-identity/document":
            self._reply(json.dumps(self.document))
        elif fact == _ROLES:
            self._reply(ROLE)
        elif fact == _ROLES + ROLE:
            self._reply(json.dumps(credentials()))
        else:
            self._reply(self.facts.get(fact))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def main() -> None:
    """Answer for as long as the host runs."""
    known = json.loads(Path(sys.argv[1]).read_text())
    Handler.document, Handler.facts = known["document"], known["facts"]
    ThreadingHTTPServer(("169.254.169.254", 80), Handler).serve_forever()


if __name__ == "__main__":
    main()
