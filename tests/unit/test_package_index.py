"""Where packages come from: the settings of uv and pip, with their passwords."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest

from runhouse.bootstrap.package_index import PackageIndex, find_index

if TYPE_CHECKING:
    from pathlib import Path

LOGIN = "ada:hunter2"


def find(home: Path, **environ: str) -> PackageIndex:
    return find_index({"PIP_CONFIG_FILE": str(home / "pip.conf"), **environ}, home)


def test_nothing_is_said_where_nothing_was_set(tmp_path: Path) -> None:
    found = find_index({"PIP_CONFIG_FILE": os.devnull}, tmp_path)
    assert (dict(found.variables), found.addresses, found.passwords) == ({}, [], ())
    assert not found.is_here_only


def test_variables_of_uv_win_over_all_files(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://of-pip/simple\n")
    found = find(tmp_path, UV_INDEX_URL="https://older", UV_TORCH_BACKEND="cpu")
    assert found.variables == {"UV_DEFAULT_INDEX": "https://older", "UV_TORCH_BACKEND": "cpu"}
    assert find(tmp_path, UV_DEFAULT_INDEX="https://new").addresses == ["https://new"]


def test_files_of_uv(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://of-pip/simple\n")
    folder = tmp_path / ".config" / "uv"
    folder.mkdir(parents=True)
    (folder / "uv.toml").write_text(
        '[[index]]\nname = "mine"\nurl = "https://mine/simple"\ndefault = true\n'
        '[[index]]\nurl = "https://more/simple"\n'
        '[[index]]\nname = "x"\nurl = "https://explicit/simple"\nexplicit = true\n'
    )
    found = find(tmp_path, UV_INDEX_MINE_USERNAME="ada", UV_INDEX_MINE_PASSWORD="hunter2")
    assert found.addresses == [f"https://{LOGIN}@mine/simple", "https://more/simple"]
    assert found.variables["UV_DEFAULT_INDEX"].startswith("mine=https://")
    assert found.passwords == ("hunter2",)
    (folder / "uv.toml").write_text("= nonsense")
    assert find(tmp_path).addresses == ["https://of-pip/simple"]
    assert find(tmp_path, UV_NO_CONFIG="1").addresses == ["https://of-pip/simple"]


def test_files_and_variables_of_pip(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a/simple\nextra-index-url =\n  https://b/simple\n"
        "  https://c/simple\n[install]\ntrusted-host = a\nfind-links = /opt/wheels\n"
    )
    found = find(tmp_path)
    assert found.variables == {
        "UV_DEFAULT_INDEX": "https://a/simple",
        "UV_INDEX": "https://b/simple https://c/simple",
        "UV_FIND_LINKS": "/opt/wheels",
        "UV_INSECURE_HOST": "a",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert found.is_here_only
    assert find(tmp_path, PIP_INDEX_URL="https://z").variables["UV_DEFAULT_INDEX"] == "https://z"


def test_passwords_of_netrc(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine a login ada password p@ss/word\n")
    (tmp_path / ".netrc").chmod(0o600)
    found = find(tmp_path, UV_DEFAULT_INDEX="https://a/simple", UV_INDEX="https://b/x,file:///c")
    assert found.addresses == ["https://ada:p%40ss%2Fword@a/simple", "https://b/x", "file:///c"]
    assert set(found.passwords) == {"p%40ss%2Fword", "p@ss/word"}
    given = base64.b64encode(b"ada:p@ss/word").decode()
    assert found.login("https://a/files/x.whl") == f"Basic {given}"
    assert found.login("https://b/files/x.whl") == ""
    assert found.login("https://a:8443/x.whl") == ""
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize("address", ["/opt/wheels", "file:///opt/simple", "wheels"])
def test_what_is_on_this_disk_only(tmp_path: Path, address: str) -> None:
    assert find(tmp_path, UV_FIND_LINKS=address).is_here_only
