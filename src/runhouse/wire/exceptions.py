"""Exceptions on the wire: described in JSON, and pickled with what they were raised from.

What cannot be rebuilt arrives as a `RemoteError` with the description; the rest of the chain as it
is.
"""

from __future__ import annotations

import builtins
import os
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from runhouse.errors import RemoteError
from runhouse.wire.pickling import (
    Pickled,
    by_value_meta,
    dumps,
    in_one,
    loads,
    loads_frame,
    python_here,
)

if TYPE_CHECKING:
    from runhouse.wire.frames import Frame

# How it follows from the one before, its type, its message, its pickle (empty for none), and of a
# group its members, for where the whole of it cannot be loaded.
_Link: TypeAlias = "tuple[str, str, str, bytes, list[_Link]]"
_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())  # it came with Python 3.11
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
        The description (JSON), and the chain of exceptions, each described and pickled.
    """
    meta: dict[str, object] = {**_described(error), "traceback": format_error(error)}
    links = [_dump_link(how, link, meta)[0] for how, link in _chain(error)]
    return meta, dumps(links)


def _dump_link(
    how: str, error: BaseException, meta: dict[str, object]
) -> tuple[_Link, BaseException]:
    """Describe one exception of a chain, or one member of a group.

    Returns:
        Its link, and what can be pickled in its place as a member of a group.
    """
    described = _described(error)
    members: list[_Link] = []
    if isinstance(error, _GROUP):
        group: Any = error
        described["message"] = group.message
        dumped = [_dump_link("member", member, meta) for member in group.exceptions]
        members = [link for link, _ in dumped]
        told = [sendable for _, sendable in dumped]
        if any(each is not member for each, member in zip(told, group.exceptions, strict=True)):
            error = group.derive(told)
    pickled = _pickled(error)
    if pickled is None and not isinstance(error, _GROUP):
        error = _stand_in(error)
    if pickled is not None and pickled.by_value:
        meta |= by_value_meta(pickled)
    body = bytes(pickled.body) if pickled is not None else b""
    return (how, described["type"], described["message"], body, members), error


def _described(error: BaseException) -> dict[str, str]:
    cls = type(error)
    is_plain = cls.__module__ == "builtins"
    name = cls.__qualname__ if is_plain else f"{cls.__module__}.{cls.__qualname__}"
    return {"type": name, "message": _text_of(error)}


def _stand_in(error: BaseException) -> RemoteError:
    told = _described(error)
    return RemoteError(f"{told['type']}: {told['message']}", type_name=told["type"])


def _pickled(error: BaseException) -> Pickled | None:
    """Return an exception as a pickle that can be loaded; None when its class refuses."""
    try:
        pickled = in_one(error)
        loads(pickled.body)
    except Exception:  # noqa: BLE001 - any class may refuse; its description is what is left
        return None
    return pickled


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
    is_ours = frame.meta.get("python", python_here()) == python_here()
    links: list[_Link] = loads_frame(frame) if len(frame.body) else []
    if not links:
        links = [("", str(frame.meta.get("type")), str(frame.meta.get("message")), b"", [])]
    error = last = _load_link(links[0], text, is_ours=is_ours)
    for link in links[1:]:
        inner = _load_link(link, "", is_ours=is_ours)
        object.__setattr__(last, f"__{link[0]}__", inner)  # their class may let nobody set it
        last = inner
    object.__setattr__(last, "__cause__", RemoteTraceback(text))
    return error


def _load_link(link: _Link, text: str, *, is_ours: bool) -> BaseException:
    """Rebuild one exception of a chain, or stand in for it."""
    _, type_name, message, body, members = link
    if body and is_ours:
        with suppress(Exception):  # its class is not known here, or refuses
            return cast("BaseException", loads(body))
    if members and _GROUP:
        inner = [_load_link(member, "", is_ours=is_ours) for member in members]
        return cast("BaseException", _GROUP(message, inner))
    return RemoteError(f"{type_name}: {message}", type_name=type_name, remote_traceback=text)
