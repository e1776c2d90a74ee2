"""Values on the wire: pickle protocol 5 with out-of-band buffers, by cloudpickle.

The server never imports this module. Functions and classes of an importable module go by
reference. The `__main__` module of a script is imported under its file's name on the other side:
`set_main_alias` makes both directions agree on that name.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import pickle
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from runhouse.errors import NotSerializableError, RemoteError
from runhouse.extras import find_cloudpickle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from runhouse.wire.frames import Buffer, Frame

# Smaller buffers are cheaper inside the stream than as pieces of their own.
_OUT_OF_BAND = 32 * 1024
_CLOUDPICKLE = "runhouse_cloudpickle"
_PLAIN = (int, float, str, bool, bytes, type(None))
_OWN_PACKAGE = str(Path(__file__).parents[1]) + os.sep


@dataclass(slots=True)
class _Main:
    """Hold the module name under which this process's `__main__` is known elsewhere."""

    alias: str | None = None


_main = _Main()


def set_main_alias(module: str | None) -> None:
    """Name the module under which `__main__` is imported on the other side; None: by value."""
    _main.alias = module


def name_there(cls: type) -> str:
    """Return the module and qualified name that a class has on the other side."""
    module, name = cls.__module__, cls.__qualname__
    if module == "__main__" and _main.alias is not None and "<" not in name:
        module = _main.alias
    return f"{module}.{name}"


def resolve(module: str, name: str) -> Any:
    """Return the object with a qualified name from a module, importing it if needed."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _load_cloudpickle() -> Any:
    """Return a cloudpickle of our own, under a name of its own.

    Pickles name the module that made them, and the user's environment may hold a cloudpickle of
    another version: theirs stays `cloudpickle`, ours is the same version on both sides.
    """
    if _CLOUDPICKLE in sys.modules:  # a worker: it was started with the server's copy
        return sys.modules[_CLOUDPICKLE]
    spec = importlib.util.spec_from_file_location(_CLOUDPICKLE, find_cloudpickle())
    if spec is None or spec.loader is None:
        msg = "cloudpickle cannot be loaded. Install runhouse again with its dependencies."
        raise ImportError(msg, name="cloudpickle")
    module = sys.modules[_CLOUDPICKLE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_PicklerBase: Any = _load_cloudpickle().Pickler


class _Pickler(_PicklerBase):  # type: ignore[misc]  # loaded by path: its type is not known
    """Pickle functions and classes of `__main__` by reference when it has an alias.

    Attributes:
        by_value: Whether a function or class has gone into the stream by value.
        modules: The modules of the functions and classes that have gone by reference.
    """

    by_value = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, (type, FunctionType)):
            return super().reducer_override(obj)
        name = obj.__qualname__
        is_aliased = _main.alias is not None and obj.__module__ == "__main__" and "<" not in name
        if is_aliased and _is_main(obj, name):
            self.modules.add("__main__")
            return resolve, (_main.alias, name)
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented:
            self.modules.add(obj.__module__)
        else:
            self.by_value = True
        return reduced


def _is_main(obj: object, name: str) -> bool:
    """Tell whether `__main__` really holds the object under its qualified name."""
    found: object = sys.modules["__main__"]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is obj


class _Unpickler(pickle.Unpickler):
    """Find the aliased main module's classes in `__main__` instead of importing it again."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name == _main.alias:
            module_name = "__main__"
        return super().find_class(module_name, global_name)


@dataclass(slots=True)
class Pickled:
    """Hold a pickled value.

    Attributes:
        body: The pickle stream.
        buffers: Large buffers, outside of the stream.
        by_value: Whether code travels inside, which only the same minor Python version reads.
        modules: The modules whose functions and classes it refers to.
    """

    body: Buffer
    buffers: Sequence[Buffer] = ()
    by_value: bool = False
    modules: Set[str] = frozenset()


def _is_plain(value: object) -> bool:
    if type(value) in _PLAIN:
        return True
    if type(value) in (tuple, list) and len(cast("Sequence[object]", value)) < 20:
        return all(_is_plain(item) for item in cast("Sequence[object]", value))
    return type(value) is dict and len(value) < 20 and all(map(_is_plain, value.values()))


def dumps(value: object, *, what: str = "the value") -> Pickled:
    """Pickle a value, keeping large buffers out of the stream.

    Args:
        value: Anything that cloudpickle takes.
        what: Names the value in an error message.

    Raises:
        NotSerializableError: The value cannot be pickled.
    """
    if _is_plain(value):
        return Pickled(pickle.dumps(value, protocol=5))
    buffers: list[Buffer] = []

    def keep_out(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: only the stream can hold it
            return True
        if raw.nbytes < _OUT_OF_BAND:
            return True
        buffers.append(raw)
        return False

    return _dump(value, what, keep_out, buffers)


def dumps_whole(value: object, *, what: str = "the value") -> bytes:
    """Pickle a value into one stream (see `dumps`)."""
    return bytes(_dump(value, what, None, ()).body)


def _dump(
    value: object,
    what: str,
    buffer_callback: Callable[[pickle.PickleBuffer], bool] | None,
    buffers: Sequence[Buffer],
) -> Pickled:
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol=5, buffer_callback=buffer_callback)
    try:
        pickler.dump(value)
    except Exception as error:
        msg = (
            f"{what[0].upper()}{what[1:]} cannot be sent: {type(value).__name__} cannot be "
            f"pickled. {type(error).__name__}: {error}. Send plain data, or make the object there."
        )
        raise NotSerializableError(msg) from error
    return Pickled(stream.getbuffer(), buffers, pickler.by_value, pickler.modules)


def loads(body: Buffer, buffers: Sequence[Buffer] = ()) -> Any:
    """Rebuild a value; whatever its classes raise goes to the caller."""
    if _main.alias is None:
        return pickle.loads(body, buffers=buffers)  # noqa: S301 - from a peer that has the token
    return _Unpickler(io.BytesIO(body), buffers=buffers).load()


def loads_frame(frame: Frame) -> Any:
    """Rebuild the value that a frame holds."""
    return loads(frame.body, frame.buffers)


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
    if isinstance(cls.__init__, FunctionType) and cls.__reduce__ is BaseException.__reduce__:
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
