"""References: handles of values that stay on their cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runhouse.errors import ObjectNotFoundError
from runhouse.lazy import LazyModule
from runhouse.worker import inside

if TYPE_CHECKING:
    import asyncio

    from runhouse.client.run import Home, Run
    from runhouse.wire.messages import RunStatus
else:
    asyncio = LazyModule("asyncio")

_ABSENT = object()


class Reference:
    """Be the handle of a value that stays where it was made.

    Made by `f.remote(...)`, `cluster.get(key, remote=True)` and `obj.resolve()`. Passed to a call
    on its cluster, also inside of lists and dictionaries, it arrives as the value itself, which
    does not pass through here; a call in the same worker gets the very object.

    Example:
        >>> import math
        >>> import runhouse as rh
        >>> root = rh.function(math.sqrt).to(rh.here)
        >>> two = root.remote(16.0).fetch()
        >>> root(root.remote(16.0))
        2.0
    """

    def __init__(self, home: Home, key: str, run: Run | None = None) -> None:
        """Store where the value is, and the run that makes it."""
        self._home = home
        self._run = run
        self.key = key

    def __repr__(self) -> str:
        """Return the key and the cluster."""
        return f"<runhouse.Reference {self.key!r} on {self._home.name}>"

    @property
    def run(self) -> Run | None:
        """Return the run that makes the value; None when that is not known."""
        return self._run

    @property
    def status(self) -> RunStatus:
        """Return the state of the run that makes the value; see `Run.status`."""
        return self._run.status if self._run is not None else "done"

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the value is there.

        Args:
            timeout: How many seconds to wait at most; None for as long as it takes.

        Raises:
            TimeoutError: It is not there in time; the run goes on.
            Exception: What the run raised instead of making the value.

        Example:
            >>> import runhouse as rh
            >>> made = rh.function("math:factorial").to(rh.here).remote(5)
            >>> made.wait(timeout=60)
            >>> made.status
            'done'
        """
        if self._run is not None:
            self._run.wait(timeout)

    def fetch(self, timeout: float | None = None) -> Any:
        """Wait for the value and return a copy of it here.

        Args:
            timeout: How many seconds to wait for the run at most; None for as long as it takes.

        Returns:
            The value.

        Raises:
            TimeoutError: It is not there in time; the run goes on.
            ObjectNotFoundError: The value was deleted, or lost with its worker.
            Exception: What the run raised instead of making the value.

        Example:
            >>> import runhouse as rh
            >>> made = rh.function("math:factorial").to(rh.here).remote(5)
            >>> made.fetch()
            120
        """
        self.wait(timeout)
        return self._home.get(self.key, KeyError)

    async def fetch_async(self, timeout: float | None = None) -> Any:
        """Do what `fetch` does without blocking the event loop.

        Args:
            timeout: See `fetch`.

        Returns:
            The value.

        Raises:
            Exception: See `fetch`.

        Example:
            >>> import runhouse as rh
            >>> import asyncio
            >>> made = rh.function("math:factorial").to(rh.here).remote(5)
            >>> asyncio.run(made.fetch_async())
            120
        """
        return await asyncio.to_thread(self.fetch, timeout)

    def cancel(self, force: bool = False) -> None:
        """Stop the run that makes the value; see `Run.cancel`.

        Args:
            force: End its worker process too.

        Raises:
            RunNotFoundError: The cluster does not know the run (any more).
            ConnectError: The cluster cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> made = rh.function("time:sleep").to(rh.here).remote(60)
            >>> made.cancel()
            >>> made.status
            'cancelled'
        """
        if self._run is not None:
            self._run.cancel(force)

    def delete(self) -> None:
        """Let the cluster let go of the value.

        Raises:
            ConnectError: The cluster cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> made = rh.function("math:factorial").to(rh.here).remote(5)
            >>> made.wait()
            >>> made.delete()
            >>> rh.here.get(made.key) is None
            True
        """
        self._home.client.request("POST", "/objects/delete", {"keys": [self.key]})

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickle as a reference; it is resolved where it arrives as an argument."""
        return _rebuild, (self._home, self.key, self._run)


def _rebuild(home: Home, key: str, run: Run | None) -> Any:
    """Return the value when this is an argument of a call that has arrived, else a reference."""
    reference = Reference(home, key, run)
    if not inside.is_receiving():
        return reference
    reference.wait()
    own = inside.own()
    value = _ABSENT
    if own is not None and home.client.endpoint.server_id == own.server_id:
        value = own.objects.find(key, _ABSENT)
    if value is not _ABSENT:
        return value
    try:
        return home.get(key, KeyError)
    except KeyError as error:
        msg = (
            f"The argument {key!r} cannot be had. {home.name} holds nothing under this key any "
            "more. Make it again, or pass the value."
        )
        raise ObjectNotFoundError(msg, key=key) from error
