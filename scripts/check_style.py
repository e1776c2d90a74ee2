"""Hold the figures of this project's style; end with code 1 when one misses its target.

Here are those that need the whole tree: import cycles, annotations, raises, sizes.
"""

from __future__ import annotations

import ast
import graphlib
import io
import sys
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = "runhouse"
LONGEST_FILE = 1_000
LONG_FILE = 400
GENERIC_SHARE_PERCENT = 15.0
TEST_RATIO = 1.0

# Files between 400 and 1,000 lines, each with the reason why it is still one thing.
LONG_FILES: dict[str, str] = {
    "src/runhouse/errors.py": "all errors are one tree, which is learnt from one page",
    # Of these, half are the docstrings of what users call, with their examples.
    "src/runhouse/clusters/on_demand.py": "the life of one kind of cluster, as its users see it",
    "src/runhouse/proxies/module.py": "what a module can do, and how a proxy of one is made",
    "src/runhouse/specs/folder.py": "what can be done with a folder",
    "src/runhouse/specs/secret.py": "what can be done with a secret",
}

# Modules and folders that parse what users pass: TypeError and ValueError are right there.
ARGUMENT_PARSERS: dict[str, str] = {
    "src/runhouse/clusters/arguments.py": "arguments of rh.cluster and its methods",
    "src/runhouse/clusters/cloud.py": "arguments of rh.ondemand_cluster",
    "src/runhouse/clusters/commands.py": "arguments of run and run_python",
    "src/runhouse/clusters/factory.py": "arguments of rh.cluster become a kind of cluster",
    "src/runhouse/proxies/function.py": "arguments of rh.function",
    "src/runhouse/proxies/module.py": "arguments of rh.module",
    "src/runhouse/proxies/source.py": "'module:name' texts become a source",
    "src/runhouse/specs/": "what users say about envs, folders and secrets",
    "src/runhouse/cli/": "words of the command line",
    "src/runhouse/ssh/command.py": "commands for the host's shell",
    "src/runhouse/ssh/session.py": "arguments of run and forward_port",
    "src/runhouse/ssh/sync.py": "paths and filters of transfers",
    "src/runhouse/ssh/target.py": "host strings and ssh_creds become a target",
}

ARGUMENT_ERRORS = frozenset({"TypeError", "ValueError"})
NEVER_RAISED = frozenset({"BaseException", "Exception", "RuntimeError"})
GENERIC = (
    ARGUMENT_ERRORS
    | NEVER_RAISED
    | {"AssertionError", "AttributeError", "IndexError", "KeyError", "LookupError"}
    | {"NotImplementedError", "OSError"}
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """Hold one Python file, parsed.

    Attributes:
        path: Its path from the top of the project, with forward slashes.
        module: Its dotted name, for files of the package; otherwise empty.
        text: Its text.
        tree: Its syntax tree.
    """

    path: str
    module: str
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        """Whether this is the `__init__.py` of a folder."""
        return self.path.endswith("/__init__.py")


@dataclass(slots=True)
class Figure:
    """Hold one line of the table.

    Attributes:
        name: What is counted.
        target: What it should be.
        value: What it is.
        problems: One line for each place that must change; the figure is met when there are none.
    """

    name: str
    target: str
    value: str = ""
    problems: list[str] = field(default_factory=list)


def read(root: Path, *folders: str) -> list[Source]:
    """Parse all Python files under some folders of the project."""
    sources = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            relative = path.relative_to(root)
            parts = relative.with_suffix("").parts
            module = ""
            if parts[:2] == ("src", PACKAGE):
                module = ".".join(parts[1:]).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text, filename=str(relative))
            sources.append(Source(relative.as_posix(), module, text, tree))
    return sources


