"""Runhouse 0.0.42: Ray and its HTTP server, started as `runhouse server start` does.

That command itself is not used: it ends every Ray on the machine, and listens on all interfaces.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import work
from figures import Peer, all_callers, free_port, main, wait_until

import runhouse as rh

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOWHERE = "http://127.0.0.1:9"


def start_ray(home: str) -> None:
    """Start Ray; the server lists its actors through the dashboard."""
    port = free_port()
    ray = Path(sys.executable).with_name("ray")
    command = [str(ray), "start", "--head", "--disable-usage-stats", f"--port={port}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={free_port()}"]
    command += ["--node-ip-address=127.0.0.1", f"--ray-client-server-port={free_port()}"]
    subprocess.run([*command, f"--temp-dir={home}/ray"], check=True)
    os.environ["RAY_ADDRESS"] = f"127.0.0.1:{port}"


@contextlib.contextmanager
def start() -> Iterator[Peer]:
    """Start Ray, the server, and a process for each function."""
    start_ray(os.environ["HOME"])
    port = free_port()
    command = [sys.executable, "-m", "runhouse.servers.http.http_server", "--host=127.0.0.1"]
    command += [f"--port={port}", f"--api-server-url={_NOWHERE}"]
    with subprocess.Popen(command) as server:
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/check"), 100)
            box = rh.cluster(
                name="box",
                host="127.0.0.1",
                server_host="127.0.0.1",
                server_port=port,
                server_connection_type="none",
            )
            yield on(box)
        finally:
            server.kill()


def answers(url: str) -> bool:
    """Tell whether a server answers."""
    try:
        urlopen(url, timeout=5).close()  # noqa: S310 - our own server
    except (URLError, OSError):
        return False
    return True


class _Sent:
    """Send a function when it is first called: only one is needed for the first result."""

    def __init__(self, box: rh.Cluster, function: object) -> None:
        self._make = partial(rh.function(function).to, box, sync_local=False)
        self._remote = None

    def __call__(self, *args: object, **options: object) -> object:
        self._remote = self._remote or self._make()
        return self._remote(*args, **options)


def on(box: rh.Cluster) -> Peer:
    """Say how a cluster does what is measured."""
    identity = _Sent(box, work.identity)
    return Peer(
        call=identity,
        many=partial(all_callers, identity),
        take=_Sent(box, work.size_of),
        make=_Sent(box, work.make_array),
        items=_Sent(box, work.numbers),
        quiet_call=partial(identity, stream_logs=False),
    )


if __name__ == "__main__":
    config = Path(os.environ["HOME"], ".rh", "config.yaml")
    config.parent.mkdir(exist_ok=True)
    config.write_text(f"disable_observability: true\napi_server_url: {_NOWHERE}\n")
    main(start)
