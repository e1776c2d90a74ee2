"""The command line puts, shows and removes the objects that a cluster keeps."""

from __future__ import annotations

import json
import pickle
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.rigs.cli import RH, Cli, local_cli, run_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server() -> Iterator[Cli]:
    """Give a command line, and the server of this machine."""
    with local_cli() as cli:
        yield cli


@pytest.fixture
def rh(server: Cli) -> Cli:
    """Begin each test without objects."""
    run_python(server, "rh.here.clear()")
    return server


def test_the_life_of_an_object(rh: Cli) -> None:
    assert rh("keys").stdout == ""
    assert rh.json("keys") == []
    assert rh("put", "local", "limits", '{"steps": 10}').stdout == "limits was put.\n"
    assert rh("get", "local", "limits").stdout == "{'steps': 10}\n"
    assert rh.json("get", "local", "limits") == {"steps": 10}
    assert rh.json("put", "local", "limits", "[1]") == {
        "name": "local",
        "key": "limits",
        "put": True,
    }
    assert rh("get", "local", "limits").stdout == "[1]\n"
    assert rh("rename", "local", "limits", "new.limits").stdout == "limits is new.limits now.\n"
    assert rh("keys", "local").stdout == "new.limits\n"
    assert rh("call", "local", "new.limits.__len__").stdout == "1\n"
    assert rh("delete", "local", "new.limits").stdout == "new.limits deleted.\n"
    assert rh("get", "local", "new.limits").returncode == 4


def test_objects_of_all_envs_are_there(rh: Cli) -> None:
    rh("put", "local", "here", "1")
    rh("put", "local", "there", "2", "--env", "other")
    assert rh.json("keys") == ["here", "there"]
    assert rh("keys", "local", "--env", "other").stdout == "there\n"
    assert rh("get", "local", "there").stdout == "2\n"
    assert rh.json("rename", "local", "there", "then") == {"name": "local", "key": "then"}
    assert rh.json("delete", "local", "here", "then") == {
        "name": "local",
        "deleted": ["here", "then"],
    }
    assert rh("keys").stdout == ""


def test_nothing_is_deleted_when_one_is_not_there(rh: Cli) -> None:
    rh("put", "local", "here", "1")
    told = rh.json("delete", "local", "here", "gone", "lost", code=4)
    assert told["error"] == "ObjectNotFoundError"
    assert "local has no gone, lost." in told["message"]
    assert rh("keys").stdout == "here\n"


def test_an_object_comes_from_a_file_and_goes_into_one(rh: Cli, tmp_path: Path) -> None:
    source, copy = tmp_path / "in.json", tmp_path / "out file.pkl"
    source.write_text('{"ü": [1, 2.5]}', encoding="utf-8")
    assert rh("put", "local", "data", "--file", str(source)).returncode == 0
    assert rh("get", "local", "data", "-o", str(copy)).stdout == ""
    assert pickle.loads(copy.read_bytes()) == {"ü": [1, 2.5]}  # noqa: S301 - made just now
    assert rh("put", "local", "again", "-f", str(copy), "--pickle").returncode == 0
    assert rh.json("get", "local", "again") == {"ü": [1, 2.5]}


def test_streams_are_files_too(rh: Cli) -> None:
    environ = rh.environ
    line = f"echo '[1, 2]' | '{RH}' put local piped -f - && '{RH}' get local piped -o -"
    done = subprocess.run(
        ["bash", "-c", line], env=environ, capture_output=True, check=True, timeout=30
    )
    said, _, rest = done.stdout.partition(b"\n")
    assert (said, pickle.loads(rest)) == (b"piped was put.", [1, 2])  # noqa: S301 - made just now


def test_an_object_whose_class_is_not_here_is_shown(rh: Cli, tmp_path: Path) -> None:
    run_python(rh, "rh.here.put('point', sample.Point(1, 2)); rh.here.put('complex', 1j)")
    assert rh("get", "local", "point").stdout == "Point(x=1, y=2)\n"
    copy = tmp_path / "point.pkl"
    done = rh("get", "local", "point", "-o", str(copy))
    assert done.returncode == 1
    assert "It needs what is not here: No module named 'tests'" in done.stderr
    assert not copy.exists()
    told = rh.json("get", "local", "complex", code=1)
    assert told["error"] in ("NotSerializableError", "TypeError")
    assert rh("get", "local", "complex").stdout == "1j\n"
    assert rh.json("get", "local", "point") == {"x": 1, "y": 2}


def test_an_object_on_disk_survives_its_server(rh: Cli) -> None:
    assert rh("put", "local", "lasting", '"long"', "--persist").returncode == 0
    rh("put", "local", "fleeting", '"short"')
    assert rh("stop").stdout == "local was stopped.\n"
    assert rh("keys").stdout == "lasting\n"
    assert rh("get", "local", "lasting").stdout == "'long'\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["get", "local", "nothing"], 4, "key 'nothing' not found"),
        (["get", "nobody", "x"], 4, "nobody"),
        (["get", "local"], 2, "KEY"),
        (["get", "local", "x", "-o", "/no/such/place"], 4, "key 'x' not found"),
        (["put", "local", "x"], 2, "It is not clear what is meant"),
        (["put", "local", "x", "1", "--pickle"], 2, "It is not clear what is meant"),
        (["put", "local", "x", "1", "-f", "/dev/null"], 2, "It is not clear what is meant"),
        (["put", "local", "x", "text"], 2, "The value is not JSON"),
        (["put", "local", "x", "-f", "/dev/null"], 2, "The value is not JSON"),
        (["put", "local", "x", "-f", "/dev/null", "--pickle"], 2, "The file is no pickle"),
        (["put", "local", "x", "-f", "/no/such/file"], 2, "/no/such/file"),
        (["put", "local", "no good", "1"], 2, "cannot be used as a name"),
        (["put", "local", "x", "1", "--env", "no good"], 2, "cannot be used"),
        (["rename", "local", "nothing", "new"], 4, "key 'nothing' not found"),
        (["rename", "local", "nothing", "no good"], 2, "cannot be used as a name"),
        (["rename", "local", "nothing"], 2, "NEW"),
        (["delete", "local"], 2, "KEY"),
        (["delete", "local", "nothing"], 4, "local has no nothing"),
        (["keys", "nobody"], 4, "nobody"),
    ],
)
def test_what_is_wrong_with_an_object_is_told(
    rh: Cli, words: list[str], code: int, said: str
) -> None:
    done = rh(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_json_too(rh: Cli) -> None:
    told = json.loads(rh("put", "local", "x", "text", "--json").stdout)
    assert (told["name"], told["key"], told["error"]) == ("local", "x", "ValueError")
    told = rh.json("get", "local", "nothing", code=4)
    assert (told["key"], told["error"]) == ("nothing", "ObjectNotFoundError")