def _is_type_checking(test: ast.expr) -> bool:
    """Tell whether a condition is `TYPE_CHECKING`."""
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _imports_when_loaded(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that are executed when the module is loaded."""
    if isinstance(node, ast.If) and _is_type_checking(node.test):
        for statement in node.orelse:
            yield from _imports_when_loaded(statement)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node
    elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        for child in ast.iter_child_nodes(node):
            yield from _imports_when_loaded(child)


def _imported(source: Source, statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Yield what a statement imports, as (module, name in it or empty)."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield alias.name, ""
        return
    base = statement.module or ""
    if statement.level:
        package = source.module.split(".")
        keep = len(package) - statement.level + (1 if source.is_package else 0)
        base = ".".join([*package[:keep], *filter(None, [statement.module])])
    for alias in statement.names:
        yield base, alias.name


def _is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def import_cycles(sources: Iterable[Source]) -> Figure:
    """Look for modules that import each other when they are loaded."""
    figure = Figure("modules in an import cycle", "0", "0")
    by_module = {source.module: source for source in sources if source.module}
    graph: dict[str, set[str]] = {}
    for module, source in by_module.items():
        edges = graph.setdefault(module, set())
        for statement in _imports_when_loaded(source.tree):
            for base, name in _imported(source, statement):
                target = f"{base}.{name}" if f"{base}.{name}" in by_module else base
                if target in by_module and target != module:
                    edges.add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        cycle: list[str] = list(reversed(error.args[1]))
        figure.value = str(len(cycle) - 1)
        figure.problems.append(f"import cycle: {' -> '.join(cycle)}")
    return figure


def _functions(tree: ast.AST) -> Iterator[tuple[Function, bool]]:
    """Yield every function, and whether its first parameter is bound (self or cls)."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                static = any(
                    isinstance(mark, ast.Name) and mark.id == "staticmethod"
                    for mark in child.decorator_list
                )
                yield child, isinstance(node, ast.ClassDef) and not static


def imports_in_functions(sources: Iterable[Source]) -> Figure:
    """Look for imports of our own modules inside functions."""
    figure = Figure("own imports inside functions", "0")
    for source in sources:
        found = {
            statement.lineno
            for function, _ in _functions(source.tree)
            for statement in ast.walk(function)
            if isinstance(statement, (ast.Import, ast.ImportFrom))
            and any(_is_ours(base) for base, _ in _imported(source, statement))
        }
        figure.problems += [f"{source.path}:{line}: import it at the top" for line in sorted(found)]
    figure.value = str(len(figure.problems))
    return figure


