"""Values, functions and exceptions survive the way to another process."""

from __future__ import annotations

import builtins
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runhouse.errors import (
    CommandTimeoutError,
    ConnectError,
    NotLoadableError,
    NotSerializableError,
    PythonMismatchError,
    RemoteError,
    WorkerDiedError,
)
from runhouse.wire import exceptions, frames, pickling
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Kind
from runhouse.wire.pickling import dumps, loads, loads_frame
from tests.integration import sample


class NeedsTwo(Exception):
    """Have a constructor that pickle cannot call by itself."""

    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint


class Unpicklable(Exception):
    """Hold something that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.held = threading.Lock()


class Frozen(Exception):
    """Let nobody set its attributes, and insist on how it is made."""

    def __new__(cls, *, code: int) -> Frozen:
        """Make it."""
        made = super().__new__(cls)
        made.__dict__["code"] = code
        return made

    def __init__(self, *, code: int) -> None:
        """Take what was given."""
        super().__init__(f"frozen {code}")

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError(name)


class NoFile(FileNotFoundError):
    """Be an error of the system with a constructor of its own kind."""

    def __init__(self, where: Path) -> None:
        """Make the error."""
        super().__init__(2, "there is none", str(where))


class BrokenText(Exception):
    """Fail when its text is made."""

    def __str__(self) -> str:
        raise RuntimeError


def there_and_back(error: BaseException) -> BaseException:
    """Raise, describe, and rebuild an exception."""
    try:
        raise error  # noqa: TRY301 - it is raised to be caught
    except BaseException as raised:  # noqa: BLE001 - any exception is under test
        meta, pickled = exceptions.dump_error(raised)
    return exceptions.load_error(Frame(Kind.ERROR, meta, pickled.body, pickled.buffers))


def test_large_arrays_travel_outside_of_the_stream() -> None:
    array = np.arange(100_000)
    pickled = pickling.dumps({"a": array})
    assert len(pickled.buffers) == 1
    assert len(pickled.body) < 1000
    assert (pickling.loads(pickled.body, pickled.buffers)["a"] == array).all()


def test_small_and_strided_arrays_travel_inside() -> None:
    strided = np.arange(200_000).reshape(2, -1)[:, ::2]
    pickled = pickling.dumps([np.arange(3), strided])
    small, back = pickling.loads(pickled.body, pickled.buffers)
    assert (back == strided).all()
    assert small.tolist() == [0, 1, 2]


def test_code_by_value_is_noticed() -> None:
    offset = 3
    by_value = pickling.dumps(lambda x: x + offset)
    assert by_value.by_value
    assert pickling.loads(by_value.body)(1) == 4
    assert not pickling.dumps([Path, np.mean, {"a": (1, 2)}]).by_value


def test_what_cannot_be_pickled_is_named() -> None:
    with pytest.raises(
        NotSerializableError, match="The arguments cannot be sent: generator"
    ) as caught:
        pickling.dumps((x for x in [1]), what="the arguments")
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no", 3),
        KeyError("key"),
        OSError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        NeedsTwo(3, hint="more"),
        Frozen(code=4),
        NoFile(Path("/a/b")),
        ImportError("no", name="module"),
        WorkerDiedError("died", pid=3, signal_name="SIGKILL"),
        ConnectError("out of reach", host="box"),
        CommandTimeoutError("too long", command="sleep", exit_code=124),
        SystemExit(2),
    ],
)
def test_exceptions_keep_type_text_and_attributes(error: BaseException) -> None:
    back = there_and_back(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__
    assert back.args == error.args
    assert getattr(back, "filename", None) == getattr(error, "filename", None)


def test_exceptions_in_other_values_are_kept_too() -> None:
    back = pickling.loads(pickling.dumps([NeedsTwo(3, hint="more"), {"e": Frozen(code=4)}]).body)
    assert (back[0].hint, str(back[0]), back[1]["e"].code) == ("more", str(NeedsTwo(3, hint="")), 4)
    looping = NeedsTwo(1, hint="")
    looping.myself = looping  # type: ignore[attr-defined]
    again = pickling.loads(pickling.dumps(looping).body)
    assert again.myself is again


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_a_group_keeps_members_with_constructors_of_their_own() -> None:
    group: Any = vars(builtins)["ExceptionGroup"]
    inner = group("inner", [NoFile(Path("/a"))])
    back: Any = there_and_back(group("outer", [NeedsTwo(3, hint="x"), inner]))
    assert isinstance(back, group)
    assert back.exceptions[0].hint == "x"
    assert back.exceptions[1].exceptions[0].filename == "/a"
    mixed = group("outer", [group("inner", [Unpicklable(), KeyError(1)]), ValueError("x")])
    back = there_and_back(mixed)
    members = [type(error) for error in back.exceptions[0].exceptions]
    assert (type(back), members) == (group, [RemoteError, KeyError])
    assert "holds a lock" in str(back.exceptions[0].exceptions[0])


def test_the_remote_traceback_is_shown_with_source_lines() -> None:
    shown = "".join(traceback.format_exception(there_and_back(ValueError("no"))))
    assert "raise error" in shown
    assert shown.count("ValueError: no") == 2


def test_the_chain_of_exceptions_is_kept() -> None:
    outer = ValueError("outer")
    outer.__cause__ = KeyError("inner")
    back = there_and_back(outer)
    assert isinstance(back.__cause__, KeyError)
    assert isinstance(back.__cause__.__cause__, exceptions.RemoteTraceback)


def test_what_an_exception_was_raised_from_may_be_told_in_words() -> None:
    outer, middle = ValueError("outer"), Unpicklable()
    outer.__cause__, middle.__context__ = middle, KeyError("inner")
    back = there_and_back(outer)
    assert (type(back), str(back)) == (ValueError, "outer")
    assert isinstance(back.__cause__, RemoteError)
    assert back.__cause__.type_name.endswith("Unpicklable")
    assert isinstance(back.__cause__.__context__, KeyError)


def test_code_of_another_python_is_not_loaded() -> None:
    class Local(Exception):
        """Have no file that another process imports."""

    try:
        raise Local("text")  # noqa: TRY301 - it is raised to be caught
    except Local as raised:
        meta, pickled = exceptions.dump_error(raised)
    assert meta["python"] == pickling.python_here()
    frame = Frame(Kind.ERROR, {**meta, "python": "3.99"}, pickled.body, pickled.buffers)
    back = exceptions.load_error(frame)
    assert isinstance(back, RemoteError)
    assert back.type_name.endswith("Local")
    value = pickling.dumps(lambda x: x)
    assert pickling.by_value_meta(pickling.dumps(1)) == {}
    frame = Frame(Kind.RESULT, pickling.by_value_meta(value), value.body)
    assert pickling.receive_value(frame)(1) == 1
    with pytest.raises(PythonMismatchError, match="there 3.99") as caught:
        pickling.receive_value(Frame(Kind.RESULT, {"python": "3.99"}, value.body))
    assert (caught.value.here, caught.value.there) == (pickling.python_here(), "3.99")


class Stubborn:
    """Refuse to be loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Make loading fail."""
        return int, ("x",)


def test_what_cannot_be_loaded_is_told() -> None:
    body = b"\x80\x04\x8c\x04gone\x94\x8c\x05Error\x94\x93\x94."
    with pytest.raises(NotLoadableError, match="needs what is not here: No module named 'gone'"):
        pickling.receive_value(Frame(Kind.RESULT, {}, body))
    with pytest.raises(NotLoadableError, match="has raised ValueError: invalid literal"):
        pickling.receive_value(Frame(Kind.RESULT, {}, pickling.dumps(Stubborn()).body))


@pytest.mark.parametrize("error", [Unpicklable(), BrokenText("x")])
def test_others_are_told_in_words(error: Exception) -> None:
    back = there_and_back(error)
    if isinstance(error, Unpicklable):
        assert isinstance(back, RemoteError)
        assert back.type_name.endswith("Unpicklable")
        assert "holds a lock" in str(back)
        assert "raise error" in back.remote_traceback
    else:
        assert type(back) is BrokenText


def test_a_class_unknown_here_is_told_in_words() -> None:
    meta = {"type": "gone.Error", "message": "text", "traceback": "tb"}
    body = b"\x80\x04\x8c\x04gone\x94\x8c\x05Error\x94\x93\x94."
    links = pickling.dumps([("", "gone.Error", "text", body, [])]).body
    back = exceptions.load_error(Frame(Kind.ERROR, dict(meta), links))
    assert isinstance(back, RemoteError)
    assert (back.type_name, back.remote_traceback, str(back)) == (
        "gone.Error",
        "tb",
        "gone.Error: text",
    )


MAIN = """
import pickle, sys
from runhouse.wire import pickling

