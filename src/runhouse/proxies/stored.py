"""Where an object is: the worker that holds it, its key, and the ways to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runhouse.client.endpoint import Target
from runhouse.clusters.arguments import member
from runhouse.clusters.calls import NO_ARGUMENTS, CallOptions
from runhouse.errors import ConnectError, NotLoadableError, PythonMismatchError
from runhouse.lazy import LazyModule
from runhouse.proxies.release import Unneeded, unneeded
from runhouse.registry.names import check_key
from runhouse.worker import inside

if TYPE_CHECKING:
    import asyncio
    import weakref

    from runhouse.clusters.calls import Arguments, Calls
    from runhouse.clusters.cluster import Cluster
    from runhouse.wire.messages import Operation, RunInfo
else:
    asyncio = LazyModule("asyncio")

ABSENT = object()
NO_OPTIONS = CallOptions()


@dataclass(slots=True)
class Stored:
    """Be the place of an object that a worker holds.

    Attributes:
        cluster: The cluster.
        worker_id: The worker.
        key: The object's key.
        server_id: The server, when that is one of a machine without a name of its own.
    """

    cluster: Cluster
    worker_id: str
    key: str
    server_id: str = ""
    _finalizer: weakref.finalize[[str], object] | None = None
    _unneeded: Unneeded | None = None

    @classmethod
    def find(cls, cluster: Cluster, key: str) -> Stored:
        """Ask a cluster for the holder of an object.

        Raises:
            ObjectNotFoundError: There is no object of this key.
            ConnectError: The host cannot be reached.
        """
        cluster.calls.client.forget_home(key)
        return cls(cluster, cluster.calls.worker_id(Target(key=key)), key)

    @property
    def _target(self) -> Target:
        return Target(worker_id=self.worker_id)

    @property
    def _calls(self) -> Calls:
        """Return the way to the worker.

        Raises:
            ConnectError: It is on another machine, which cannot be reached from here.
        """
        own = inside.own()
        if self.server_id and own is not None and own.server_id != self.server_id:
            msg = (
                f"The object {self.key!r} cannot be reached from here. It is on the cluster "
                f"{self.cluster.name!r}, which is a machine that only its own processes reach. Put "
                "it on a cluster with an address, or pass its value with .fetch()."
            )
            raise ConnectError(msg, host=self.cluster.name)
        return self.cluster.calls

    def here(self) -> Any:
        """Return the very object when this code runs in the worker that holds it, else `ABSENT`.

        Raises:
            ObjectNotFoundError: This is that worker, but it holds nothing under the key.
        """
        own = inside.own()
        if own is None or own.worker_id != self.worker_id:
            return ABSENT
        return own.objects.get(self.key)

    def call(self, op: Operation, arguments: Arguments, options: CallOptions, **fields: Any) -> Any:
        """Make a call of the object and wait for its end; see `Calls.call`."""
        self.cluster.check_there()
        calls = self._calls
        if self._unneeded is not None:
            fields["release"] = self._unneeded.take()
        return calls.call(self._target, op, self.key, arguments, options, **fields)

    async def call_async(
        self, op: Operation, arguments: Arguments, options: CallOptions, **fields: Any
    ) -> Any:
        """Make a call without blocking the event loop."""
        if self.cluster.may_launch:
            await asyncio.to_thread(self.cluster.check_there)
        calls = self._calls
        if self._unneeded is not None:
            fields["release"] = self._unneeded.take()
        return await calls.call_async(self._target, op, self.key, arguments, options, **fields)

    def start(
        self, op: Operation, arguments: Arguments, options: CallOptions, **fields: Any
    ) -> RunInfo:
        """Start a recorded run; the object stays from now on, since the run may come later."""
        self.cluster.check_there()
        self.keep()
        return self._calls.start(self._target, op, self.key, arguments, options, **fields)

    # -- attributes -----------------------------------------------------------------------------

    def read(self, name: str) -> Any:
        """Return a copy of an attribute; in the object's own worker, the attribute itself."""
        found = self.here()
        if found is not ABSENT:
            return getattr(found, name)
        return self.call("read", NO_ARGUMENTS, NO_OPTIONS, method=member("name", name))

    def write(self, name: str, value: object) -> None:
        """Set an attribute."""
        found = self.here()
        if found is not ABSENT:
            setattr(found, name, value)
        else:
            self.call("write", ((value,), {}), NO_OPTIONS, method=member("name", name))

    def remove(self, name: str) -> None:
        """Delete an attribute."""
        found = self.here()
        if found is not ABSENT:
            delattr(found, name)
        else:
            self.call("method", ((name,), {}), NO_OPTIONS, method="__delattr__")

    def get(self) -> Any:
        """Return a copy of the object; in its own worker, the object itself."""
        found = self.here()
        return self.call("get", NO_ARGUMENTS, NO_OPTIONS) if found is ABSENT else found

    async def read_async(self, name: str | None) -> Any:
        """Read an attribute, or the object when there is no name, without blocking."""
        if self.here() is not ABSENT:
            return self.get() if name is None else self.read(name)
        if name is None:
            return await self.call_async("get", NO_ARGUMENTS, NO_OPTIONS)
        name = member("name", name)
        return await self.call_async("read", NO_ARGUMENTS, NO_OPTIONS, method=name)

    async def write_async(self, name: str, value: object) -> None:
        """Set an attribute without blocking the event loop."""
        if self.here() is not ABSENT:
            self.write(name, value)
        else:
            name = member("name", name)
            await self.call_async("write", ((value,), {}), NO_OPTIONS, method=name)

    # -- the key --------------------------------------------------------------------------------

    def rename(self, key: str) -> None:
        """Give the object another key; from now on it stays until it is deleted."""
        check_key(key)
        self.keep()
        self.cluster.rename(self.key, key)
        self.key = key

    def refresh(self) -> None:
        """Look for the object's holder again."""
        self.worker_id = Stored.find(self.cluster, self.key).worker_id

    def delete(self) -> None:
        """Have the worker let go of the object."""
        self.keep()
        self.cluster.delete(self.key)

    # -- the end --------------------------------------------------------------------------------

    def end_with(self, proxy: object) -> None:
        """Let the worker let go of the object when its proxy here is gone."""
        self._unneeded = unneeded(self.cluster.calls, self.worker_id)
        self._finalizer = self._unneeded.hold(proxy, self.key)

    @property
    def ends_with_proxy(self) -> bool:
        """Tell whether the worker lets go of the object when its proxy here is gone."""
        return self._finalizer is not None

    def keep(self) -> None:
        """Let the object stay when its proxy here is gone: others know of it."""
        if self._finalizer is not None and self._unneeded is not None:
            self._finalizer.detach()
            self._unneeded.keep(self.key)
            self._finalizer = None


def class_there(stored: Stored, cls: type) -> type | None:
    """Return the class of an object on a cluster if it is a class or a subclass of it.

    Raises:
        CallError: The object cannot be reached.
    """
    try:
        found = stored.read("__class__")
    except (NotLoadableError, PythonMismatchError):  # it is not known here
        return None
    names = [(part.__module__, part.__qualname__) for part in found.__mro__]
    return found if (cls.__module__, cls.__qualname__) in names else None
