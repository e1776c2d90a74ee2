"""Functions and classes that the tests send to clusters."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

log = logging.getLogger(__name__)


@dataclass
class Point:
    """Be a class that both sides know."""

    x: int
    y: int = 0


class SampleError(Exception):
    """Have a constructor of its own kind."""

    def __init__(self, code: int, *, hint: str) -> None:
        """Make a text of the code."""
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def identity(value: Any) -> Any:
    """Return the argument."""
    return value


def move(point: Point, by: int) -> Point:
    """Return a new point."""
    return Point(point.x + by, point.y)


def make_point(x: int, y: int = 0) -> Point:
    """Return a point."""
    return Point(x, y)


def nested_list(timeout: Any, json: Any) -> list[Any]:
    """Have parameters that are called like options of the command line."""
    return [timeout, json]


def leave_by_exit(code: int) -> None:
    """Raise what ends a program."""
    sys.exit(code)


def has_module(name: str) -> bool:
    """Tell whether a module can be imported here."""
    return importlib.util.find_spec(name) is not None


def pid() -> int:
    """Return the worker's process id."""
    return os.getpid()


def where() -> tuple[str, str]:
    """Return the interpreter and the working directory."""
    return sys.executable, os.getcwd()


def size_of(data: bytes) -> int:
    """Return how many bytes arrived."""
    return len(data)


def make_bytes(size: int) -> bytes:
    """Return that many bytes."""
    return bytes(size)


async def add_later(a: int, b: int) -> int:
    """Add two numbers after a while."""
    await asyncio.sleep(0.01)
    return a + b


def count_to(number: int, pause_s: float = 0.0) -> Iterator[int]:
    """Yield numbers one by one."""
    for value in range(number):
        time.sleep(pause_s)
        yield value


async def count_later(number: int) -> AsyncIterator[int]:
    """Yield numbers one by one."""
    for value in range(number):
        await asyncio.sleep(0)
        yield value


def speak(text: str) -> str:
    """Write in every way that Python has."""
    print(text)
    print(text, file=sys.stderr)
    log.warning("warning %s", text)
    log.info("info %s", text)
    sys.stdout.buffer.write(f"bytes {text}\n".encode())
    return text


def speak_in_thread(text: str) -> None:
    """Print from a thread."""
    thread = threading.Thread(target=print, args=(text,))
    thread.start()
    thread.join()


def speak_in_c(text: str) -> None:
    """Write past Python: from C, and from a child process."""
    ctypes.CDLL(None).puts(text.encode())
    subprocess.run(["sh", "-c", f"echo child {text}"], check=True)


def speak_often(text: str, times: int) -> None:
    """Print many lines."""
    for number in range(times):
        print(text, number)


def fail(code: int) -> None:
    """Raise an exception with a constructor of its own."""
    raise SampleError(code, hint="more")


def fail_unpicklably() -> None:
    """Raise an exception that cannot be pickled."""
    error = ValueError("holds a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


def wait(seconds: float, mark: str = "") -> str:
    """Sleep, and leave a mark when the sleep was cut short."""
    try:
        time.sleep(seconds)
    except BaseException:
        if mark:
            Path(mark).write_text("stopped")
        raise
    return "slept"


def spin(mark: str) -> None:
    """Compute without end."""
    Path(mark).write_text("started")
    while True:
        sum(range(100))


def mark(path: str) -> int:
    """Append a line to a file and return how many there are."""
    with Path(path).open("a") as file:
        file.write("called\n")
    return len(Path(path).read_text().splitlines())


def mark_slowly(path: str, seconds: float) -> int:
    """Do the same after a while, printing meanwhile."""
    for number in range(5):
        print("step", number)
        time.sleep(seconds / 5)
    return mark(path)


def mark_and_speak(path: str, lines: int) -> list[int]:
    """Append a line to a file, print lines one by one, and return how many calls there were."""
    count = mark(path)
    for number in range(lines):
        print("line", number)
        time.sleep(0.03)
    return [count]


def mark_and_count(path: str, number: int) -> Iterator[int]:
    """Append a line to a file, and yield numbers with a line of output before each."""
    mark(path)
    for value in range(number):
        print("before", value)
        time.sleep(0.03)
        yield value


def wait_in_c(mark: str) -> None:
    """Wait where Python cannot be interrupted."""
    Path(mark).write_text("waiting")
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def spin_for(seconds: float) -> str:
    """Compute for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sum(range(100))
    return "computed"


async def wait_later(seconds: float, mark: str) -> str:
    """Sleep without blocking, and leave a mark when that was cut short."""
    file = Path(mark)
    await asyncio.to_thread(file.write_text, "started")
    try:
        await asyncio.sleep(seconds)
    except BaseException:
        file.write_text("stopped")  # noqa: ASYNC240 - the task is ending
        raise
    return "slept"


def fail_first(path: str, times: int) -> int:
    """Raise in the first calls, and then return how many there were."""
    count = mark(path)
    if count <= times:
        message = f"call {count}"
        raise ConnectionError(message)
    return count


def speak_and_wait(text: str, seconds: float) -> None:
    """Print, and sleep."""
    print(text)
    time.sleep(seconds)


def count_and_speak(number: int) -> Iterator[int]:
    """Yield numbers, printing each."""
    for value in range(number):
        print(value)
        yield value


def same_object(first: object, second: object) -> bool:
    """Tell whether both arguments are one object."""
    return first is second


def call_another(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function that came as an argument."""
    return function(*args)


def sleep_and_return(seconds: float) -> float:
    """Return the argument after so many seconds."""
    time.sleep(seconds)
    return seconds


def fail_at_three(number: int) -> int:
    """Return the argument, unless it is 3."""
    if number == 3:
        message = "three"
        raise ValueError(message)
    return number


def die(number: int) -> None:
    """End the worker by a signal."""
    print("about to die", flush=True)
    os.kill(os.getpid(), number)
    time.sleep(10)


def crash() -> None:
    """End the worker by a fault in C code, on one of many threads."""
    crashing = threading.Thread(target=_crash)
    crashing.start()
    for _ in range(20):
        threading.Thread(target=crashing.join, daemon=True).start()
    crashing.join()


def _crash() -> None:
    time.sleep(0.2)
    ctypes.string_at(0)


def leave(code: int) -> None:
    """End the worker by its own will."""
    os._exit(code)


class Counter:
    """Keep a total."""

    kind = "counter"

    def __init__(self, start: int = 0) -> None:
        """Start from a number."""
        self.total = start

    def add(self, amount: int = 1) -> int:
        """Add to the total and return it."""
        self.total += amount
        return self.total

    def pid(self) -> int:
        """Return the worker's process id."""
        return os.getpid()

    def numbers(self) -> Iterator[int]:
        """Yield the numbers up to the total."""
        yield from range(self.total)

    async def add_later(self, amount: int) -> int:
        """Add after a while."""
        await asyncio.sleep(0.01)
        return self.add(amount)

    async def numbers_later(self) -> AsyncIterator[int]:
        """Yield the numbers up to the total."""
        for number in range(self.total):
            yield number

    @staticmethod
    def double(number: int) -> int:
        """Double a number."""
        return 2 * number

    @classmethod
    def named(cls) -> str:
        """Return the class's name."""
        return cls.__name__

    def fail(self) -> None:
        """Raise."""
        raise SampleError(self.total, hint="from a method")
