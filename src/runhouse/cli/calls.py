"""The command that calls what is on a cluster."""

from __future__ import annotations

import contextlib
import inspect
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from runhouse.cli.clusters import ClusterArgument, find_up
from runhouse.cli.output import print_json, print_line, remote_errors_told, told
from runhouse.client.endpoint import Target
from runhouse.client.run import Run
from runhouse.clusters.calls import call_options
from runhouse.errors import ObjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runhouse.clusters.calls import Arguments, CallOptions
    from runhouse.clusters.cluster import Cluster

T = TypeVar("T")
_END = object()

NamedArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[--NAME VALUE]...",
        help="Arguments by name; after --, also those that are called like an option here.",
    ),
]
JsonResultOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the result as JSON, each item of a generator on a line; output of the "
        "function goes to stderr.",
    ),
]


def call(
    cluster: ClusterArgument,
    what: Annotated[
        str,
        typer.Argument(
            metavar="KEY[.METHOD]",
            help="A method of a stored object, or the name of a function that was sent there.",
        ),
    ],
    named: NamedArguments = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VALUE",
            help="The next positional argument. Values are read as the function's annotations "
            "say; without one, as JSON, or else as a text.",
        ),
    ] = None,
    run_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Record the run under this name.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End the call after so long.")
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Print the run's key, and let it go on.")
    ] = False,
    as_json: JsonResultOption = False,
) -> None:
    """Call a function or method on a cluster, and print its result.

    Its output appears while it runs. Ctrl-C stops it there, unless it runs in the background.
    """
    facts: dict[str, Any] = {"name": cluster, "call": what}
    with told(as_json=as_json, **facts):
        given = (tuple(arg or ()), _arguments(named or ()))
        options = call_options(run_name=run_name, timeout=timeout)
        calling = _Calling(find_up(cluster), what, given, options)
        with remote_errors_told(as_json=as_json, **facts):
            if not background:
                calling.show_result(as_json=as_json)
                return
            run = calling.start()
        if as_json:
            print_json({**facts, "run": run.key, "id": run.id})
        else:
            print_line(run.key)


@dataclass(frozen=True, slots=True)
class _Calling:
    """Hold what is to be called, and how."""

    cluster: Cluster
    what: str
    given: Arguments
    options: CallOptions

    def start(self) -> Run:
        """Start it in the background."""

        def start(key: str, method: str) -> Run:
            target, calls = Target(key=key), self.cluster.calls
            info = calls.start(
                target, "method", key, self.given, self.options, method=method, arguments="text"
            )
            return Run(self.cluster, info)

        return self._with_key(start)

    def show_result(self, *, as_json: bool) -> None:
        """Call it, and print the result."""
        # A result that is recorded is kept whole; another one is written where its class is known.
        answer = "pickle" if self.options.run_name else "json" if as_json else "repr"

        def ask(key: str, method: str) -> Any:
            target, calls = Target(key=key), self.cluster.calls
            fields = {"method": method, "arguments": "text", "answer": answer}
            return calls.call(target, "method", key, self.given, self.options, **fields)

        with _output_apart(as_json):
            value = self._with_key(ask)
        show_value(value, as_json=as_json, is_text=answer == "repr")

    def _with_key(self, act: Callable[[str, str], T]) -> T:
        """Act on the key and method that are meant: keys may have dots, too.

        Raises:
            ObjectNotFoundError: There is no such key.
        """
        key, _, method = self.what.rpartition(".")
        if not key or not method.isidentifier():
            return act(self.what, "")
        try:
            return act(self.what, "")
        except ObjectNotFoundError as error:
            if error.key != self.what:
                raise
        return act(key, method)


def _arguments(words: Sequence[str]) -> dict[str, list[str]]:
    """Return arguments by name, each as one text.

    Raises:
        ValueError: They are not of the form `--NAME VALUE` or `--NAME=VALUE`.
    """
    named: dict[str, list[str]] = {}
    rest = iter(words)
    for word in rest:
        option, has_value, text = word.partition("=")
        name = option[2:].replace("-", "_")
        if not option.startswith("--") or not name.isidentifier():
            msg = (
                f"{word!r} cannot be used. It is neither --NAME VALUE nor an option. Give "
                "arguments without a name as --arg VALUE."
            )
            raise ValueError(msg)
        if not has_value:
            text = next(rest, "--")
            if text.startswith("--"):
                msg = f"{option} cannot be used. It has no value. Give {option} VALUE or {option}=."
                raise ValueError(msg)
        if name in named:
            msg = f"{option} cannot be used. It is there twice. Give each name once."
            raise ValueError(msg)
        named[name] = [text]
    return named


def _output_apart(as_json: bool) -> contextlib.AbstractContextManager[object]:
    """Keep stdout for the result when that is JSON."""
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()


def show_value(value: Any, *, as_json: bool, is_text: bool = False) -> None:
    """Print a result, or the items of a generator as they come.

    Args:
        value: The result.
        as_json: Print JSON; otherwise what `repr` gives.
        is_text: It is that already.
    """
    if not inspect.isgenerator(value):
        _show(value, as_json=as_json, is_text=is_text, indent=2)
        return
    with contextlib.closing(value):
        while True:
            with _output_apart(as_json):
                item = next(value, _END)
            if item is _END:
                return
            _show(item, as_json=as_json, is_text=is_text, indent=None)


def _show(value: Any, *, as_json: bool, is_text: bool, indent: int | None) -> None:
    if as_json:
        print_json(value, indent=indent)
    else:
        print_line(value if is_text else repr(value))
