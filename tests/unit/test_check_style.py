"""The figures of the style: planted faults are found, and clean code is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import check_style

if TYPE_CHECKING:
    from pathlib import Path

CLEAN = """
from __future__ import annotations

from typing import TYPE_CHECKING

from runhouse.errors import OwnError

if TYPE_CHECKING:
    from runhouse import b


class Thing:
    def __init__(self, size: int, *rest: str, **more: str) -> None:
        self.size = size

    @staticmethod
    def make(size: int) -> Thing:
        return Thing(size)

    def __getattr__(self, name: str) -> object:
        raise AttributeError(name)

    def check(self, other: b.Other) -> None:
        try:
            other.check()
        except OwnError as error:
            raise error from None
        except OSError as error:
            raise OwnError("a") from error
"""
TREE = {
    "src/runhouse/__init__.py": "",
    "src/runhouse/errors.py": "class OwnError(Exception): ...\n",
    "src/runhouse/a.py": CLEAN,
    "src/runhouse/b.py": "from runhouse.a import Thing\n\n\nclass Other(Thing): ...\n",
    "tests/unit/test_a.py": "assert True\n" * 60,
}


def _figures(root: Path, **changed: str) -> dict[str, check_style.Figure]:
    """Write a project with some modules of the package changed, and measure it."""
    tree = TREE | {f"src/runhouse/{name}.py": text for name, text in changed.items()}
    for path, text in tree.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return {figure.name: figure for figure in check_style.measure(root, long_files={})}


def test_clean_code_meets_every_target(tmp_path: Path) -> None:
    figures = _figures(tmp_path)
    assert [problem for figure in figures.values() for problem in figure.problems] == []
    assert figures["functions fully annotated"].value == "100.0 %"
    assert figures["generic raises"].value == "0.0 %"


@pytest.mark.parametrize(
    "statement",
    [
        "from runhouse import b",
        "from runhouse.b import Other",
        "import runhouse.b",
        "from . import b",
        "from .b import Other",
        "if True:\n    from runhouse.b import Other",
        "class Late:\n    from runhouse.b import Other",
    ],
)
def test_import_cycle(tmp_path: Path, statement: str) -> None:
    figure = _figures(tmp_path, a=f"{statement}\n{CLEAN}")["modules in an import cycle"]
    assert figure.value == "2"
    assert "runhouse.a -> runhouse.b -> runhouse.a" in figure.problems[0] or (
        "runhouse.b -> runhouse.a -> runhouse.b" in figure.problems[0]
    )


def test_import_cycle_by_relative_import_in_a_package(tmp_path: Path) -> None:
    (tmp_path / "src/runhouse/deep").mkdir(parents=True)
    (tmp_path / "src/runhouse/deep/__init__.py").write_text("from .one import x\n")
    (tmp_path / "src/runhouse/deep/one.py").write_text("from . import y\n")
    assert _figures(tmp_path)["modules in an import cycle"].value == "2"


@pytest.mark.parametrize("statement", ["from runhouse.b import Other", "import runhouse.b as b"])
def test_own_import_inside_a_function(tmp_path: Path, statement: str) -> None:
    text = f"def late() -> None:\n    def later() -> None:\n        {statement}\n"
    figure = _figures(tmp_path, a=text)["own imports inside functions"]
    assert figure.problems == ["src/runhouse/a.py:3: import it at the top"]


@pytest.mark.parametrize(
    "function",
    [
        "def f(): ...",
        "def f(x) -> None: ...",
        "def f(*x) -> None: ...",
        "def f(*, x) -> None: ...",
        "async def f(**x) -> None: ...",
        "class C:\n    def f(self): ...",
        "class C:\n    @staticmethod\n    def f(x) -> None: ...",
        "def outer() -> None:\n    def f(x: int): ...",
    ],
)
def test_missing_annotation(tmp_path: Path, function: str) -> None:
    figure = _figures(tmp_path, c=f"{function}\n")["functions fully annotated"]
    assert len(figure.problems) == 1
    assert figure.problems[0].endswith("annotate f")


@pytest.mark.parametrize("handler", ["except:\n    print()", "except OSError:\n    pass"])
def test_silent_except(tmp_path: Path, handler: str) -> None:
    figure = _figures(tmp_path, c=f"try:\n    print()\n{handler}\n")["bare or passing excepts"]
    assert figure.value == "1"


def test_long_file_needs_a_reason(tmp_path: Path) -> None:
    _figures(tmp_path, c="x = 1\n" * 401, d="x = 1\n" * 1_001)
    allowed = {
        "src/runhouse/c.py": "a table",
        "src/runhouse/d.py": "no reason is enough",
        "src/runhouse/gone.py": "it was long once",
    }
    name = "files over 400 lines without a reason"
    with_reasons, without = (
        next(f for f in check_style.measure(tmp_path, long_files=reasons) if f.name == name)
        for reasons in (allowed, {})
    )
    assert [problem.split(":")[0] for problem in without.problems] == [
        "src/runhouse/c.py",
        "src/runhouse/d.py",
    ]
    assert [problem.split(":")[0] for problem in with_reasons.problems] == [
        "src/runhouse/d.py",
        "src/runhouse/gone.py",
    ]


@pytest.mark.parametrize("name", ["Exception", "RuntimeError"])
def test_errors_that_are_never_raised(tmp_path: Path, name: str) -> None:
    own = "raise OwnError('a')\n" * 50
    figure = _figures(tmp_path, c=f"{own}raise {name}('b')\n")["generic raises"]
    assert figure.problems == [f"src/runhouse/c.py:51: never raise {name}"]


def test_share_of_generic_raises(tmp_path: Path) -> None:
    text = "raise errors.OwnError('a')\n" * 3 + "raise ValueError\n"
    few = _figures(tmp_path, c="raise OwnError('a')\n" * 20 + text)["generic raises"]
    assert few.problems == []
    many = _figures(tmp_path, c=text)["generic raises"]
    assert many.problems == ["src/runhouse/c.py:4: ValueError says too little"]
    assert many.value == "20.0 %"
    parsed = check_style.measure(tmp_path, argument_parsers=["src/runhouse/c.py"])
    assert next(f for f in parsed if f.name == "generic raises").value == "0.0 %"


def test_too_few_tests(tmp_path: Path) -> None:
    figure = _figures(tmp_path, c="x = 1\n\n" * 300)["test lines for each source line"]
    assert len(figure.problems) == 1


def test_table_and_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_style, "LONG_FILES", {})
    _figures(tmp_path)
    assert check_style.main(tmp_path) == 0
    _figures(tmp_path, c="def f(): ...\n")
    assert check_style.main(tmp_path) == 1
    printed = capsys.readouterr().out
    assert "src/runhouse/c.py:1: annotate f" in printed
    assert printed.count("MISSED") == 1
