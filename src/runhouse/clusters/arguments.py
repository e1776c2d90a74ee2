"""Check what users pass to clusters, before anything is connected."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runhouse.ssh.command import as_line

Creds = Mapping[str, Any]
_LAST_PORT = 65535


def _type_error(what: str, value: object, expected: str) -> TypeError:
    kind = type(value).__name__
    return TypeError(f"{what} cannot be used. It is of type {kind}. Pass {expected}.")


def port(what: str, value: object, *, least: int = 1) -> int:
    """Return a TCP port.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise _type_error(what, value, f"a whole number from {least} to {_LAST_PORT}")
    if not least <= value <= _LAST_PORT:
        msg = (
            f"{what} cannot be {value}. It is no TCP port. "
            f"Pass a whole number from {least} to {_LAST_PORT}."
        )
        raise ValueError(msg)
    return value


def ports(what: str, value: object) -> tuple[int, ...]:
    """Return one or several TCP ports, or none for None."""
    if value is None:
        return ()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return tuple(port(f"{what}[{index}]", each) for index, each in enumerate(value))
    return (port(what, value),)


def number(what: str, value: object, *, least: int) -> int:
    """Return a whole number that is at least so large.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is too small.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise _type_error(what, value, "a whole number")
    if value < least:
        msg = f"{what} cannot be {value}. The least is {least}. Pass {least} or more."
        raise ValueError(msg)
    return value


def idle_minutes(value: object) -> int:
    """Return idle minutes.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is 0, or less than -1.
    """
    minutes = number("autostop_mins", value, least=-1)
    if minutes == 0:
        msg = "autostop_mins cannot be 0. The machines would go at once. Pass 1 or more, or -1."
        raise ValueError(msg)
    return minutes


def seconds(what: str, value: object, *, above: float | None = None) -> float:
    """Return a number of seconds.

    Args:
        what: The argument's name.
        value: What was given.
        above: The number must be greater than this; None: at least 0.

    Raises:
        TypeError: It is no number.
        ValueError: It is out of range.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise _type_error(what, value, "a number of seconds")
    least = "more than 0" if above is not None else "0 or more"
    if not math.isfinite(value) or value < 0 or value == above:
        msg = f"{what} cannot be {value}. It is a number of seconds. Pass {least}."
        raise ValueError(msg)
    return float(value)


def text(what: str, value: object) -> str:
    """Return a text that is not empty and has no control characters.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty, or has more than one line.
    """
    if not isinstance(value, str):
        raise _type_error(what, value, "a text")
    if not value or not value.isprintable():
        msg = (
            f"{what} cannot be {value!r}. It is empty, or has a character that cannot be shown. "
            "Pass a text of one line."
        )
        raise ValueError(msg)
    return value


def key(what: str, value: object) -> str:
    """Return a key or public name that is looked for: a text that can stand in a path of HTTP.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty, or has a character that no key has.
    """
    found = text(what, value)
    if "/" in found:
        msg = (
            f"{what} cannot be {found!r}. No key has a slash. Look at cluster.keys() and "
            "cluster.runs() for what there is."
        )
        raise ValueError(msg)
    return found


def member(what: str, value: object) -> str:
    """Return the name of a method or attribute; it may be empty.

    Raises:
        TypeError: It is no text.
    """
    if not isinstance(value, str):
        raise _type_error(what, value, "the name of a method or attribute as a text")
    return value


def path(what: str, value: object) -> str:
    """Return a path as a text.

    Raises:
        TypeError: It is neither a text nor a path.
        ValueError: It is empty or has a NUL character.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise _type_error(what, value, "a path")
    found = os.fspath(value)
    if not isinstance(found, str) or not found or "\0" in found:
        msg = f"{what} cannot be {found!r}. That is not a path of text. Pass the path of a file."
        raise ValueError(msg)
    return found


def texts(what: str, value: object) -> tuple[str, ...]:
    """Return one text, or several, as a tuple.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray)):
        raise _type_error(what, value, "a text or a list of texts")
    for index, each in enumerate(value):
        if not isinstance(each, str):
            raise _type_error(f"{what}[{index}]", each, "a text")
    return tuple(value)


