"""How proxies reach a cluster's workers: where code goes, and one way in for every call."""

from __future__ import annotations

import logging
import secrets
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runhouse.client.aio import call_async
from runhouse.client.client import Client
from runhouse.client.endpoint import Target
from runhouse.errors import PythonMismatchError
from runhouse.wire.messages import Call, Code, Operation, Scope
from runhouse.wire.pickling import Pickled, dumps

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runhouse.bootstrap.host import Host
    from runhouse.settings import Settings


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Hold what a caller may say about one call beside its arguments.

    Attributes:
        logs: Whether the call's output is shown here while it runs.
    """

    logs: bool = True


class Calls:
    """Make calls on one cluster."""

    def __init__(self, host: Host, settings: Settings, python: str) -> None:
        """Store the host; connections are made when they are needed."""
        self.host = host
        self._settings = settings
        self._python = python

    @cached_property
    def client(self) -> Client:
        """Return the client of the cluster's server."""
        return Client(self.host, self._settings)

    def target(self, env: str, root: Path | None) -> tuple[Target, str]:
        """Bring a project to the host, and say which worker runs its code.

        Args:
            env: Name of the env.
            root: The project's directory here, or None when the code needs no files.

        Returns:
            The target, and the project's directory on the host (empty for none).
        """
        if root is None:
            return Target(env, Scope(python=self._python)), ""
        placed = self.host.place(root)
        scope = Scope(project=placed.directory, generation=placed.generation, python=self._python)
        return Target(env, scope), placed.directory

    def define(self, target: Target, key: str, code: Code, pickled: bytes) -> None:
        """Tell a worker about a function or class.

        Args:
            target: The worker.
            key: Where it is kept there.
            code: Where it comes from.
            pickled: The object itself when it goes by value, or nothing.

        Raises:
            PythonMismatchError: It goes by value, and the worker's Python is another one.
        """
        if pickled:
            self._check_python(target, "The code")
        self.client.call(target, self._call("define", key), dumps((code.to_meta(), pickled)))

    def _check_python(self, target: Target, what: str) -> None:
        """Refuse to send code by value to another minor version of Python.

        Raises:
            PythonMismatchError: The versions differ.
        """
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
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

    def _call(
        self, op: Operation, key: str, options: CallOptions | None = None, **names: str
    ) -> Call:
        root = logging.getLogger()
        return Call(
            run_id=secrets.token_hex(8),
            op=op,
            key=key,
            logs=options.logs if options is not None else True,
            log_level=root.level or logging.WARNING,
            grace_s=self._settings.orphan_grace_s,
            **names,
        )

    def call(
        self,
        target: Target,
        op: Operation,
        key: str,
        arguments: tuple[tuple[Any, ...], Mapping[str, Any]],
        options: CallOptions,
        **names: str,
    ) -> Any:
        """Make a call and wait for its end; see `Client.call`."""
        pickled = self._arguments(target, arguments)
        return self.client.call(target, self._call(op, key, options, **names), pickled)

    async def call_async(
        self,
        target: Target,
        op: Operation,
        key: str,
        arguments: tuple[tuple[Any, ...], Mapping[str, Any]],
        options: CallOptions,
        **names: str,
    ) -> Any:
        """Make a call without blocking the event loop; see `aio.call_async`."""
        pickled = self._arguments(target, arguments)
        return await call_async(self.client, target, self._call(op, key, options, **names), pickled)

    def _arguments(
        self, target: Target, arguments: tuple[tuple[Any, ...], Mapping[str, Any]]
    ) -> Pickled:
        pickled = dumps(arguments, what="the arguments")
        if pickled.by_value:
            self._check_python(target, "An argument")
        return pickled
