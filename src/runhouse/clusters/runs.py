"""The runs of a cluster, the limits of its workers, and the tokens for its HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runhouse.client.run import Run, read_info
from runhouse.clusters import arguments
from runhouse.clusters.objects import Objects
from runhouse.clusters.tokens import Tokens
from runhouse.wire.messages import Limits

if TYPE_CHECKING:
    from runhouse.clusters.env_use import EnvLike


class Runs(Objects):
    """Look after what runs on a cluster."""

    def set_limits(
        self,
        env: EnvLike = None,
        *,
        concurrency: int | None = None,
        queue: int | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        """Bound what an env's workers take, from now on until the server ends.

        Args:
            env: The env; None for the cluster's own.
            concurrency: How many calls run at once; more wait in the order in which they came.
                None: any number.
            queue: How many calls may wait; one more raises `QueueFullError`. None: any number.
            memory_bytes: The memory of a worker, in bytes, above which it takes no further objects
                but raises `StoreFullError`. None: no limit.

        Raises:
            TypeError: A limit is no whole number.
            ValueError: A limit is too small.

        Example:
            >>> import runhouse as rh
            >>> rh.here.set_limits(concurrency=4, queue=100)
            >>> rh.here.set_limits()
        """
        given = {"concurrency": concurrency, "memory_bytes": memory_bytes}
        for what, value in given.items():
            if value is not None:
                arguments.number(what, value, least=1)
        if queue is not None:
            arguments.number("queue", queue, least=0)
        limits = Limits(concurrency, queue, memory_bytes)
        self.client.request("PUT", f"/limits/{self.env_name(env)}", limits.to_meta())

    def runs(self) -> list[Run]:
        """Return the runs that were recorded and all calls that are going on, the newest first.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> run = rh.function("math:factorial").to(rh.here).run(5)
            >>> run.id in [each.id for each in rh.here.runs()]
            True
        """
        return [Run(self, read_info(info)) for info in self.client.request("GET", "/runs")["runs"]]

    def cancel(self, key: str, force: bool = False) -> None:
        """Stop a run; see `Run.cancel`.

        Args:
            key: The name or id of the run.
            force: End its worker process too.

        Raises:
            RunNotFoundError: There is none.

        Example:
            >>> import runhouse as rh
            >>> run = rh.function("time:sleep").to(rh.here).run(60)
            >>> rh.here.cancel(run.key)
            >>> run.status
            'cancelled'
        """
        self.get_run(key).cancel(force)

    def cancel_all(self, force: bool = False) -> None:
        """Stop all runs and calls that are going on; see `cancel`.

        Args:
            force: End their worker processes too.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> run = rh.function("time:sleep").to(rh.here).run(60)
            >>> rh.here.cancel_all()
            >>> run.status
            'cancelled'
        """
        self.client.request("POST", "/runs/cancel", {"force": bool(force)})

    @property
    def tokens(self) -> Tokens:
        """Return the tokens with which others may use the HTTP API.

        Example:
            >>> import runhouse as rh
            >>> token = rh.here.tokens.create("web")
            >>> rh.here.tokens.revoke("web")
            True
        """
        return Tokens(self)
