"""Objects on a cluster: the base of all proxies, which is also a base for classes of users."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from runhouse.client.endpoint import Target
from runhouse.client.reference import Reference
from runhouse.clusters.calls import new_key
from runhouse.clusters.here import find_cluster
from runhouse.errors import ObjectNotFoundError
from runhouse.proxies.attributes import LocalClass, RemoteAttributes
from runhouse.proxies.callee import NO_OPTIONS
from runhouse.proxies.fact import Fact
from runhouse.proxies.members import HELD, Held, held_by, members
from runhouse.proxies.passing import Passing
from runhouse.proxies.placement import place
from runhouse.proxies.stored import Stored, class_there
from runhouse.registry.names import check_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runhouse.clusters.cluster import Cluster
    from runhouse.clusters.env_use import EnvLike

Self = TypeVar("Self", bound="Module")


class Module:
    """Be an object that can be sent to a cluster, or the proxy of one that is there.

    Derive a class from it, and its objects have `.to(cluster)`, which sends their state. Proxies
    made by `runhouse.module(cls).to(cluster)(...)` are modules too, whatever their class
    derives from.

    A proxy has the methods, properties and operators of its class; they run where the object is.
    Names that begin with an underscore are reached by `.remote`. Where the class has a name of its
    own that is also one of these here, its own counts; `runhouse.Module.fetch(obj)` is still ours.

    Example:
        >>> import runhouse as rh
        >>> class Counter(rh.Module):
        ...     def __init__(self, total=0):
        ...         self.total = total
        ...     def add(self, amount=1):
        ...         self.total += amount
        ...         return self.total
        >>> counter = Counter(total=40).to(rh.here, name="counter")
        >>> counter.add(2), counter.total, counter.local.total
        (42, 42, 40)
        >>> counter.delete()
    """

    # Typed as Any so that classes of users may have attributes of these names.

    @Fact
    def key(self) -> Any:
        """Return the key under which the cluster keeps the object; None while it is on none."""
        held = held_by(self)
        return held.stored.key if held is not None else None

    @Fact
    def name(self) -> Any:
        """Return the key under which the cluster keeps the object; None while it is on none."""
        held = held_by(self)
        return held.stored.key if held is not None else None

    @Fact
    def remote(self) -> Any:
        """Return what reads and sets the object's attributes, private ones too: `obj.remote.x`.

        Raises:
            AttributeError: The object is on no cluster.
        """
        held = held_by(self)
        if held is None:
            msg = (
                f"The {type(self).__name__!r} has no remote attributes. It is on no cluster. Send "
                "it with .to(cluster) first."
            )
            raise AttributeError(msg)
        return RemoteAttributes(self, held)

    @Fact
    def local(self) -> Any:
        """Return the object here that was sent, or else the attributes that its class has here."""
        held = held_by(self)
        if held is None:
            return self
        return held.local if held.local is not None else LocalClass(held.cls)

    def to(
        self: Self, cluster: Cluster | str, env: EnvLike = None, name: str | None = None
    ) -> Self:
        """Send the object's state to a cluster.

        The project that its class belongs to is synced first. A proxy's object is copied from its
        cluster to the other one; when it is there already, nothing happens.

        Args:
            cluster: The cluster, or the name of a saved one.
            env: The env in which it lives, or its name; None for the cluster's own.
            name: Its key there. None: a proxy's own key when it goes to another cluster, else a new
                one. An object without a name of its own ends with its proxy.

        Returns:
            A proxy of the object there. What is changed there does not change this object.

        Raises:
            InvalidNameError: The name cannot be used as a key.
            NotSerializableError: The object cannot be pickled.
            PythonMismatchError: Its class must go by value, and the host has another Python.
            StoreFullError: The limit of the env is reached.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> class Box(rh.Module):
            ...     size = 3
            >>> box = Box().to(rh.here)
            >>> box.size
            3
        """
        held, to = held_by(self), find_cluster(cluster)
        if held is None:
            return cast("Self", _send(self, type(self), to, env, name, local=self))
        stored = held.stored
        if to == stored.cluster and env is None and name in (None, stored.key):
            return self
        if name is None and to != stored.cluster and not stored.ends_with_proxy:
            name = stored.key
        value = stored.get()
        return cast("Self", _send(value, held.cls, to, env, name, held.own_names, local=held.local))

    def get_or_to(
        self: Self, cluster: Cluster | str, env: EnvLike = None, name: str | None = None
    ) -> Self:
        """Return a proxy of the object of this name that is on a cluster, or send this one.

        Args:
            cluster: The cluster, or the name of a saved one.
            env: The env that this one is sent to, or its name; None for the cluster's own.
            name: The key to look for; None for a proxy's own one.

        Raises:
            TypeError: There is no name to look for, or what is there is of another class.
            InvalidNameError: The name cannot be used as a key.

        Example:
            >>> import runhouse as rh
            >>> class Box(rh.Module):
            ...     size = 3
            >>> first = Box().get_or_to(rh.here, name="box")
            >>> Box().get_or_to(rh.here, name="box").key == first.key
            True
            >>> first.delete()
        """
        held, to = held_by(self), find_cluster(cluster)
        name = held.stored.key if name is None and held is not None else name
        if name is None:
            msg = (
                f"The {type(self).__name__!r} was not looked for. It has no name. Give one, for "
                "example name='a'."
            )
            raise TypeError(msg)
        cls = held.cls if held is not None else type(self)
        names = held.own_names if held is not None else _own_names(self)
        try:
            stored = Stored.find(to, check_key(name))
        except ObjectNotFoundError:
            return Module.to(self, to, env, name)
        found = class_there(stored, cls)
        if found is None:
            msg = (
                f"The {cls.__name__!r} was not sent. Under the key {name!r} there is an object of "
                f"another class on {to.name}. Give another name, or delete that one."
            )
            raise TypeError(msg)
        return cast("Self", proxy(found, stored, names))

    def fetch(self, name: str | None = None) -> Any:
        """Return a copy of an attribute of the object, or of the whole object.

        Args:
            name: The attribute, also a private one; None for the object.

        Raises:
            TypeError: The object is on no cluster.
            AttributeError: It has no such attribute.
            NotSerializableError: It cannot be pickled.
            WorkerDiedError: Its worker has ended.

        Example:
            >>> import fractions
            >>> import runhouse as rh
            >>> half = rh.module(fractions.Fraction).to(rh.here)(1, 2)
            >>> rh.Module.fetch(half, "denominator"), rh.Module.fetch(half)
            (2, Fraction(1, 2))
        """
        stored = _stored(self, "fetch")
        return stored.get() if name is None else stored.read(name)

    async def fetch_async(self, name: str | None = None) -> Any:
        """Do what `fetch` does without blocking the event loop.

        Args:
            name: See `fetch`.

        Returns:
            What `fetch` returns.

        Raises:
            Exception: See `fetch`.

        Example:
            >>> import runhouse as rh
            >>> import asyncio
            >>> class Counter(rh.Module):
            ...     total = 0
            >>> counter = Counter().to(rh.here, name="counter")
            >>> asyncio.run(counter.fetch_async("total"))
            0
            >>> counter.delete()
        """
        return await _stored(self, "fetch_async").read_async(name)

    async def set_async(self, name: str, value: object) -> None:
        """Set an attribute of the object without blocking the event loop.

        Args:
            name: The attribute, also a private one.
            value: Its value.

        Raises:
            TypeError: The object is on no cluster.
            AttributeError: It cannot be set.

        Example:
            >>> import runhouse as rh
            >>> import asyncio
            >>> class Counter(rh.Module):
            ...     total = 0
            >>> counter = Counter().to(rh.here, name="counter")
            >>> asyncio.run(counter.set_async("total", 5))
            >>> counter.total
            5
            >>> counter.delete()
        """
        await _stored(self, "set_async").write_async(name, value)

    def rename(self: Self, name: str) -> Self:
        """Give the object another key; it stays where it is, and this proxy follows.

        Args:
            name: The key that it gets.

        Returns:
            This proxy.

        Raises:
            TypeError: The object is on no cluster.
            InvalidNameError: The name cannot be used as a key.
            ObjectNotFoundError: There is no object under the old key any more.

        Example:
            >>> import runhouse as rh
            >>> class Counter(rh.Module):
            ...     total = 0
            >>> counter = Counter().to(rh.here, name="counter")
            >>> counter.rename("best").key
            'best'
            >>> counter.delete()
        """
        _stored(self, "rename").rename(name)
        return self

    def refresh(self: Self) -> Self:
        """Look for the object's key on the cluster again: its worker may be another one now.

        Returns:
            This proxy.

        Raises:
            TypeError: The object is on no cluster.
            ObjectNotFoundError: There is nothing under the key any more.

        Example:
            >>> import runhouse as rh
            >>> class Counter(rh.Module):
            ...     total = 0
            >>> counter = Counter().to(rh.here, name="counter")
            >>> counter.refresh().key
            'counter'
            >>> counter.delete()
        """
        _stored(self, "refresh").refresh()
        return self

    def resolve(self) -> Reference:
        """Return a reference, which arrives as the object itself when it is passed to a call.

        Raises:
            TypeError: The object is on no cluster.

        Example:
            >>> import fractions
            >>> import runhouse as rh
            >>> half = rh.module(fractions.Fraction).to(rh.here)(1, 2)
            >>> rh.function(repr).to(rh.here)(rh.Module.resolve(half))
            'Fraction(1, 2)'
        """
        stored = _stored(self, "resolve")
        stored.keep()
        return Reference(stored.cluster, stored.key)

    def delete(self) -> None:
        """Have the cluster let go of the object; safe to repeat.

        Raises:
            TypeError: The object is on no cluster.

        Example:
            >>> import runhouse as rh
            >>> class Counter(rh.Module):
            ...     total = 0
            >>> counter = Counter().to(rh.here, name="counter")
            >>> counter.delete()
            >>> "counter" in rh.here.keys()
            False
        """
        _stored(self, "delete").delete()


_OURS = frozenset(name for name in vars(Module) if not name.startswith("_"))


@functools.lru_cache(maxsize=1024)
def proxy_type(cls: type, hidden: frozenset[str]) -> type[Module]:
    """Return the type of the proxies of a class.

    Args:
        cls: The class.
        hidden: Names of `Module` that attributes of the object hide.
    """
    own = members(cls, Module, hidden)
    return type(cls.__name__, (Passing, Module), {**own, "__reduce_ex__": _reduce})


def proxy(cls: type, stored: Stored, own_names: Iterable[str] = (), *, local: object = None) -> Any:
    """Make a proxy of an object that is on a cluster.

    Args:
        cls: The object's class.
        stored: Where it is.
        own_names: Public attributes that it has beside those of its class.
        local: The object here from which it was made.
    """
    names = frozenset(own_names)
    made = object.__new__(proxy_type(cls, names & _OURS))
    object.__setattr__(made, HELD, Held(stored, cls, names, local))
    return made


def _reduce(self: Module, _protocol: object) -> tuple[Any, ...]:
    """Pickle as a proxy; the object stays from now on, since others know of it."""
    held: Held = object.__getattribute__(self, HELD)
    stored = held.stored
    stored.keep()
    server_id = stored.server_id
    if stored.cluster.kind == "local" and not server_id:
        server_id = stored.cluster.client.endpoint.server_id
    where = (stored.cluster, stored.worker_id, stored.key, server_id)
    return _rebuild, (held.cls, where, held.own_names)


def _rebuild(cls: type, where: tuple[Any, ...], own_names: frozenset[str]) -> Any:
    return proxy(cls, Stored(*where), own_names)


def _send(
    value: object,
    cls: type,
    cluster: Cluster,
    env: EnvLike,
    name: str | None,
    own_names: Iterable[str] | None = None,
    *,
    local: object,
) -> Any:
    """Put an object into a worker that has the code of its class; return its proxy."""
    key = new_key(NO_OPTIONS, cls.__name__) if name is None else check_key(name)
    placement = place(cls, cluster, env, cls.__name__)
    worker_id = placement.calls.worker_id(placement.target)
    placement.calls.put_into(Target(worker_id=worker_id), key, value)
    stored = Stored(cluster, worker_id, key)
    made = proxy(cls, stored, _own_names(value) if own_names is None else own_names, local=local)
    if name is None:
        stored.end_with(made)
    return made


def _own_names(value: object) -> list[str]:
    return [name for name in getattr(value, "__dict__", ()) if not name.startswith("_")]


def _stored(module: object, what: str) -> Stored:
    """Return where a proxy's object is.

    Raises:
        TypeError: It is no proxy.
    """
    held = held_by(module)
    if held is None:
        msg = (
            f"{type(module).__name__}.{what}() needs a cluster. The object is on none. Send it "
            "with .to(cluster) first, for example .to(runhouse.here)."
        )
        raise TypeError(msg)
    return held.stored
