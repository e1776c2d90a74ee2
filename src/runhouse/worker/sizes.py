"""How large objects are, as well as can be told quickly and without running anybody's code."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict, deque
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Kinds of array whose `nbytes` is a figure that they know.
_ARRAYS = frozenset({"numpy", "torch", "cupy", "jaxlib"})
_SEVERAL = (list, tuple, set, frozenset, deque)
_MAPPINGS = (dict, OrderedDict)
# Of containers with more than this, a part is looked at.
_MOST_PARTS = 2_000
# The server waits for a second.
_LONGEST_S = 0.3


def sizes_of(objects: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes of objects in bytes by key; those that take too long are left out."""
    end = time.monotonic() + _LONGEST_S
    sizes = {}
    for key, value in objects.items():
        if time.monotonic() > end:
            break
        sizes[key] = size_of(value)
    return sizes


def size_of(value: object) -> int:
    """Return about how many bytes a value takes, with what it holds.

    What is shared is counted once; of a value of very many parts, only the first few thousand are.
    Of an object of an unknown class it is the attributes: the figure may be too small.
    """
    seen: set[int] = set()
    waiting: deque[object] = deque([value])
    total = 0
    while waiting and len(seen) < _MOST_PARTS:
        part = waiting.popleft()
        if id(part) in seen:
            continue
        seen.add(id(part))
        total += _own_size(part)
        waiting.extend(islice(_parts(part), _MOST_PARTS))
    return total


def _own_size(value: object) -> int:
    """Return the size of a value without its parts; no method of a user's class is called."""
    cls = type(value)
    module = cls.__module__.partition(".")[0]
    if module in _ARRAYS:
        size = getattr(value, "nbytes", None)
        return size if isinstance(size, int) else 0
    if module == "pandas" and hasattr(value, "memory_usage"):
        used: Any = value.memory_usage(deep=False)
        return int(getattr(used, "sum", lambda: used)())
    return sys.getsizeof(value, 0) if module == "builtins" else object.__sizeof__(value)


def _parts(value: object) -> Iterable[object]:
    """Return what a value holds; copied at once, since others may change it meanwhile."""
    if isinstance(value, type):
        return ()
    if type(value) in _MAPPINGS:
        mapping: dict[object, object] = value  # type: ignore[assignment]
        return [each for pair in list(mapping.items()) for each in pair]
    if type(value) in _SEVERAL:
        return list(value)  # type: ignore[call-overload, no-any-return]
    if type(value).__module__.partition(".")[0] in (*_ARRAYS, "pandas", "builtins"):
        return ()
    attributes = getattr(value, "__dict__", None)
    return list(attributes.values()) if type(attributes) is dict else ()
