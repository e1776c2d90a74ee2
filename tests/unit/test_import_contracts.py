"""The import contracts in pyproject.toml: kept by clean code, broken by each planted import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    *("bootstrap", "cli", "client", "clusters", "engines", "proxies"),
    *("registry", "server", "specs", "ssh", "wire", "worker"),
)
FILES = (
    *("errors", "extras", "files", "lazy", "settings", "version"),
    *("clusters/local", "clusters/byo", "wire/pickling"),
)


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """Make a tree with the folders of the package and nothing in them."""
    package = tmp_path / "src" / "runhouse"
    for folder in FOLDERS:
        (package / folder).mkdir(parents=True)
    for name in ["__init__", *(f"{folder}/__init__" for folder in FOLDERS), *FILES]:
        (package / f"{name}.py").write_text("", encoding="utf-8")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return package


def _broken(package: Path) -> list[str]:
    """Return the names of the broken contracts."""
    top = package.parents[1]
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=top,
        env=os.environ | {"PYTHONPATH": str(package.parent), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in result.stdout, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    return [line.removesuffix(" BROKEN") for line in lines if line.endswith(" BROKEN")]


def _plant(package: Path, name: str, text: str) -> None:
    (package / f"{name}.py").write_text(f"{text}\n", encoding="utf-8")


def test_empty_skeleton_keeps_all(skeleton: Path) -> None:
    assert _broken(skeleton) == []


@pytest.mark.parametrize(
    ("name", "text", "broken"),
    [
        ("ssh/session", "def f():\n    import runhouse.bootstrap", "layers"),
        ("client/client", "from runhouse import ssh", "layers"),
        ("settings", "import runhouse.extras", "layers"),
        ("files", "import runhouse.settings", "layers"),
        ("newfolder", "", "layers"),
        ("clusters/byo", "import runhouse.clusters.local", "kinds of cluster"),
        ("clusters/on_demand", "import runhouse.clusters.byo", "kinds of cluster"),
        ("worker/main", "import starlette.applications", "worker needs nothing"),
        ("server/app", "import pickle", "server never unpickles"),
        ("server/app", "from runhouse.wire import pickling", "server never unpickles"),
        ("clusters/on_demand", "import sky", "sky is wrapped once"),
        ("clusters/sagemaker", "import boto3.session", "boto3 is wrapped once"),
        ("clusters/sagemaker", "import botocore.session", "botocore is wrapped"),
        ("client/client", "from opentelemetry import trace", "opentelemetry is wrapped once"),
        ("cli/main", "import runhouse", "nobody inside imports"),
    ],
)
def test_planted_import_is_found(skeleton: Path, name: str, text: str, broken: str) -> None:
    _plant(skeleton, name, text)
    found = _broken(skeleton)
    assert len(found) == 1
    assert found[0].startswith(broken)


def test_planted_cycle_is_found(skeleton: Path) -> None:
    _plant(skeleton, "server/app", "import runhouse.server.auth")
    _plant(skeleton, "server/auth", "import runhouse.server.app")
    assert _broken(skeleton) == ["no cycles"]


def test_wrappers_may_import_what_they_wrap(skeleton: Path) -> None:
    _plant(skeleton, "clusters/skypilot", "import sky.clouds")
    _plant(skeleton, "clusters/aws", "import boto3, botocore")
    _plant(skeleton, "client/opentelemetry", "from opentelemetry import trace")
    _plant(skeleton, "clusters/on_demand", "import runhouse.clusters.skypilot")
    assert _broken(skeleton) == []
