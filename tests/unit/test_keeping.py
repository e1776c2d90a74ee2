"""How secrets get into files beside what is there, and out again."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runhouse.specs import keeping
from runhouse.specs.keeping import Keeping, answer, join, split

AWS = "# mine\n[default]\naws_access_key_id = A\n\n[work]  # theirs\naws_access_key_id = B"
GH = "github.com:\n    user: ada\n    oauth_token: T\nexample.org:\n    oauth_token: U\n"
NETRC = (
    "machine a.org login x password p\nmachine b.org\n  login y\n  password q\ndefault login z\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


def sending(folder: Path, name: str = "aws", **request: Any) -> dict[str, Any]:
    whole = {"files": [], "variables": {}, "scope": "all", "overwrite": False}
    return answer(
        {"action": "send", "name": name, "folder": str(folder), **whole, **request}
    )  # fmt: skip


def at(path: Path, text: str, form: str = "whole", entry: str = "") -> list[dict[str, Any]]:
    return [{"path": str(path), "form": form, "entries": {entry: text}}]


def removing(folder: Path, name: str = "aws", scope: str | None = None) -> dict[str, Any]:
    return answer({"action": "remove", "name": name, "folder": str(folder), "scope": scope})


@pytest.mark.parametrize(
    ("form", "text", "keys"),
    [
        ("sections", AWS, ["", "default", "work"]),
        ("sections", "api_key = K\n", [""]),
        ("mapping", GH, ["github.com", "example.org"]),
        ("netrc", NETRC, ["a.org", "b.org", "default"]),
        ("whole", "x\r\ny", [""]),
        ("whole", "", []),
        ("netrc", "", []),
        ("netrc", "# nothing\n", [""]),
        ("sections", "", []),
    ],
)
def test_a_file_is_its_entries(form: str, text: str, keys: list[str]) -> None:
    entries = split(form, text)
    assert list(entries) == keys
    assert join(form, entries, text).rstrip("\n") == text.rstrip("\n"), "not a byte is lost"


def test_sections_of_one_name_are_one_entry() -> None:
    assert split("sections", "[a]\nx = 1\n[b]\n[a]\ny = 2\n")["a"] == "[a]\nx = 1\ny = 2\n"


def test_registries_of_docker_are_entries_and_the_rest_stays() -> None:
    text = '{"auths": {"a.io": {"auth": "x"}, "empty.io": {}}, "proxies": {"p": 1}}'
    entries = split("auths", text)
    assert list(entries) == ["a.io"], "what a credential helper has is not in the file"
    whole = json.loads(join("auths", {**entries, "b.io": '{"auth": "y"}'}, text))
    assert whole["proxies"] == {"p": 1}
    assert set(whole["auths"]) == {"a.io", "b.io", "empty.io"}
    assert join("auths", {}, '{"auths": {"a.io": {"auth": "x"}}}') == ""
    with pytest.raises(ValueError, match="Expecting"):
        split("auths", "no json")


def test_what_the_host_has_stays_beside_what_is_sent(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "credentials"
    path.parent.mkdir()
    path.write_text(AWS)
    sent = sending(folder, files=at(path, "[new]\nkey = N\n", "sections", "new"))
    assert sent == {"changed": [str(path)], "same": [], "conflicts": []}
    assert path.read_text() == AWS + "\n[new]\nkey = N\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    removed = removing(folder)
    assert removed == {"name": "aws", "files": [str(path)], "variables": {}}
    assert path.read_text() == AWS + "\n"
    assert removing(folder)["files"] == [], "it is safe to repeat"


def test_a_file_that_was_not_there_is_gone_afterwards(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "token"
    sending(folder, files=at(path, "T"))
    assert path.read_text() == "T"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    removing(folder)
    assert not path.exists()
    assert not (folder / "sent.json").exists()


def test_another_one_of_the_hosts_is_in_the_way(folder: Path, tmp_path: Path) -> None:
    free, taken = tmp_path / "free", tmp_path / "taken"
    taken.write_text("theirs")
    files = at(free, "ours") + at(taken, "ours")
    assert sending(folder, files=files)["conflicts"] == [[str(taken), ""]]
    assert not free.exists(), "all or nothing"
    assert taken.read_text() == "theirs"
    sent = sending(folder, files=files, overwrite=True)
    assert sent["changed"] == [str(free), str(taken)]
    assert taken.read_text() == "ours"
    sending(folder, files=at(free, "ours") + at(taken, "rotated"))
    assert taken.read_text() == "rotated", "our own is no conflict"
    removing(folder)
    assert taken.read_text() == "theirs"
    assert not free.exists()


def test_the_same_of_the_hosts_own_stays_when_ours_goes(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("T\n")
    assert sending(folder, files=at(path, "T"))["same"] == [str(path)]
    assert removing(folder)["files"] == []
    assert path.read_text() == "T\n"


def test_what_was_changed_since_is_not_ours_any_more(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "token"
    sending(folder, files=at(path, "T"))
    path.write_text("of the host")
    assert sending(folder, files=at(path, "T2"))["conflicts"] == [[str(path), ""]]
    removing(folder)
    assert path.read_text() == "of the host"


def test_a_link_stays_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    sending(folder, files=at(tmp_path / "link", "T"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "T"


def test_a_file_that_others_could_read_is_closed_to_them(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "token"
    sending(folder, files=at(path, "T"))
    path.chmod(0o644)
    sending(folder, files=at(path, "T"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_variables_are_kept_by_scope_and_secret(folder: Path) -> None:
    sending(folder, "db", variables={"A": "1"})
    sending(folder, "db", variables={"A": "2"}, scope="env-x")
    assert sending(folder, "db", variables={"A": "1"})["same"] == ["all"]
    assert json.loads((folder / "env-x.json").read_text()) == {"db": {"A": "2"}}
    assert stat.S_IMODE((folder / "all.json").stat().st_mode) == 0o600
    listed = answer({"action": "list", "folder": str(folder)})["secrets"]
    assert listed == [{"name": "db", "files": [], "variables": {"all": ["A"], "env-x": ["A"]}}]
    assert removing(folder, "db", "env-x")["variables"] == {"env-x": ["A"]}
    assert removing(folder, "db")["variables"] == {"all": ["A"]}
    assert not (folder / "all.json").exists()


def test_bytes_that_are_no_text_are_kept(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "token"
    data = bytes(range(256))
    sending(folder, files=at(path, data.decode("utf-8", "surrogateescape")))
    assert path.read_bytes() == data


def run(request: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", Path(keeping.__file__).read_text()],
        input=json.dumps(request), capture_output=True, text=True, check=True, timeout=10,
    )  # fmt: skip
    assert done.stderr == ""
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


def test_the_program_stands_alone_and_tells_no_value(folder: Path, tmp_path: Path) -> None:
    request: dict[str, Any] = {"action": "send", "name": "x", "folder": str(folder)}
    request |= {"variables": {}, "scope": "all", "overwrite": False}
    assert run({**request, "files": at(tmp_path / "t", "V")})["changed"] == [str(tmp_path / "t")]
    (tmp_path / "broken").write_text("sesame, no json")
    said = run({**request, "files": at(tmp_path / "broken", "{}", "auths", "a.io")})
    assert said == {"error": "a file is not of the form that it should have"}
    said = run({**request, "files": at(tmp_path / "t" / "below", "sesame")})
    assert "Not a directory" in said["error"]
    assert "sesame" not in said["error"]


def test_a_process_that_holds_secrets_writes_no_core() -> None:
    program = Path(keeping.__file__).read_text().partition("if __name__")[0]
    program += "\nwrite_no_core()\nprint(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"0\n"


def test_a_crash_while_writing_leaves_the_old_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    sending(folder, files=at(path, "old"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        sending(folder, files=at(path, "new"))
    assert path.read_text() == "old"
    assert sorted(x.name for x in tmp_path.iterdir()) == ["secrets", "token"]
    assert Keeping(str(folder)).listing()[0]["name"] == "aws"
