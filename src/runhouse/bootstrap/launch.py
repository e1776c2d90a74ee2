"""Run the server's command line from the runtime that this file lies in.

Usage: `python launch.py start|status|stop CONFIG [--replace]`. Needs the standard library only.
"""

import os
import runpy
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    """Put the runtime first in the import path and run `runhouse.server`."""
    # The process is ours alone: what the user has installed must not come in its way.
    sys.path[0:1] = [os.path.join(_HERE, "worker"), os.path.join(_HERE, "server")]
    runpy.run_module("runhouse.server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
