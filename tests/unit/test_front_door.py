"""The front door: few names, all listed, all documented, and nothing loaded before it is used."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runhouse as rh

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURES = {
    "cluster": "(name, host=None, ssh_creds=None, dryrun=False, *, ssh_port=None, "
    "server_port=None, python=None, env=None, **kwargs)",
    "function": "(fn, name=None)",
    "Cluster.run": "(self, commands, env=None, stream_logs=True, port_forward=None, "
    "require_outputs=True, run_name=None, *, node=None)",
    "Cluster.run_python": "(self, commands, env=None, stream_logs=True, port_forward=None, "
    "run_name=None)",
    "Cluster.ssh": "(self)",
    "Cluster.ssh_tunnel": "(self, local_port, remote_port=None, num_ports_to_try=0)",
    "Cluster.rsync": "(self, source, dest, up=True, contents=False, filter_options=None, "
    "node=None)",
    "Cluster.is_up": "(self)",
    "Cluster.up": "(self)",
    "Cluster.up_if_not": "(self)",
    "Cluster.status": "(self)",
    "Cluster.keep_warm": "(self, autostop_mins=-1)",
    "Cluster.pause_autostop": "(self)",
    "Cluster.restart_server": "(self, resync_rh=True)",
    "Cluster.check_server": "(self, restart_server=True)",
    "Cluster.connect_server_client": "(self, force_reconnect=False)",
    "Cluster.is_connected": "(self)",
    "Cluster.disconnect": "(self)",
    "Cluster.on_this_cluster": "(self)",
    "Cluster.ssh_creds": "(self)",
    "Cluster.config": "(self)",
    "Cluster.save": "(self, name=None)",
    "Cluster.delete_configs": "(self)",
    "Cluster.from_config": "(config, dryrun=False)",
    "Cluster.from_name": "(name, dryrun=False)",
    "Cluster.list": "()",
}


def listed_for_type_checkers() -> set[str]:
    """Return the names that type checkers see."""
    tree = ast.parse(Path(str(rh.__file__)).read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.If):
            for inner in node.body:
                if isinstance(inner, ast.ImportFrom):
                    names |= {alias.asname or alias.name for alias in inner.names}
                if isinstance(inner, ast.Assign):
                    names |= {name.id for name in inner.targets if isinstance(name, ast.Name)}
    return names


def test_public_names_are_listed_alike_everywhere() -> None:
    assert list(rh.__all__) == sorted(rh.__all__)
    assert set(rh.__all__) == listed_for_type_checkers() == set(dir(rh))
    assert set(rh.__all__) == set(rh._HOMES) | all_errors()


def all_errors() -> set[str]:
    """Return the names of all errors that there are."""
    return {name for name, found in vars(rh.errors).items() if inspect.isclass(found)}


def test_every_public_name_leads_somewhere() -> None:
    assert all(getattr(rh, name) is not None for name in rh.__all__)
    assert (rh.fn, rh.cls) == (rh.function, rh.module)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rh.nothing  # noqa: B018


def documented() -> Iterator[tuple[str, object]]:
    """Yield public functions and classes, and the public members of the classes."""
    for name in rh.__all__:
        found = getattr(rh, name)
        if inspect.isclass(found) and not issubclass(found, BaseException):
            for member, value in inspect.getmembers(found):
                if not member.startswith("_"):
                    yield f"{name}.{member}", value
        if inspect.isclass(found) or inspect.isfunction(found) or inspect.ismodule(found):
            yield name, found


@pytest.mark.parametrize(("name", "value"), list(documented()))
def test_everything_public_is_documented(name: str, value: object) -> None:
    if isinstance(value, str) or inspect.ismemberdescriptor(value):
        return  # a constant or a field, which the class tells about
    text = inspect.getdoc(value) or ""
    assert text.split("\n")[0].endswith("."), f"{name} begins with no whole sentence"


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_the_promised_ones(name: str) -> None:
    found: object = rh
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    signature = inspect.signature(found)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    plain = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    assert str(plain) == SIGNATURES[name]


def test_importing_it_loads_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import runhouse; import json; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout)
    assert "runhouse" in loaded
    assert [name for name in loaded if name.startswith("runhouse.")] == []
    heavy = ("asyncio", "cloudpickle", "fsspec", "rich", "starlette", "typer", "uvicorn", "socket")
    assert not set(heavy) & set(loaded)


def test_what_a_call_needs_brings_no_command_line_and_no_server() -> None:
    program = "import sys, runhouse; runhouse.cluster; runhouse.function; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    unused = {"fsspec", "rich", "starlette", "typer", "uvicorn"}
    slow = {"asyncio", "configparser", "email", "http.client", "importlib.metadata", "ssl"}
    assert not (unused | slow) & set(done.stdout.split())
