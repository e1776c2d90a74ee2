"""The box's process: moto in threads, and the front on an event loop."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from aiohttp import web

from tests.rigs.sagemakerbox.account import Account
from tests.rigs.sagemakerbox.front import Front

if TYPE_CHECKING:
    from tests.rigs.sagemakerbox.box import Box

_GRACE_S = 1.0


async def serve(box: Box, faults: dict[str, float]) -> None:
    """Answer until SIGTERM; then end all containers.

    Args:
        box: Where files are kept, and at which port to listen.
        faults: What goes wrong from the beginning.
    """
    front = Front(box, await asyncio.to_thread(Account), faults)
    runner = web.AppRunner(front.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", box.port).start()
    await web.UnixSite(runner, str(box.aws_socket)).start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    box.ready_file.touch()
    await stop.wait()
    await asyncio.gather(*(job.stop(_GRACE_S) for job in front.sagemaker.jobs.values()))
    await runner.cleanup()