def _is_annotated(function: Function, *, bound: bool) -> bool:
    """Tell whether all parameters and the result have a type."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    others = [*arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    needed = [*positional[1 if bound else 0 :], *(other for other in others if other is not None)]
    return function.returns is not None and all(argument.annotation for argument in needed)


def annotated_functions(sources: Iterable[Source]) -> Figure:
    """Look for functions that are not fully annotated."""
    figure = Figure("functions fully annotated", "100 %")
    count = 0
    for source in sources:
        for function, bound in _functions(source.tree):
            count += 1
            if not _is_annotated(function, bound=bound):
                figure.problems.append(f"{source.path}:{function.lineno}: annotate {function.name}")
    share = 100.0 * (count - len(figure.problems)) / max(count, 1)
    figure.value = f"{share:.1f} %"
    return figure


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def silent_excepts(sources: Iterable[Source]) -> Figure:
    """Look for `except:` without a type and for handlers that only pass."""
    figure = Figure("bare or passing excepts", "0")
    for source in sources:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            if node.type is None:
                figure.problems.append(f"{source.path}:{node.lineno}: name what is caught")
            elif all(_does_nothing(statement) for statement in node.body):
                figure.problems.append(f"{source.path}:{node.lineno}: handle it, or suppress() it")
    figure.value = str(len(figure.problems))
    return figure


def file_sizes(sources: Iterable[Source], reasons: dict[str, str]) -> Figure:
    """Look for files that are too long, and for reasons that are not needed any more."""
    figure = Figure(f"files over {LONG_FILE} lines without a reason", "0")
    long_files = set()
    for source in sources:
        lines = len(source.text.splitlines())
        if lines > LONG_FILE:
            long_files.add(source.path)
        if lines > LONGEST_FILE:
            figure.problems.append(f"{source.path}: {lines} lines; split it, no reason is enough")
        elif lines > LONG_FILE and source.path not in reasons:
            figure.problems.append(f"{source.path}: {lines} lines; what second thing has moved in?")
    for path in sorted(set(reasons) - long_files):
        figure.problems.append(f"{path}: not a long file; remove it from LONG_FILES")
    figure.value = str(len(figure.problems))
    return figure


def _raised(node: ast.Raise) -> str | None:
    """Return the name of what is raised; None for a `raise` that passes an error on."""
    raised = node.exc
    if isinstance(raised, ast.Call):
        raised = raised.func
    elif isinstance(raised, ast.Name) and not raised.id[:1].isupper():
        return None
    if isinstance(raised, ast.Name):
        return raised.id
    return None if raised is None else ast.unparse(raised)


def _protocol_raises(tree: ast.AST) -> set[int]:
    """Return the lines where Python itself demands AttributeError."""
    return {
        node.lineno
        for function, _ in _functions(tree)
        if function.name in {"__getattr__", "__getattribute__", "__delattr__", "__setattr__"}
        for node in ast.walk(function)
        if isinstance(node, ast.Raise) and _raised(node) == "AttributeError"
    }


def generic_raises(sources: Iterable[Source], parsers: Iterable[str]) -> Figure:
    """Count raises of built-in errors that say nothing about this project."""
    figure = Figure("generic raises", f"< {GENERIC_SHARE_PERCENT:g} %")
    parsing = tuple(parsers)
    count = 0
    generic: list[str] = []
    for source in sources:
        demanded = _protocol_raises(source.tree)
        for node in ast.walk(source.tree):
            name = _raised(node) if isinstance(node, ast.Raise) else None
            if not isinstance(node, ast.Raise) or name is None or node.lineno in demanded:
                continue
            if source.path.startswith(parsing) and name in ARGUMENT_ERRORS:
                continue
            count += 1
            if name in NEVER_RAISED:
                figure.problems.append(f"{source.path}:{node.lineno}: never raise {name}")
            if name in GENERIC:
                generic.append(f"{source.path}:{node.lineno}: {name} says too little")
    share = 100.0 * len(generic) / max(count, 1)
    figure.value = f"{share:.1f} %"
    if share >= GENERIC_SHARE_PERCENT:
        figure.problems += generic
    return figure


_NO_CODE = frozenset(
    {
        *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
        *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
    }
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _code_lines(sources: Iterable[Source]) -> int:
    """Count lines with code: neither blank lines nor comments nor docstrings."""
    count = 0
    for source in sources:
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
            if token.type not in _NO_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(source.tree):
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                text = node.body[0]
                lines -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
        count += len(lines)
    return count


def suite_size(sources: Iterable[Source], tests: Iterable[Source]) -> Figure:
    """Compare the size of the test suite with the size of the package."""
    figure = Figure("test lines for each source line", f">= {TEST_RATIO:.2f}")
    ours, theirs = _code_lines(sources), _code_lines(tests)
    ratio = theirs / max(ours, 1)
    figure.value = f"{ratio:.2f}"
    if ratio < TEST_RATIO:
        figure.problems.append(f"tests have {theirs:,} lines for {ours:,} lines in src")
    return figure


def measure(
    root: Path,
    *,
    long_files: dict[str, str] | None = None,
    argument_parsers: Iterable[str] = ARGUMENT_PARSERS,
) -> list[Figure]:
    """Take every figure of the project.

    Args:
        root: The top of the project.
        long_files: Files allowed to be long, with the reason; None for those listed above.
        argument_parsers: Files whose argument errors do not count as generic.

    Returns:
        One figure for each target.
    """
    sources = read(root, f"src/{PACKAGE}")
    tests = read(root, "tests")
    rest = read(root, "bench", "examples", "scripts")
    return [
        import_cycles(sources),
        imports_in_functions(sources),
        annotated_functions([*sources, *tests, *rest]),
        silent_excepts([*sources, *tests, *rest]),
        file_sizes([*sources, *tests, *rest], LONG_FILES if long_files is None else long_files),
        generic_raises(sources, argument_parsers),
        suite_size(sources, tests),
    ]


def main(root: Path) -> int:
    """Print the table and the problems, and return the exit code."""
    figures = measure(root)
    problems = [problem for figure in figures for problem in figure.problems]
    for problem in problems:
        print(problem)
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        mark = "MISSED" if figure.problems else ""
        print(
            f"{figure.name:<{width}}  {figure.value:>8}  target {figure.target:<8} {mark}".rstrip()
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
