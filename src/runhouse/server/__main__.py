"""Start, ask or stop the server of this host: `python -m runhouse.server start|status|stop`.

Prints one line of JSON. Exit codes: 0 done, 1 not running, 3 did not start, 4 in use.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from runhouse.errors import ServerBusyError, ServerStartError
from runhouse.server.control import (
    ExitCode,
    running_server,
    server_status,
    start_server,
    stop_server,
)
from runhouse.server.info import ServerConfig
from runhouse.server.paths import ServerPaths


def _say(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")


def _start(config: ServerConfig, *, replace: bool) -> int:
    try:
        info = start_server(config, replace=replace)
    except ServerBusyError as error:
        _say({"error": str(error), "calls": error.calls, "objects": error.objects})
        return ExitCode.IN_USE
    except ServerStartError as error:
        _say({"error": str(error), "log_tail": error.log_tail})
        return ExitCode.NOT_STARTED
    token = ServerPaths(Path(config.root)).token.read_text(encoding="ascii").strip()
    _say({"server": asdict(info), "token": token})
    return 0


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="runhouse.server", description=__doc__)
    parser.add_argument("action", choices=("start", "status", "stop"))
    parser.add_argument("config", type=json.loads, help="a ServerConfig as JSON")
    parser.add_argument("--replace", action="store_true", help="stop a running server first")
    options = parser.parse_args()
    config = ServerConfig(**options.config)
    if options.action == "start":
        return _start(config, replace=options.replace)
    paths = ServerPaths(Path(config.root))
    if options.action == "stop":
        stopped = stop_server(paths)
        _say({"stopped": stopped})
        return 0
    info = running_server(paths)
    if info is None:
        _say({"running": False})
        return ExitCode.NOT_RUNNING
    _say({"running": True, **server_status(paths, info)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
