"""A package index for tests: tiny wheels that are made here, and a server on this machine's port.

Hosts of the rigs have a network of their own, so they do not reach it, unless it is started there.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import threading
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from runhouse import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

USER, PASSWORD = "ada", "hunter2-is-no-secret"
# What could tell uv and pip on this machine of other indexes.
_STRAY = ("UV_", "PIP_")


def wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel with one module, whose `VERSION` is the wheel's."""
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {each}" for each in requires]
    content = {
        **(files or {f"{name}.py": f"VERSION = {version!r}\n"}),
        f"{info}/METADATA": "\n".join([*metadata, ""]),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    rows = "".join(f"{each},,\n" for each in [*content, f"{info}/RECORD"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for each, text in {**content, f"{info}/RECORD": rows}.items():
            packed.writestr(each, text)
    return path


class Index:
    """Serve wheels as an index does.

    Attributes:
        folder: The directory of the index: one of each package, with its wheels.
        asked: The paths that were asked for.
        port: The port.
        private: Whether it wants user and password.
    """

    def __init__(self, folder: Path) -> None:
        """Serve a directory; packages may be added later."""
        self.folder = folder
        self.asked: list[str] = []
        self.private = False
        folder.mkdir(parents=True, exist_ok=True)
        index = self
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(folder))

            def do_GET(self) -> None:
                index.asked.append(self.path)
                if index.private and self.headers.get("Authorization") != f"Basic {login}":
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                super().do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Return the address, with user and password when it is private."""
        return f"http://{f'{USER}:{PASSWORD}@' if self.private else ''}127.0.0.1:{self.port}"

    def add(self, name: str, version: str, **more: Any) -> Path:
        """Add a package."""
        path = wheel(self.folder / name, name, version, **more)
        links = (
            f'<a href="{each.name}#sha256={hashlib.sha256(each.read_bytes()).hexdigest()}">'
            f"{each.name}</a>"
            for each in sorted(path.parent.glob("*.whl"))
        )
        (path.parent / "index.html").write_text("\n".join(links))
        return path

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def only_index(url: str) -> Iterator[pytest.MonkeyPatch]:
    """Let this process, and what it starts, know one index and no other."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(_STRAY)]:
            if name not in ("UV_CACHE_DIR",):
                patch.delenv(name)
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("UV_NO_CONFIG", "1")
        patch.setenv("UV_DEFAULT_INDEX", url)
        patch.setenv("UV_HTTP_RETRIES", "0")  # what cannot be reached is told at once
        settings.load.cache_clear()
        yield patch
    settings.load.cache_clear()
