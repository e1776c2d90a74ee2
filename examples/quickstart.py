"""A function, a stateful class and a generator of yours, in another process or on another machine.

Run it here, or on a host that you can SSH to:

    python examples/quickstart.py
    python examples/quickstart.py user@box
"""

import os
import platform
import sys
import time
from collections.abc import Iterator

import runhouse as rh


def where(greeting: str) -> str:
    """Say where this runs."""
    print(f"{greeting} from process {os.getpid()}")
    return f"Python {platform.python_version()} on {platform.node()}"


class Counter:
    """Keep a total."""

    def __init__(self, start: int) -> None:
        """Start from a number."""
        self.total = start

    def add(self, amount: int) -> int:
        """Add to the total and return it."""
        self.total += amount
        return self.total


def countdown(start: int) -> Iterator[int]:
    """Count down, slowly."""
    for number in range(start, 0, -1):
        time.sleep(0.1)
        yield number


def main() -> None:
    """Send all three to a cluster and use them."""
    cluster = rh.cluster("quickstart", host=sys.argv[1]) if len(sys.argv) > 1 else rh.here
    print(f"This is process {os.getpid()}; the cluster is {cluster.name} ({cluster.address}).")

    remote_where = rh.function(where).to(cluster)
    print("function: ", remote_where("Hello"))

    counter = rh.module(Counter).to(cluster)(start=40)
    counter.add(1)
    print("class:    ", counter.add(1))

    print("generator:", *rh.function(countdown).to(cluster)(3))


if __name__ == "__main__":
    main()
