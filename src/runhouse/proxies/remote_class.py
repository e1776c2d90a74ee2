"""Classes on a cluster, whose objects are made there."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from runhouse.client.endpoint import Target
from runhouse.clusters.calls import NO_ARGUMENTS, CallOptions, new_key
from runhouse.proxies.callee import NO_OPTIONS
from runhouse.proxies.method import Method, Shape, is_method
from runhouse.proxies.module import proxy
from runhouse.proxies.placement import Placement, check_fit, place, signature_of, take_options
from runhouse.proxies.stored import Stored, class_there
from runhouse.registry.names import check_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.clusters.cluster import Cluster
    from runhouse.clusters.env_use import EnvLike

P = ParamSpec("P")
T = TypeVar("T")


class RemoteClass(Generic[P, T]):
    """Be a class whose objects live on a cluster; made by `runhouse.module`.

    Calling it makes an object there and returns its proxy, a `runhouse.Module`. Its class methods,
    static methods and class attributes are those of the class there. Without a cluster it is the
    class here.

    Example:
        >>> import fractions
        >>> import runhouse as rh
        >>> Fraction = rh.module(fractions.Fraction).to(rh.here)
        >>> half = Fraction(numerator=1, denominator=2)
        >>> half.numerator, half.limit_denominator(1)
        (1, Fraction(0, 1))
    """

    def __init__(
        self, cls: Callable[P, T], name: str | None = None, placement: Placement | None = None
    ) -> None:
        """Store the class; use `runhouse.module` instead."""
        self._cls = cast("type", cls)
        self._placement = placement
        self._signature = signature_of(cls)
        functools.update_wrapper(self, cls, updated=())
        self.name: str = name or self._cls.__name__

    def __repr__(self) -> str:
        """Return the class's name and where its objects live."""
        where = self._placement.cluster.name if self._placement is not None else "not on a cluster"
        return f"<runhouse.module {self.name!r} ({where})>"

    def to(self, cluster: Cluster | str, env: EnvLike = None) -> RemoteClass[P, T]:
        """Send the class to a cluster; see `Function.to`.

        Args:
            cluster: The cluster, or the name of a saved one.
            env: The env in which its objects live, or its name; None for the cluster's own.

        Returns:
            The class on the cluster; this one is unchanged. Objects made before keep their code.

        Raises:
            Exception: See `Function.to`.

        Example:
            >>> import fractions
            >>> import runhouse as rh
            >>> rh.module(fractions.Fraction).to(rh.here)
            <runhouse.module 'Fraction' (local)>
        """
        return RemoteClass(self._cls, self.name, place(self._cls, cluster, env, self.name))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Make an object where the class is.

        Takes the constructor's arguments; `name=`, unless the constructor has such a parameter, is
        the key under which the object is kept there. One without a name is let go of there when its
        proxy is gone here, unless the proxy was sent somewhere or a run of a method was started.

        Args:
            *args: The constructor's positional arguments.
            **kwargs: Its keyword arguments, and `name`.

        Returns:
            A proxy of the object; typed as the class, so that editors know its methods.

        Raises:
            TypeError: The arguments do not fit the constructor; nothing was sent.
            InvalidNameError: The name cannot be used as a key.
            StoreFullError: The limit of the env is reached.
            CallError: The call could not be made, or was lost.
            Exception: What the constructor itself raises.
        """
        if self._placement is None:
            return cast("T", self._cls(*args, **kwargs))
        given, options = take_options(self._signature, cast("dict[str, Any]", kwargs))
        own = self._signature.parameters if self._signature is not None else {}
        name = given.pop("name", None) if "name" not in own else None
        check_fit(self.name, self._signature, args, given)
        key = new_key(NO_OPTIONS, self.name) if name is None else check_key(name)
        calls = self._placement.calls
        stored = Stored(self._placement.cluster, calls.worker_id(self._placement.target), key)
        there = replace(self._placement, target=Target(worker_id=stored.worker_id))
        names = there.call("new", (args, given), options, new_key=key)
        made = proxy(self._cls, stored, names)
        if name is None:
            stored.end_with(made)
        return cast("T", made)

    def __getattr__(self, name: str) -> Any:
        """Return a class method, a static method or an attribute of the class on the cluster.

        Raises:
            AttributeError: The class has none of this name, or the name is private.
        """
        if name.startswith("_"):
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)
        if self._placement is None:
            return getattr(self._cls, name)
        if is_method(self._cls, name):
            return Maker(Shape(self._cls, name, bound=False), self._placement, self)
        return self._placement.call("read", NO_ARGUMENTS, NO_OPTIONS, method=name)

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute of the class, on the cluster; a private one is the proxy's own.

        Raises:
            AttributeError: It cannot be set.
        """
        if name.startswith("_") or name in _OWN_NAMES:
            object.__setattr__(self, name, value)
        elif self._placement is None:
            setattr(self._cls, name, value)
        else:
            self._placement.call("write", ((value,), {}), NO_OPTIONS, method=name)


_OWN_NAMES = frozenset(("name", "to"))


class Maker(Method):
    """Be a function of a class on a cluster: its `remote` waits for the object that it makes.

    The result stays there, under `run_name=` if that is given. `remote` returns a proxy when it is
    an object of the class or of a subclass, and else a `Reference`.
    """

    def _remote(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions) -> Any:
        reference = super()._remote(args, kwargs, options)
        run = reference.run
        kept = run.wait() if run is not None else None
        cluster = self._placed("remote").cluster
        stored = Stored.find(cluster, reference.key)
        found = class_there(stored, self._cls)
        if found is None:
            return reference
        made = proxy(found, stored, kept.attributes if kept is not None else ())
        return made


def module(cls: Callable[P, T], name: str | None = None) -> RemoteClass[P, T]:
    """Make a class whose instances can live on a cluster.

    Also available as `runhouse.cls`. Nothing is sent before `.to(cluster)`.

    Args:
        cls: A class.
        name: Its name in messages; None for the class's own.

    Returns:
        The class, with the signature of its constructor.

    Raises:
        TypeError: `cls` is not a class.

    Example:
        >>> import fractions
        >>> import runhouse as rh
        >>> Fraction = rh.module(fractions.Fraction).to(rh.here)
        >>> Fraction(3, 4).limit_denominator(2)
        Fraction(1, 1)
    """
    if not isinstance(cls, type):
        hint = "Use runhouse.function for functions." if callable(cls) else "Pass a class."
        msg = f"{cls!r} is not a class. It is of type {type(cls).__name__}. {hint}"
        raise TypeError(msg)
    if name is not None and not isinstance(name, str):
        msg = f"The name must be a text, not {type(name).__name__}. Pass a text or leave it out."
        raise TypeError(msg)
    return RemoteClass(cls, name)
