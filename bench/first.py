"""What a user's script is: a project of one file, whose function runs elsewhere.

It is copied into a directory of its own and run there. Its output is the first result.
"""

from __future__ import annotations

import sys

import runhouse as rh


def triple(number: int) -> int:
    """Return three times a number."""
    return 3 * number


def chosen(words: list[str]) -> rh.Cluster:
    """Return this machine, a host, or a cluster of cloud machines of a type."""
    if not words:
        return rh.here
    if len(words) == 1:
        return rh.cluster("box", host=words[0])
    return rh.ondemand_cluster(words[0], instance_type=words[1])


if __name__ == "__main__":
    print(rh.function(triple).to(chosen(sys.argv[1:]))(7), flush=True)
