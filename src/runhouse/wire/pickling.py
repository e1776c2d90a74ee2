"""Values on the wire: pickle protocol 5 with out-of-band buffers, by cloudpickle.

The server never imports this module. Functions and classes of an importable module go by
reference. The `__main__` module of a script is imported under its file's name on the other side:
`set_main_alias` makes both directions agree on that name.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import pickle
import sys
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from runhouse.errors import NotLoadableError, NotSerializableError, PythonMismatchError
from runhouse.extras import find_cloudpickle
from runhouse.wire.raised import reduce_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from runhouse.wire.frames import Buffer, Frame

# Smaller buffers are cheaper inside the stream than as pieces of their own.
_OUT_OF_BAND = 32 * 1024
_LARGE_BYTES = 1024 * 1024
_CLOUDPICKLE = "runhouse_cloudpickle"
_PLAIN = (int, float, str, bool, bytes, type(None))


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
        modules: The modules that have gone by reference, or whose functions or classes have.
    """

    by_value = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseException):
            return reduce_error(obj)
        if isinstance(obj, ModuleType):
            self.modules.add(obj.__name__)
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


class _BytesPickler(_Pickler):
    """Keep large `bytes` out of the stream, too: a call for each object, so only when there are."""

    def __init__(self, *args: Any, blobs: list[Buffer], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._blobs = blobs

    def persistent_id(self, obj: Any) -> int | None:
        if type(obj) is not bytes or len(obj) < _LARGE_BYTES:
            return None
        self._blobs.append(obj)
        return len(self._blobs) - 1


class _Unpickler(pickle.Unpickler):
    """Find the aliased main module's classes in `__main__` instead of importing it again.

    Large `bytes` are taken as they are, as they have come outside of the stream.
    """

    def __init__(self, body: Buffer, buffers: Sequence[Buffer], blobs: Sequence[bytes]) -> None:
        super().__init__(io.BytesIO(body), buffers=buffers)
        self._blobs = blobs

    def persistent_load(self, pid: int) -> bytes:
        return self._blobs[pid]

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
        modules: The modules that it refers to, itself or by their functions and classes.
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
    has_blobs = _has_large_bytes(value)
    if not has_blobs and _is_plain(value):
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

    blobs: list[Buffer] | None = [] if has_blobs else None
    pickled = _dump(value, what, keep_out, buffers, blobs)
    if blobs:
        pickled.buffers = [*blobs, *buffers]
    return pickled


def _has_large_bytes(value: object, depth: int = 3) -> bool:
    """Tell whether a value is, or holds among its first parts, a `bytes` object worth its own way.

    Others go in the stream, which costs them a copy.
    """
    if type(value) is bytes:
        return len(value) >= _LARGE_BYTES
    if not depth or type(value) not in (tuple, list, dict):
        return False
    parts = value.values() if isinstance(value, dict) else cast("Sequence[object]", value)
    return len(parts) < 20 and any(_has_large_bytes(part, depth - 1) for part in parts)


def send_by_value(module: ModuleType) -> None:
    """Let functions and classes of a module, and the module itself, go by value from now on."""
    _load_cloudpickle().register_pickle_by_value(module)


def dumps_whole(value: object, *, what: str = "the value") -> bytes:
    """Pickle a value into one stream (see `dumps`)."""
    return bytes(in_one(value, what=what).body)


def in_one(value: object, *, what: str = "the value") -> Pickled:
    """Pickle a value into one stream, and tell what is in it (see `dumps`)."""
    return _dump(value, what, None, ())


def _dump(
    value: object,
    what: str,
    buffer_callback: Callable[[pickle.PickleBuffer], bool] | None,
    buffers: Sequence[Buffer],
    blobs: list[Buffer] | None = None,
) -> Pickled:
    stream = io.BytesIO()
    pickler = (
        _Pickler(stream, protocol=5, buffer_callback=buffer_callback)
        if blobs is None
        else _BytesPickler(stream, protocol=5, buffer_callback=buffer_callback, blobs=blobs)
    )
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
    blobs = [buffer for buffer in buffers if type(buffer) is bytes]
    if _main.alias is None and not blobs:
        return pickle.loads(body, buffers=buffers)  # noqa: S301 - from a peer that has the token
    others = [buffer for buffer in buffers if type(buffer) is not bytes] if blobs else buffers
    return _Unpickler(body, others, blobs).load()


def python_here() -> str:
    """Return the version of this Python that code by value must fit, for example `"3.11"`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def by_value_meta(pickled: Pickled) -> dict[str, object]:
    """Return what a frame says of a value in which code travels: which Python can load it."""
    return {"python": python_here()} if pickled.by_value else {}


def receive_value(frame: Frame) -> Any:
    """Rebuild a value that has come from a worker.

    Raises:
        PythonMismatchError: Code travels in it, from another minor version of Python.
        NotLoadableError: It needs what is not here, or what its class does raises.
    """
    here, there = python_here(), str(frame.meta.get("python", ""))
    if there not in ("", here):
        msg = (
            "The value that has come was not loaded. There is code in it that has no file, which "
            f"needs the same Python: here it is {here}, there {there}. Return plain data or "
            "objects of a module, or keep it there with .remote()."
        )
        raise PythonMismatchError(msg, here=here, there=there)
    try:
        return loads_frame(frame)
    except Exception as error:
        why = f"Loading it has raised {type(error).__name__}: {error}"
        if isinstance(error, (ImportError, AttributeError)):
            why = f"It needs what is not here: {error}"
        msg = (
            f"The value that has come cannot be loaded. {why}. Use an environment that has what "
            "it needs, or keep it there with .remote()."
        )
        raise NotLoadableError(msg) from error


def loads_frame(frame: Frame) -> Any:
    """Rebuild the value that a frame holds."""
    return loads(frame.body, frame.buffers)
