"""What runs in a container for tests and measurements of data channels; a script.

At port 9000, or the one of its argument, the first line of a connection says what it does: `ready`,
which is said back, before another line; `echo`; `up N`, which takes N bytes and answers with their
SHA-256; `down N`, which gives N bytes and then their SHA-256. With the variable AUTHORIZED_KEY, an
sshd listens at port 22.
"""

from __future__ import annotations

import hashlib
import os
import socketserver
import subprocess
import sys
from pathlib import Path

_PIECE = 1 << 18
_ETC = Path("/etc/ssh")
_SSHD = """\
PermitRootLogin prohibit-password
PasswordAuthentication no
AuthorizedKeysFile /etc/ssh/authorized_keys
ListenAddress 127.0.0.1:22
UsePAM no
"""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline()
        if line == b"ready\n":
            self.connection.sendall(line)
            line = self.rfile.readline()
        if not line:
            return
        word, _, size = line.decode().strip().partition(" ")
        if word == "echo":
            while data := self.rfile.read1(_PIECE):
                self.connection.sendall(data)
            return
        digest, left = hashlib.sha256(), int(size)
        block = os.urandom(_PIECE)
        while left:
            data = self.rfile.read1(min(left, _PIECE)) if word == "up" else block[:left]
            if not data:
                return
            if word == "down":
                self.connection.sendall(data)
            digest.update(data)
            left -= len(data)
        self.connection.sendall(digest.hexdigest().encode())
        self.rfile.read()  # the agent waits 2 s only for what is on its way when the port closes


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


def _start_sshd(key: str) -> None:
    (_ETC / "authorized_keys").write_text(key)
    (_ETC / "authorized_keys").chmod(0o600)
    (_ETC / "sshd_config").write_text(_SSHD)
    subprocess.run(["ssh-keygen", "-q", "-A"], check=True)
    subprocess.run(["/usr/sbin/sshd"], check=True)


def main() -> None:
    """Serve until the container ends."""
    if key := os.environ.get("AUTHORIZED_KEY"):
        _start_sshd(key)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    with _Server(("127.0.0.1", port), _Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
