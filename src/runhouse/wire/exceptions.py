"""Exceptions on the wire: described in JSON, and pickled with what they were raised from.

A constructor is never called again: its signature is unknown. What cannot be rebuilt arrives as a
`RemoteError` with the description.
"""

from __future__ import annotations

import os
import traceback
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from runhouse.errors import RemoteError
from runhouse.wire.pickling import Pickled, dumps, loads, loads_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.wire.frames import Frame

_OWN_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class RemoteTraceback(Exception):
    """Show the traceback of the other side as the cause of an exception.

    Attributes:
        text: The traceback as it was printed there, with source lines.
    """

    def __init__(self, text: str) -> None:
        """Store the text."""
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Return the traceback, framed so that it stands out."""
        return f'\n"""\n{self.text.rstrip()}\n"""'


def _rebuild(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    """Make an exception again without calling its constructor, whose signature is unknown."""
    error = cls.__new__(cls, *args)
    error.args = args
    for base in cls.__mro__:
        own = base.__dict__.get("__init__")
        if own is not None and not isinstance(own, FunctionType):
            with suppress(TypeError):  # its fields are then what the state below says
                own(error, *args)
            break
    error.__dict__.update(state)
    return error


def _reduced(error: BaseException) -> object:
    """Return what to pickle for an exception: its own reduction, or one without constructor."""
    cls = type(error)
    if isinstance(cls.__init__, FunctionType) and not isinstance(cls.__reduce__, FunctionType):
        return _Rebuilt(cls, error.args, dict(error.__dict__))
    return error


class _Rebuilt:
    """Pickle as a call of `_rebuild`."""

    def __init__(
        self, cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]
    ) -> None:
        self._parts = (cls, args, state)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return _rebuild, self._parts


def _chain(error: BaseException) -> list[tuple[str, BaseException]]:
    """Return the exception and what it was raised from, outermost first."""
    links: list[tuple[str, BaseException]] = [("", error)]
    seen = {id(error)}
    while True:
        last = links[-1][1]
        if last.__cause__ is not None:
            link = ("cause", last.__cause__)
        elif last.__context__ is not None and not last.__suppress_context__:
            link = ("context", last.__context__)
        else:
            return links
        if id(link[1]) in seen:
            return links
        seen.add(id(link[1]))
        links.append(link)


def format_error(error: BaseException) -> str:
    """Return the printed traceback of an exception, without our own frames at its start."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None and _is_own(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return "".join(traceback.format_exception(type(error), error, tb))


def _is_own(filename: str) -> bool:
    return filename.startswith(_OWN_PACKAGE)


def dump_error(error: BaseException) -> tuple[dict[str, object], Pickled]:
    """Describe an exception for the other side.

    Args:
        error: What was raised.

    Returns:
        The description (JSON), and the pickled chain of exceptions; empty when one of them cannot
        be pickled.
    """
    cls = type(error)
    meta: dict[str, object] = {
        "type": f"{cls.__module__}.{cls.__qualname__}"
        if cls.__module__ != "builtins"
        else cls.__qualname__,
        "message": _text_of(error),
        "traceback": format_error(error),
    }
    try:
        pickled = dumps([(how, _reduced(link)) for how, link in _chain(error)])
        loads(pickled.body, pickled.buffers)
    except Exception:  # noqa: BLE001 - any class may refuse; the description above is what is left
        pickled = Pickled(b"")
    return meta, pickled


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a broken __str__ must not hide the error
        return f"<its text cannot be made: {type(broken).__name__}>"


def load_error(frame: Frame) -> BaseException:
    """Rebuild the exception that an ERROR frame describes.

    Returns:
        The exception in its own type with the remote traceback as its cause, or a `RemoteError`
        when its class cannot be rebuilt here.
    """
    text = str(frame.meta.get("traceback", ""))
    try:
        links = loads_frame(frame) if len(frame.body) else []
    except Exception:  # noqa: BLE001 - the class is not known here, or refuses: told by RemoteError
        links = []
    if not links:
        type_name, message = str(frame.meta.get("type")), str(frame.meta.get("message"))
        rebuilt: BaseException = RemoteError(
            f"{type_name}: {message}", type_name=type_name, remote_traceback=text
        )
        rebuilt.__cause__ = RemoteTraceback(text)
        return rebuilt
    error: BaseException = links[0][1]
    last = error
    for how, link in links[1:]:
        if how == "cause":
            last.__cause__ = link
        else:
            last.__context__ = link
        last = link
    last.__cause__ = RemoteTraceback(text)
    return error
