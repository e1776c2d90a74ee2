"""The command that shows clusters in a browser."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import webbrowser
from html import escape
from typing import TYPE_CHECKING, Annotated

import typer

from runhouse import extras, settings
from runhouse.cli.clusters import ClusterArgument  # noqa: TC001 - typer reads the annotations
from runhouse.cli.fleet import Fleet
from runhouse.cli.output import JsonOption, print_json, print_line, told
from runhouse.clusters.local import LOCAL_NAME
from runhouse.errors import SettingsError
from runhouse.files import private_directory, write_private
from runhouse.lazy import LazyModule
from runhouse.server.auth import Tokens

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path
else:
    asyncio = LazyModule("asyncio")

_ADDRESS = "127.0.0.1"
_BACKLOG = 128


def dashboard(
    cluster: ClusterArgument = LOCAL_NAME,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Port here; 0: any free one.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open it in a browser.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Show what runs, and what has run, on a page in your browser.

    The page is for you alone and only while this command runs: Ctrl-C ends it. The other saved
    clusters can be chosen there, too.
    """
    with told(as_json=as_json, name=cluster):
        fleet = Fleet(cluster)
        fleet.reach(cluster)
        token = secrets.token_urlsafe(32)
        with _listen(port) as listener:
            url = f"http://{_ADDRESS}:{listener.getsockname()[1]}/#token={token}"
            home = private_directory(settings.load().home / "dashboard")
            entrance = home / f"{os.getpid()}.html"
            try:
                if as_json:
                    print_json({"name": cluster, "url": url})
                else:
                    print_line(f"The dashboard of {cluster} is at {url}")
                    print_line("Ctrl-C ends it.")
                if browser and not as_json:
                    _open(url, entrance)
                asyncio.run(_serve(fleet, Tokens(token, home / "no-others"), listener))
            finally:
                entrance.unlink(missing_ok=True)


def _listen(port: int) -> socket.socket:
    """Return a socket that listens on this machine only.

    Raises:
        SettingsError: The port is taken.
    """
    try:
        listener = socket.create_server((_ADDRESS, port), backlog=_BACKLOG)
    except OSError as error:
        msg = (
            f"The port {port} cannot be used. {os.strerror(error.errno or 0)}. Choose another one, "
            "or leave out --port for any free one."
        )
        raise SettingsError(msg) from error
    listener.setblocking(False)
    return listener


async def _serve(fleet: Fleet, tokens: Tokens, listener: socket.socket) -> None:
    # Both are loaded with this command only.
    gateway = extras.load("runhouse.cli.gateway", extra="server")
    app = extras.load("runhouse.server.app", extra="server")
    await app.serve(gateway.Gateway(fleet).app(tokens), [listener])


def _open(url: str, entrance: Path) -> None:
    """Open a page in the user's browser, if there is a desktop to show it on.

    Other users see with which arguments a browser is started: it is given a file that only this
    user can read, which leads to the page.
    """
    if not (sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
        return
    page = f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(url)}">\n'
    write_private(entrance, page.encode())
    webbrowser.open(entrance.as_uri())
