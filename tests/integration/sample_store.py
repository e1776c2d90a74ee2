"""What the tests of the object store and of nested calls send to clusters."""

from __future__ import annotations

import builtins
import json
import logging
import multiprocessing
import sys
import time
import types
import xml.parsers.expat
import zoneinfo
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import runhouse as rh
from tests.integration.sample import SampleError, fail_unpicklably

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("sample")


class Box:
    """Hold a value, and be a sequence."""

    def __init__(self, *values: int) -> None:
        """Store the values."""
        self.values = list(values)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.values)

    def __getitem__(self, index: int) -> int:
        """Return one value."""
        return self.values[index]

    def __iter__(self) -> Iterator[int]:
        """Yield the values, and say so."""
        for value in self.values:
            print("value", value)
            yield value

    @property
    def total(self) -> int:
        """Return the sum."""
        return sum(self.values)

    def add(self, value: int) -> int:
        """Take another value."""
        self.values.append(value)
        return len(self.values)


def keep_here(key: str, value: Any) -> int:
    """Put an object without a copy; return its identity."""
    rh.here.put(key, value)
    return id(value)


def identity_of(key: str) -> int:
    """Return the identity of a stored object as this worker sees it."""
    return id(rh.here.get(key))


def value_of(key: str) -> Any:
    """Return a stored object from wherever it is."""
    return rh.here.get(key, KeyError)


def rename_and_delete(old: str, new: str, unwanted: str) -> list[str]:
    """Change keys that another worker holds."""
    rh.here.rename(old, new)
    rh.here.delete(unwanted)
    return rh.here.keys()


def allocate(key: str, megabytes: int) -> int:
    """Put an object of a size."""
    rh.here.put(key, bytearray(megabytes * 1_000_000))
    return megabytes


def fill(megabytes: int) -> bytes:
    """Return bytes that use memory."""
    return b"x" * (megabytes * 1_000_000)


def put_many(number: int) -> None:
    """Put many objects."""
    for value in range(number):
        rh.here.put(f"key-{value}", value)


def speak_while_counting(number: int, mark: str) -> Iterator[int]:
    """Yield numbers, printing and logging before each; note when each was made."""
    for value in range(number):
        print("print", value)
        log.warning("log %s", value)
        with Path(mark).open("a") as file:
            file.write(f"{time.time()}\n")
        yield value
        time.sleep(0.2)


def nested(speak: Callable[[str], object], text: str) -> str:
    """Call another function, which is elsewhere, and print before and after."""
    print("before", text)
    speak(text)
    print("after", text)
    return text


def print_and_log(text: str) -> None:
    """Say something in two ways."""
    print("inner print", text)
    log.warning("inner log %s", text)


def wait_for(function: Callable[[float], object], seconds: float) -> object:
    """Call a function that takes long."""
    return function(seconds)


def use_processes(number: int) -> list[int]:
    """Compute in child processes, in both ways that the standard library has."""
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            results = list(pool.map(abs, range(-number, 0)))
    process = multiprocessing.get_context("fork").Process(target=print, args=("from a child",))
    process.start()
    process.join()
    return results


def fail_in_group() -> None:
    """Raise a group of exceptions, where Python has them."""
    group = getattr(builtins, "ExceptionGroup", ValueError)
    raise group("several", [ValueError("one"), SampleError(2, hint="more")])


def fail_in_group_unknown() -> None:
    """Raise a group, one of whose members is of a class that the client cannot import."""
    group = getattr(builtins, "ExceptionGroup", ValueError)
    unknown = make_module().Thing("unknown here")
    raise group(
        "several", [KeyError("one"), group("inner", [unknown, SampleError(2, hint="more")])]
    )


def fail_from_a_lock() -> None:
    """Raise an exception whose cause cannot be pickled."""
    try:
        fail_unpicklably()
    except ValueError as error:
        message = "outer"
        raise KeyError(message) from error


def fail_in_c() -> None:
    """Raise an exception whose class is made in C."""
    xml.parsers.expat.ParserCreate().Parse("<a></b>", True)


def fail_to_read() -> None:
    """Raise an exception with more than one argument, from the standard library."""
    json.loads("{")


def fail_to_find() -> None:
    """Raise a subclass of KeyError."""
    zoneinfo.ZoneInfo("No/Where")


def make_module() -> types.ModuleType:
    """Return a module that only this process knows."""
    module = types.ModuleType("only_on_the_host")
    exec("class Thing(Exception):\n    pass\n", module.__dict__)  # noqa: S102
    sys.modules[module.__name__] = module
    return module


def return_unknown() -> Any:
    """Return an object of a class that the client cannot import."""
    return make_module().Thing()


def return_errors() -> list[Exception]:
    """Return exceptions, as `asyncio.gather` may do."""
    return [SampleError(3, hint="more")]


def return_code() -> Callable[[int], int]:
    """Return a function that has no name in a module."""
    return lambda x: 2 * x


def yield_code() -> Iterator[Callable[[int], int]]:
    """Yield functions that have no name in a module."""
    yield return_code()


def raise_unknown() -> None:
    """Raise an exception of a class that the client cannot import."""
    thing = make_module().Thing
    message = "unknown here"
    raise thing(message)
