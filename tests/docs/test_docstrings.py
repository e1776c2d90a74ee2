"""Everything public has a whole docstring, and the examples in them do what they show."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import inspect
import re
import textwrap
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.bootstrap.host import Tunnel
from runhouse.clusters.status import AutostopStatus, CloudStatus, WorkerStatus
from runhouse.clusters.tokens import Token, Tokens
from runhouse.proxies.calling import Calling
from runhouse.proxies.remote_class import RemoteClass
from runhouse.server.nodes import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

# What public functions return, and is documented beside them.
_BESIDE = [
    Calling,
    RemoteClass,
    Token,
    Tokens,
    Tunnel,
    AutostopStatus,
    CloudStatus,
    NodeStatus,
    WorkerStatus,
]
_RETURNS = re.compile(r"(Return|Tell|Yield)\b")
_CALLABLE = (staticmethod, classmethod)


def _public() -> Iterator[tuple[str, Any]]:
    """Yield the public names and members of ours, each once; properties as they are."""
    seen = set()
    found = [(name, getattr(rh, name)) for name in rh.__all__ if name != "here"]
    found += [(kind.__name__, kind) for kind in _BESIDE]
    found.append(("run.attach", rh.run.attach))
    for name, value in found:
        parts = [(name, value)]
        if inspect.isclass(value):
            members = [(each, inspect.getattr_static(value, each)) for each in dir(value)]
            parts += [(f"{name}.{member}", what) for member, what in members if member[0] != "_"]
        for each, what in parts:
            what = what.__func__ if isinstance(what, _CALLABLE) else what
            if _is_ours(what) and id(what) not in seen:
                seen.add(id(what))
                yield each, what


def _is_ours(what: object) -> bool:
    if isinstance(what, (property, cached_property)):
        what = what.fget if isinstance(what, property) else what.func
    known = inspect.isfunction(what) or inspect.isclass(what)
    ours = str(getattr(what, "__module__", "")).startswith("runhouse.")
    return known and ours and ":meta private:" not in (what.__doc__ or "")


PUBLIC = dict(_public())
PROPERTIES = {
    name for name, what in PUBLIC.items() if isinstance(what, (property, cached_property))
}
ERRORS = {
    name for name, what in PUBLIC.items() if inspect.isclass(what) and issubclass(what, (Exception))
}
CLASSES = {name for name, what in PUBLIC.items() if inspect.isclass(what)} - ERRORS
FUNCTIONS = PUBLIC.keys() - PROPERTIES - ERRORS - CLASSES


def _sections(text: str) -> dict[str, str]:
    """Return the summary and the sections of a docstring in Google's form."""
    parts = re.split(
        r"^(Args|Attributes|Returns|Yields|Raises|Example):$", text, flags=re.MULTILINE
    )
    names = ["", *parts[1::2]]
    return {
        name: textwrap.dedent(body).strip("\n")
        for name, body in zip(names, parts[::2], strict=True)
    }


def _of(name: str) -> dict[str, str]:
    return _sections(inspect.getdoc(PUBLIC[name]) or "")


@pytest.mark.parametrize("name", PUBLIC)
def test_it_begins_with_a_sentence(name: str) -> None:
    summary = (inspect.getdoc(PUBLIC[name]) or "").partition("\n")[0]
    assert summary.endswith(".")
    assert summary[0].isupper()


@pytest.mark.parametrize("name", sorted(PROPERTIES))
def test_a_property_has_no_colon_in_its_summary(name: str) -> None:
    summary = (inspect.getdoc(PUBLIC[name]) or "").partition("\n")[0]
    assert not re.search(r":(?!`)", summary), "Sphinx takes what is before it for a type"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_parameters_are_explained(name: str) -> None:
    explained = set(re.findall(r"^\*{0,2}(\w+): ", _of(name).get("Args", ""), re.MULTILINE))
    parameters = set(inspect.signature(PUBLIC[name]).parameters)
    assert parameters - ({"self", "cls"} if "." in name else set()) == explained


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_what_is_returned_is_told(name: str) -> None:
    returned = inspect.signature(PUBLIC[name]).return_annotation
    sections = _of(name)
    told = sections.keys() & {"Returns", "Yields"} or _RETURNS.match(sections[""])
    assert told or returned in ("None", "Iterator[None]", inspect.Signature.empty)
    first = sections.get("Returns", "").partition("\n\n")[0]
    assert not re.match(r"[^`.(]*: ", first), "Sphinx takes what is before the colon for a type"


def _raised(what: Any) -> set[str]:
    """Return the names of what a function's own lines raise."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(what)))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
    calls = [each.func if isinstance(each, ast.Call) else each for each in raised]
    return {each.id for each in calls if isinstance(each, ast.Name) and each.id[0].isupper()}


@pytest.mark.parametrize("name", sorted(FUNCTIONS | PROPERTIES))
def test_what_it_raises_is_told(name: str) -> None:
    what = PUBLIC[name]
    code = getattr(what, "fget", None) or getattr(what, "func", None) or what
    told = re.findall(r"^([\w, ]+): ", _of(name).get("Raises", ""), re.MULTILINE)
    assert _raised(code) <= {each for names in told for each in names.split(", ")}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_facts_of_an_error_are_explained(name: str) -> None:
    kind = PUBLIC[name]
    explained = set()
    for base in kind.__mro__:
        text = _sections(inspect.cleandoc(base.__doc__ or "")).get("Attributes", "")
        explained |= set(re.findall(r"^(\w+): ", text, re.MULTILINE))
    if inspect.isfunction(kind.__init__):  # one of ours
        assert set(inspect.signature(kind).parameters) - {"message"} <= explained


def _needs_example(name: str) -> bool:
    """Tell whether nothing else shows how it is used.

    Data are made by others, and what overrides a method is used as that is.
    """
    kind_name, _, member = name.partition(".")
    kind = PUBLIC.get(kind_name)
    if dataclasses.is_dataclass(kind):
        return False
    bases = kind.__mro__[1:] if member and inspect.isclass(kind) else ()
    overridden = [vars(base)[member] for base in bases if member in vars(base)]
    return all(getattr(each, "__func__", each) is PUBLIC[name] for each in overridden)


@pytest.mark.parametrize("name", sorted(filter(_needs_example, FUNCTIONS | CLASSES)))
def test_there_is_an_example(name: str) -> None:
    assert ">>> " in _of(name).get("Example", "")


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    """End the cluster that the examples have shared."""
    yield
    rh.here.stop()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", PUBLIC)
def test_its_example_does_what_it_shows(name: str) -> None:
    text = inspect.getdoc(PUBLIC[name]) or ""
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
