"""How proxies reach a cluster's workers: where code goes, and one way in for every call."""

from __future__ import annotations

import getpass
import json
import logging
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from runhouse.client.aio import call_async
from runhouse.client.client import Client
from runhouse.client.endpoint import Target
from runhouse.clusters import arguments
from runhouse.clusters.companions import companions
from runhouse.clusters.env_use import import_places
from runhouse.clusters.projects import project_of_modules
from runhouse.errors import ObjectNotFoundError, PythonMismatchError
from runhouse.lazy import LazyModule
from runhouse.registry.names import check_key
from runhouse.wire.messages import Call, Code, Operation, RunInfo, Scope
from runhouse.wire.pickling import Pickled, dumps, name_there, python_here
from runhouse.worker import inside

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from runhouse.bootstrap.host import Host
    from runhouse.clusters.env_use import EnvUse
    from runhouse.settings import Settings
else:
    asyncio = LazyModule("asyncio")


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Hold what a caller may say about one call beside its arguments.

    Attributes:
        logs: Whether the call's output is shown here while it runs.
        run_name: Record the run under this name; empty for no name.
        timeout_s: The call is ended after this long; 0: never.
        retries: How often it is repeated when it raises.
        retry_on: Qualified names of the exceptions that are worth a repetition; none: all.
        backoff_s: The pause before the first repetition; each further one is twice as long.
        relaunch: Whether machines that were lost meanwhile are launched again, and the call made
            there, `retries` times at most, but at least once.
    """

    logs: bool = True
    run_name: str = ""
    timeout_s: float = 0.0
    retries: int = 0
    retry_on: tuple[str, ...] = ()
    backoff_s: float = 0.0
    relaunch: bool = False


def call_options(
    *,
    stream_logs: bool = True,
    run_name: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    retry_on: type[Exception] | Sequence[type[Exception]] = (),
    backoff: float = 0.0,
    relaunch: bool = False,
) -> CallOptions:
    """Check what a user says about a call.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A number is out of range.
        InvalidNameError: The name of the run cannot be used.
    """
    kinds = tuple(retry_on) if isinstance(retry_on, Iterable) else (retry_on,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            msg = (
                f"retry_on={kind!r} cannot be used. It must be a class of exceptions, or several. "
                "Give for example retry_on=ConnectionError."
            )
            raise TypeError(msg)
    return CallOptions(
        logs=bool(stream_logs),
        run_name="" if run_name is None else check_key(run_name),
        timeout_s=0.0 if timeout is None else arguments.seconds("timeout", timeout, above=0.0),
        retries=arguments.number("retries", retries, least=0),
        retry_on=tuple(map(name_there, kinds)),
        backoff_s=arguments.seconds("backoff", backoff),
        relaunch=bool(relaunch),
    )


Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]
NO_ARGUMENTS: Arguments = ((), {})


class Calls:
    """Make calls on one cluster."""

    def __init__(
        self, host: Host, settings: Settings, python: str, set_up: Callable[[Target], bool]
    ) -> None:
        """Store the host; connections are made when they are needed.

        Args:
            host: The host.
            settings: Time limits.
            python: The interpreter of workers, or empty.
            set_up: Sets up the env of a target that the server has not, if it can.
        """
        self.host = host
        self._settings = settings
        self._python = python
        self._set_up = set_up

    @cached_property
    def client(self) -> Client:
        """Return the client of the cluster's server."""
        client = Client(self.host, self._settings)
        client.set_up = self._set_up
        return client

    def target(
        self, env: EnvUse, root: Path | None, modules: Iterable[str] = ()
    ) -> tuple[Target, str]:
        """Bring a project, and others that it imports from, to the host; say which worker runs it.

        Args:
            env: The env.
            root: The project's directory here, or None when the code is in none.
            modules: Modules that are needed beside those that the project's modules import.

        Returns:
            The target, and the project's directory on the host (empty for none).
        """
        with ThreadPoolExecutor(1) as pool:
            others = pool.submit(companions, root, tuple(modules))  # while the project is copied
            placed = [self.host.place(root)] if root is not None else []
        imports: list[str] = []
        for other in others.result():
            placed.append(self.host.place(other.root))
            base = PurePosixPath(placed[-1].directory)
            imports += [str(base / top) for top in other.import_roots]
        for project in env.projects:
            placed.append(self.host.place(project))
            imports += import_places(placed[-1].directory, project)
        if not placed:
            return Target(env.name, Scope(python=self._python, env=env.digest)), ""
        generation = ".".join(each.generation for each in placed)
        scope = Scope(placed[0].directory, generation, self._python, tuple(imports), env.digest)
        return Target(env.name, scope), placed[0].directory

    def define(self, target: Target, key: str, code: Code, pickled: bytes, name: str) -> None:
        """Tell a worker about a function or class.

        Args:
            target: The worker.
            key: Where it is kept there.
            code: Where it comes from.
            pickled: The object itself when it goes by value, or nothing.
            name: Its public name.

        Raises:
            PythonMismatchError: It goes by value, and the worker's Python is another one.
        """
        if pickled:
            self._check_python(target, "The code")
        call = self._call("define", key, CallOptions(), new_key=name)
        self.client.call(target, call, dumps((code.to_meta(), pickled)))

    def _check_python(self, target: Target, what: str) -> None:
        """Refuse to send code by value to another minor version of Python.

        Raises:
            PythonMismatchError: The versions differ.
        """
        here = python_here()
        there = ".".join(self.worker_python(target).split(".")[:2])
        if here != there:
            msg = (
                f"{what} was not sent to {self.host.host}. It has no file there and would go by "
                f"value, which needs the same Python: here it is {here}, there {there}. Put it in "
                "a module of a project, or give the cluster another interpreter with python=."
            )
            raise PythonMismatchError(msg, here=here, there=there)

    def worker_python(self, target: Target) -> str:
        """Return the Python version of a worker, for example `"3.11.7"`."""
        connection = self.client.take(target)
        self.client.give_back(target, connection)
        return connection.python

    def worker_id(self, target: Target) -> str:
        """Return the identity of the worker that a target stands for now."""
        connection = self.client.take(target)
        self.client.give_back(target, connection)
        return connection.worker_id

    def _call(self, op: Operation, key: str, options: CallOptions, **fields: Any) -> Call:
        root = logging.getLogger()
        return Call(
            op=op,
            key=key,
            logs=options.logs,
            log_level=root.level or logging.WARNING,
            grace_s=self._settings.orphan_grace_s,
            name=options.run_name,
            timeout_s=options.timeout_s,
            retries=options.retries,
            retry_on=options.retry_on,
            backoff_s=options.backoff_s,
            parent=inside.current_run_id(),
            caller=_caller(),
            **{"run_id": secrets.token_hex(8), "record": bool(options.run_name), **fields},
        )

    def call(
        self,
        target: Target,
        op: Operation,
        key: str,
        given: Arguments,
        options: CallOptions,
        **fields: Any,
    ) -> Any:
        """Make a call and wait for its end; see `Client.call`.

        Args:
            target: The worker.
            op: What to do.
            key: The function, class or object.
            given: Positional and keyword arguments.
            options: What the caller says about the call.
            **fields: Further fields of `wire.messages.Call`.
        """
        pickled = self._arguments(target, given, fields)
        call = self._call(op, key, options, **fields)
        try:
            return self.client.call(target, call, pickled)
        except ObjectNotFoundError as error:
            if not self._has_moved(target, key, error):
                raise
        return self.client.call(target, call, pickled)

    def _has_moved(self, target: Target, key: str, error: ObjectNotFoundError) -> bool:
        """Tell whether an object may be elsewhere now than where it was last time."""
        return error.key == key and bool(target.key) and self.client.forget_home(key)

    async def call_async(
        self,
        target: Target,
        op: Operation,
        key: str,
        given: Arguments,
        options: CallOptions,
        **fields: Any,
    ) -> Any:
        """Make a call without blocking the event loop; see `call`."""
        pickled = await asyncio.to_thread(self._arguments, target, given, fields)
        call = self._call(op, key, options, **fields)
        try:
            return await call_async(self.client, target, call, pickled)
        except ObjectNotFoundError as error:
            if not self._has_moved(target, key, error):
                raise
        return await call_async(self.client, target, call, pickled)

    def start(
        self,
        target: Target,
        op: Operation,
        key: str,
        given: Arguments,
        options: CallOptions,
        **fields: Any,
    ) -> RunInfo:
        """Start a recorded run, and return as soon as the worker has it; see `call`."""
        pickled = self._arguments(target, given, fields)
        call = self._call(op, key, options, record=True, watch=False, **fields)
        try:
            return self.client.start(target, call, pickled)
        except ObjectNotFoundError as error:
            if not self._has_moved(target, key, error):
                raise
        return self.client.start(target, call, pickled)

    def _arguments(self, target: Target, given: Arguments, fields: Mapping[str, Any]) -> Pickled:
        if fields.get("arguments") == "text":
            return Pickled(json.dumps({"args": given[0], "kwargs": given[1]}).encode())
        pickled = dumps(given, what="the arguments")
        if pickled.by_value:
            self._check_python(target, "An argument")
        return pickled

    def release(self, worker_id: str, keys: Sequence[str], timeout_s: float) -> None:
        """Have a worker let go of objects, if it can be reached at once.

        Args:
            worker_id: The worker.
            keys: The keys of the objects.
            timeout_s: Longest wait for its answer.
        """
        call = self._call("define", "", CallOptions(logs=False), release=list(keys))
        self.client.tell(worker_id, call, dumps((Code().to_meta(), b"")), timeout_s)

    def put_into(self, target: Target, key: str, value: object) -> None:
        """Put an object into a worker that has the code of its class; see `put`."""
        pickled = dumps(value, what="the object")
        if pickled.by_value:
            self._check_python(target, "The object")
        call = self._call("put", key, CallOptions(), new_key=key)
        self.client.call(target, call, pickled)

    def put(self, env: EnvUse, key: str, value: object, *, persist: bool) -> None:
        """Put an object into a worker of an env: one that has the code of its class.

        Raises:
            NotSerializableError: It cannot be pickled.
            PythonMismatchError: It holds code by value, and the worker's Python is another one.
        """
        pickled = dumps(value, what="the object")
        root, import_roots = project_of_modules(pickled.modules)
        target, directory = self.target(env, root, pickled.modules)
        if pickled.by_value:
            self._check_python(target, "The object")
        if root is not None:
            base = PurePosixPath(directory)
            code = Code(import_roots=tuple(str(base / place) for place in import_roots))
            self.define(target, key, code, b"", "")
        call = self._call("put", key, CallOptions(), new_key=key, persist=persist)
        self.client.call(target, call, pickled)


@lru_cache(maxsize=1)
def _caller() -> str:
    """Return who makes the calls of this process, for those who look at its runs."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def new_key(options: CallOptions, what: str) -> str:
    """Return the key under which the result of a call is kept."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", what).strip("._-")[:40]
    return options.run_name or f"{plain or 'result'}-{secrets.token_hex(6)}"
