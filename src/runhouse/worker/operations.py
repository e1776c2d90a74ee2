"""What a call can do: one method for each operation of `wire.messages`."""

from __future__ import annotations

import difflib
import inspect
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runhouse.errors import ArgumentsError, CallError, MethodNotFoundError
from runhouse.wire import stored
from runhouse.wire.messages import Call, Code, Itself
from runhouse.wire.pickling import Pickled, dumps, loads, loads_frame
from runhouse.worker import persist
from runhouse.worker.code import add_import_roots, load_code
from runhouse.worker.schema import describe, describe_methods
from runhouse.worker.store import Objects, attribute_names
from runhouse.worker.values import fit, load_arguments, load_json, load_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from runhouse.wire.frames import Buffer, Frame

log = logging.getLogger(__name__)

_ITERATION, _ASYNC_ITERATION = "__iter__", "__aiter__"
# What a function is called by, where only methods have names.
_ITSELF = "call"
_ABSENT = object()


class Operations:
    """Do what calls ask for."""

    def __init__(
        self, objects: Objects, directory: Path, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        """Store the objects to work on.

        Args:
            objects: What this worker holds.
            directory: Where persisted objects are.
            tell: Tells the server something.
        """
        self._objects = objects
        self._directory = directory
        self._tell = tell
        self._import_roots: list[str] = []
        self._table: dict[str, Callable[[Call, tuple[Any, ...], dict[str, Any]], Any]] = {
            "call": self._call,
            "new": self._new,
            "method": self._method,
            "read": self._read,
            "write": self._write,
            "get": self._get,
            "describe": self._describe,
        }

    def invoke(self, call: Call, frame: Frame) -> Any:
        """Do the operation of a call and return its result.

        Args:
            call: The call.
            frame: Its arguments. They are let go of here, unless the call may be repeated.
        """
        if call.op == "define":
            return self._define(call, frame)
        if call.op == "put":
            return self._put(call, frame)
        if call.op not in self._table:
            msg = (
                f"The call was not made. This worker knows no operation {call.op!r}. Use the same "
                "version of runhouse on both sides."
            )
            raise CallError(msg)
        if call.retries:  # each attempt gets arguments that the one before has not changed
            frame = replace(frame, buffers=list(map(_copy, frame.buffers)))
        args, kwargs = load_arguments(call, frame)
        frame.body, frame.buffers = b"", ()
        return self._table[call.op](call, args, kwargs)

    def _define(self, call: Call, frame: Frame) -> None:
        """Keep a function or class that came by reference or by value."""
        fields, pickled = loads_frame(frame)
        code = Code(**fields)
        add_import_roots(code.import_roots)
        self._import_roots += [root for root in code.import_roots if root not in self._import_roots]
        if code.module or pickled:
            found = loads(pickled) if pickled else load_code(code)
            self._objects.define(call.key, found, call.new_key)
        if call.new_key:
            self._tell({"op": "defined", "name": call.new_key, "key": call.key})

    def _put(self, call: Call, frame: Frame) -> None:
        size = len(frame.body) + sum(map(len, frame.buffers))
        self._objects.check_room(size)
        pickled = Pickled(frame.body, frame.buffers)
        if call.arguments == "json":
            pickled = dumps(load_json(frame))
        value = (
            load_whole(frame) if call.arguments == "whole" else loads(pickled.body, pickled.buffers)
        )
        if call.persist:
            self.save(call.new_key, pickled)
        self._objects.put(call.new_key, value, on_disk=call.persist)

    def save(self, key: str, pickled: Pickled) -> None:
        """Keep a copy of an object on disk."""
        meta: dict[str, object] = {
            "env": os.environ.get("RH_ENV", ""),
            "scope": os.environ.get("RH_SCOPE", "{}"),
            "import_roots": self._import_roots,
        }
        try:
            persist.save(stored.object_path(self._directory, key), meta, pickled)
        except OSError as error:
            msg = (
                f"{key!r} was not put. It cannot be written to the disk of the host: {error}. "
                "Make room there, or put it without persist=True."
            )
            raise CallError(msg) from error

    def wake(self, path: Path) -> None:
        """Take an object from disk into memory."""
        self._objects.put(stored.object_key(path), persist.load(path), on_disk=True)

    def _call(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        code = self._objects.definition(call.key)
        args, kwargs = fit(call, code, args, kwargs)
        return code(*args, **kwargs)

    def _new(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
        """Construct an object; the names of its own attributes are the result."""
        self._objects.check_room()
        made = self._call(call, args, kwargs)
        self._objects.put(call.new_key, made)
        return attribute_names(made)

    def _method(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method, or what the key names itself; give an attribute; begin an iteration."""
        owner = self._objects.owner(call.key)
        if call.method == _ITERATION:
            return (item for item in owner)
        if call.method == _ASYNC_ITERATION:
            return (item async for item in owner)
        itself = not call.method or (call.method == _ITSELF and not hasattr(owner, _ITSELF))
        found = owner if itself else _attribute(owner, call)
        if callable(found):
            args, kwargs = fit(call, found, args, kwargs)
            result = found(*args, **kwargs)
            return _marked(result, owner) if call.itself else result
        if itself:
            msg = (
                f"{call.key} cannot be called. It is no function but holds {type(owner).__name__}. "
                f"Name a method, as {call.key}.method, or get the object."
            )
            raise ArgumentsError(msg)
        if args or kwargs:
            msg = (
                f"{call.key}.{call.method} cannot be called. It is no method but holds "
                f"{type(found).__name__}. Leave out the arguments to get its value."
            )
            raise ArgumentsError(msg)
        return found

    def _describe(
        self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """Describe what can be called, as JSON.

        `args` holds the keys of objects, `kwargs` functions and classes: public name to key.

        Returns:
            `code`, a description for each name; `objects`, descriptions by method for each key; and
            `classes`, the same for the methods that classes have without an instance.
        """
        del call
        held, defined = self._objects.all(), self._objects.definitions()
        named = {name: defined[key] for name, key in kwargs.items() if key in defined}
        classes = {name: code for name, code in named.items() if isinstance(code, type)}
        return {
            "code": _told(describe, named),
            "objects": _told(describe_methods, {key: held[key] for key in args if key in held}),
            "classes": _told(describe_methods, classes),
        }

    def _read(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        del args, kwargs
        return _attribute(self._objects.owner(call.key), call)

    def _write(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        del kwargs
        setattr(self._objects.owner(call.key), call.method, args[0])

    def _get(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        del args, kwargs
        return self._objects.get(call.key)


def _told(describe_one: Callable[[object], Any], those: dict[str, Any]) -> dict[str, Any]:
    """Describe several things; one whose own code fails at that keeps nobody from the others."""
    told = {}
    for name, value in those.items():
        try:
            told[name] = describe_one(value)
        except Exception:  # noqa: PERF203 - each may have one
            log.exception("%s cannot be described", name)
    return told


def _attribute(owner: Any, call: Call) -> Any:
    """Return an attribute.

    Raises:
        AttributeError: There is none of this name; names that look like it are told. It is a
            `MethodNotFoundError` for callers that know no Python exceptions.
    """
    name = call.method
    try:
        return getattr(owner, name)
    except AttributeError:
        own_answer = hasattr(type(owner), "__getattr__")
        if own_answer or inspect.getattr_static(owner, name, _ABSENT) is not _ABSENT:
            raise  # by the user's code
    near = difflib.get_close_matches(name, [n for n in dir(owner) if not n.startswith("__")])
    hint = f"Did you mean {' or '.join(near)}?" if near else "Look at dir() of its class."
    cls = owner.__name__ if isinstance(owner, type) else type(owner).__name__
    msg = f"{cls!r} has no attribute {name!r}. {call.key!r} and its class were looked at. {hint}"
    if call.arguments != "pickle":
        raise MethodNotFoundError(msg)
    raise AttributeError(msg, name=name)


def _marked(result: Any, owner: Any) -> Any:
    """Return the mark instead of the object itself; a coroutine is looked at when it has ended."""
    if inspect.iscoroutine(result):
        return _marked_later(result, owner)
    return Itself.ITSELF if result is owner else result


async def _marked_later(result: Coroutine[Any, Any, Any], owner: Any) -> Any:
    return _marked(await result, owner)


def _copy(buffer: Buffer) -> Buffer:
    return buffer if isinstance(buffer, bytes) else bytearray(buffer)
