"""What a user's script is: a project of one file, whose function runs elsewhere.

It is copied into a directory of its own and run there. Its output is the first result.
"""

from __future__ import annotations

import sys

import runhouse as rh


def triple(number: int) -> int:
    """Return three times a number."""
    return 3 * number


if __name__ == "__main__":
    cluster = rh.cluster("box", host=sys.argv[1]) if len(sys.argv) > 1 else rh.here
    print(rh.function(triple).to(cluster)(7), flush=True)
