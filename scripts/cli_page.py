"""Print docs/cli.md: every command with all of its help, as `rh COMMAND --help` has it.

`scripts/docs.sh --write` writes the page; `make check` fails when it is not the present one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from runhouse.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """\
# Command line

This page is made from the commands themselves: `rh COMMAND --help` says the same. Where a cluster
can be left out, it is this machine. `--json` prints one JSON document and nothing else, for
scripts; colours and progress are only shown on a terminal. `rh --install-completion` has bash, zsh
or fish complete commands, options and the names of clusters. `runhouse` is another name of `rh`.
"""


def page() -> str:
    """Return the whole page."""
    root = typer.main.get_command(app)
    parts = [_HEAD, *_commands(root, typer.Context(root, info_name="rh")), *_epilog(root)]
    return "\n".join(parts)


def _commands(group: Any, context: typer.Context) -> Iterator[str]:
    """Yield the parts of a group's commands, and of those of its groups."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        yield f"## {inner.command_path}\n\n{command.help}\n"
        if hasattr(command, "list_commands"):
            yield from _commands(command, inner)
            continue
        usage = " ".join([inner.command_path, *command.collect_usage_pieces(inner)])
        yield f"```text\n{usage}\n```\n"
        yield from _parameters(command, inner)
        yield from _epilog(command)


def _parameters(command: Any, context: typer.Context) -> Iterator[str]:
    """Yield the table of a command's arguments and options."""
    rows = [each.get_help_record(context) for each in command.params]
    yield "| | |\n|---|---|"
    for name, meaning in filter(None, rows):
        yield f"| `{_cell(name)}` | {_cell(meaning).replace('<', chr(92) + '<')} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _epilog(command: Any) -> Iterator[str]:
    """Yield what stands below the options: examples, or exit codes."""
    title, _, lines = (command.epilog or "").lstrip("\b\n").partition("\n")
    if title == "Example:":
        examples = "\n".join(f"$ {line.strip()}" for line in lines.splitlines())
        yield f"```console\n{examples}\n```\n"
    elif title:
        yield f"## {title.rstrip(':')}\n\n```text\n{lines.rstrip()}\n```\n"


if __name__ == "__main__":
    print(page(), end="")
