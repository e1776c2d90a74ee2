"""Where a function's or class's code lives, and how it gets to a host: by reference or by value."""

from __future__ import annotations

import ast
import hashlib
import importlib
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from runhouse.clusters.projects import (
    homeless_modules,
    import_root,
    import_roots,
    is_installed,
    loose_root,
    project_root,
)
from runhouse.wire.messages import Code
from runhouse.wire.pickling import in_one, send_by_value, set_main_alias

if TYPE_CHECKING:
    from collections.abc import Callable, Set
    from types import ModuleType

_HARMLESS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Source:
    """Say how code gets to a host.

    Attributes:
        key: The name under which a worker keeps it.
        root: The project directory that it needs, or None.
        module: Module to import it from; empty: by value.
        name: Its qualified name.
        file: For a script: its path, relative to `root`.
        import_roots: Directories for its imports, relative to `root`.
        pickled: The object itself when it goes by value.
        modules: The modules that it then needs.
    """

    key: str
    root: Path | None
    module: str = ""
    name: str = ""
    file: str = ""
    import_roots: tuple[str, ...] = ()
    pickled: bytes = b""
    modules: Set[str] = frozenset()

    def on_host(self, directory: str) -> Code:
        """Return the same with paths of a host.

        Args:
            directory: Where the project is there.
        """
        base = PurePosixPath(directory)
        return Code(
            module=self.module,
            name=self.name,
            file=str(base / self.file) if self.file else "",
            import_roots=tuple(str(base / root) for root in self.import_roots),
        )


def find_source(code: Callable[..., Any]) -> Source:
    """Find out how a function or class gets to a host.

    Module-level code of a module or script goes by reference: the project is synced and the module
    imported there. Code without a file of its own (nested functions, lambdas, a notebook's or an
    interpreter's), code of a script that would run as a whole if it was imported, and code whose
    directory is too wide to send, as the home directory is, goes by value.

    Raises:
        NotSerializableError: It must go by value and cannot be pickled.
    """
    module = sys.modules.get(code.__module__)
    file = getattr(module, "__file__", None)
    name = code.__qualname__
    if module is None or file is None or not _found_in(module, name, code):
        return _by_value(code, _code_file(code))
    path = Path(file).resolve()
    if code.__module__ == "__main__":
        return _main_source(code, path)
    if is_installed(path):
        return Source(f"{code.__module__}:{name}", None, code.__module__, name)
    top = import_root(code.__module__, path)
    root = project_root(path) or loose_root(top)
    if root is None:
        return _by_value(code, path)
    roots = import_roots(root, top)
    return Source(f"{code.__module__}:{name}", root, code.__module__, name, import_roots=roots)


def split_name(reference: str) -> tuple[str, str]:
    """Return the two parts of `"module:name"`.

    Raises:
        ValueError: The text does not have this form.
    """
    module, _, name = reference.partition(":")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", module) or not all(
        part.isidentifier() for part in name.split(".")
    ):
        msg = (
            f"{reference!r} names no function. The form is 'module:name', for example "
            "'numpy.linalg:norm'. Correct it, or pass the function itself."
        )
        raise ValueError(msg)
    return module, name


def source_of_name(reference: str) -> Source:
    """Find out how `"module:name"` gets to a host, without importing it when it is not here.

    Raises:
        ValueError: The text does not have this form.
    """
    module, name = split_name(reference)
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        root = project_root(Path.cwd())
        return Source(
            reference,
            root,
            module,
            name,
            import_roots=import_roots(root, Path.cwd()) if root else (),
        )
    if not callable(found) or not hasattr(found, "__qualname__"):
        return Source(reference, None, module, name)
    return find_source(found)


def _found_in(module: ModuleType, name: str, code: object) -> bool:
    """Tell whether a module holds an object under its qualified name."""
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is code


def _code_file(code: Any) -> Path | None:
    """Return the file in which code was written, if it is a file."""
    filename = getattr(getattr(code, "__code__", None), "co_filename", "")
    path = Path(filename) if filename else None
    return path.resolve() if path is not None and path.is_file() else None


def _main_source(code: Callable[..., Any], path: Path) -> Source:
    """Decide for code of the running script."""
    root = project_root(path) or loose_root(path.parent)
    if root is None or not _safe_to_import(path):
        return _by_value(code, path)
    alias = _main_alias(path)
    set_main_alias(alias)
    name = code.__qualname__
    return Source(
        f"{alias}:{name}",
        root,
        alias,
        name,
        file=path.relative_to(root).as_posix(),
        import_roots=import_roots(root, path.parent),
    )


def _main_alias(path: Path) -> str:
    """Return the module name under which a script is imported elsewhere."""
    stem = re.sub(r"\W", "_", path.stem)
    spec_name = getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", None)
    if spec_name is not None and path.stem != "__main__":  # python -m package.module
        return str(spec_name)
    taken = stem in sys.stdlib_module_names or stem in sys.modules or not stem.isidentifier()
    return f"main_{stem}" if taken else stem


def _by_value(code: Callable[..., Any], file: Path | None) -> Source:
    here = file.parent if file is not None and not is_installed(file) else Path.cwd()
    root = project_root(here)
    for module in homeless_modules():
        send_by_value(module)
    pickled = in_one(code, what="the function")
    stream = bytes(pickled.body)
    digest = hashlib.sha256(stream).hexdigest()[:16]
    roots = import_roots(root, here) if root is not None else ()
    name = code.__qualname__.rpartition(".")[2]
    key = f"{name}-{digest}"
    return Source(key, root, import_roots=roots, pickled=stream, modules=pickled.modules)


@lru_cache(maxsize=64)
def _safe_to_import(path: Path) -> bool:
    """Tell whether importing a script runs nothing that was meant for its start.

    It does when everything beside definitions and plain constants is behind
    `if __name__ == "__main__"`.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):
        return False
    return all(_is_harmless(statement) for statement in tree.body)


def _is_harmless(statement: ast.stmt) -> bool:
    if isinstance(statement, _HARMLESS):
        return True
    if isinstance(statement, ast.If):
        if "__name__" in ast.dump(statement.test):
            return True
        return all(map(_is_harmless, [*statement.body, *statement.orelse]))
    if isinstance(statement, ast.Try):
        parts = [*statement.body, *statement.orelse, *statement.finalbody]
        return all(map(_is_harmless, parts))
    return not any(isinstance(node, ast.Call) for node in ast.walk(statement)) and isinstance(
        statement, (ast.Assign, ast.AnnAssign, ast.Expr, ast.Pass)
    )