class Point:
    def __init__(self, x): self.x = x

pickling.set_main_alias("script_of_mine")
pickled = pickling.dumps(Point(3))
assert b"script_of_mine" in bytes(pickled.body), bytes(pickled.body)
assert not pickled.by_value
there = pickle.dumps(Point(4)).replace(b"__main__", b"script_m")
pickling.set_main_alias("script_m")
back = pickling.loads(there)
assert type(back) is Point and back.x == 4
"""


def test_classes_of_a_script_go_by_the_name_of_its_file(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(MAIN)
    subprocess.run([sys.executable, str(script)], check=True, timeout=20)


@pytest.mark.parametrize(
    "value",
    [
        b"x" * 2_000_000,
        ((b"a" * 2_000_000, b"small"), {"other": b"b" * 1_500_000}),
        {"list": [b"c" * 1_100_000, np.arange(200_000), "text", sample.Point(1, 2)]},
        [bytearray(b"d" * 2_000_000), b"e" * (1024 * 1024 - 1), b"f" * 1024 * 1024],
    ],
    ids=["alone", "arguments", "beside-arrays", "at-the-limit"],
)
def test_large_bytes_travel_without_a_copy_in_the_stream(value: object) -> None:
    pickled = dumps(value)
    assert len(pickled.body) < 4_000_000, "what is left is smaller"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frame = Frame(1, {}, pickled.body, pickled.buffers)
        sender = threading.Thread(target=frames.send, args=(ours, frame))
        sender.start()
        received = frames.receive(theirs)
        sender.join()
    assert received is not None
    there = loads_frame(received)
    assert repr(there) == repr(value)
    assert repr(loads(pickled.body, pickled.buffers)) == repr(value)


def test_large_bytes_are_the_same_object_in_the_buffers() -> None:
    large = b"x" * 3_000_000
    pickled = dumps([large, large, "y"])
    assert all(buffer is large for buffer in pickled.buffers)
    assert len(pickled.body) < 1000
    again = loads(pickled.body, pickled.buffers)
    assert again == [large, large, "y"]
    assert hash(again[0]) == hash(large)


def test_bytes_that_are_received_are_whole_and_end_with_a_zero() -> None:
    made, view = frames.allocate_bytes(1_048_577)
    view[:] = b"z" * 1_048_577
    assert made == b"z" * 1_048_577
    assert made.decode().count("z") == 1_048_577
    with pytest.raises(frames.FrameError, match="no memory"):
        frames.allocate_bytes(1 << 62)