def iterable(what: str, value: object) -> Iterable[Any]:
    """Return what can be iterated over.

    Raises:
        TypeError: It cannot.
    """
    if not isinstance(value, Iterable):
        raise _type_error(what, value, "a list or another iterable")
    return value


def commands(value: object) -> tuple[str, ...]:
    """Return shell commands, each of which a host can run.

    Raises:
        TypeError: They are no texts.
        ValueError: There is none, or one cannot be run.
    """
    return tuple(as_line(line) for line in _some(texts("commands", value)))


def program(value: object) -> tuple[str, ...]:
    """Return the lines of a Python program.

    Raises:
        TypeError: They are no texts.
        ValueError: There is none, or one has a character that no program has.
    """
    lines = _some(texts("commands", value))
    for index, line in enumerate(lines):
        if "\0" in line or any("\ud800" <= sign <= "\udfff" for sign in line):
            msg = (
                f"commands[{index}] cannot be run. It has a NUL character, or half of one that is "
                "not Unicode. Write the character as an escape in the program."
            )
            raise ValueError(msg)
    return lines


def _some(lines: tuple[str, ...]) -> tuple[str, ...]:
    if not lines:
        msg = "There is no command to run. The list is empty. Pass at least one command."
        raise ValueError(msg)
    return lines


def nodes(ips: Sequence[str], node: object) -> list[int]:
    """Return the indices of the nodes that a user means.

    Raises:
        TypeError: It is neither an index nor an address.
        ValueError: There is no such node.
    """
    if node is None:
        return [0]
    if isinstance(node, bool) or not isinstance(node, (int, str)):
        raise _type_error("node", node, 'an index, an address or "all"')
    if node == "all":
        return list(range(len(ips)))
    if isinstance(node, int) and 0 <= node < len(ips):
        return [node]
    if isinstance(node, str) and node in ips:
        return [ips.index(node)]
    msg = (
        f"There is no node {node!r}. The nodes are {', '.join(map(repr, ips))}, counted from 0. "
        'Pass an index, an address or "all".'
    )
    raise ValueError(msg)


def hosts(value: object) -> tuple[str, ...]:
    """Return one host, or several, as a tuple.

    Raises:
        TypeError: It is neither a text nor a list of texts.
        ValueError: There is none, or a password stands in one.
    """
    if value is None:
        raise _type_error("host", value, "a name or address such as 'user@box', or a list of these")
    found = tuple(text("host", each) for each in texts("host", value))
    if not found:
        msg = "host cannot be an empty list. A cluster has at least one host. Pass its name."
        raise ValueError(msg)
    for each in found:
        if ":" in each.rpartition("@")[0]:
            place = each.rpartition("@")[2]
            msg = (
                f"The host ...@{place} cannot be used. There is a colon before its @, and no user "
                "has one. Pass a password as ssh_creds={'password': ...}."
            )
            raise ValueError(msg)
    return found


def creds(value: object, host_count: int) -> tuple[dict[str, Any], ...]:
    """Return credentials as dicts: none, one for all hosts, or one for each.

    Raises:
        TypeError: They are no dict and no list of dicts.
        ValueError: There are more or fewer than hosts.
    """
    if value is None:
        return ()
    given = [value] if isinstance(value, Mapping) else value
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
        raise _type_error("ssh_creds", value, "a dict such as {'ssh_user': 'ada'}, or several")
    for index, each in enumerate(given):
        if not isinstance(each, Mapping):
            raise _type_error(f"ssh_creds[{index}]", each, "a dict such as {'ssh_user': 'ada'}")
    if len(given) > 1 and len(given) != host_count:
        msg = (
            f"The credentials do not fit the hosts. There are {len(given)} of them for "
            f"{host_count} hosts. Pass one dict for all, or one for each host."
        )
        raise ValueError(msg)
    return tuple({key: item for key, item in each.items() if item is not None} for each in given)
