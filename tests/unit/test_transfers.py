"""What rsync says about a transfer, and how that is shown."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from runhouse.ssh.between import _ADD, _REMOVE, _files, _Heard, _key_pair
from runhouse.ssh.rsync import lines, read_counts, told_progress, transfer_options

if TYPE_CHECKING:
    from pathlib import Path

STATS = b"""
Number of files: 4 (reg: 2, dir: 2)
Number of regular files transferred: 2
Number of deleted files: 1 (reg: 1)
Total file size: 30 bytes
Total transferred file size: 25 bytes
Literal data: 5 bytes
Matched data: 20 bytes
"""


def test_the_figures_at_the_end() -> None:
    counts = read_counts(STATS)
    assert (counts.files, counts.size_bytes, counts.deleted, counts.sent_bytes) == (2, 25, 1, 5)
    assert read_counts(b"") == read_counts(b"nothing of it")


def test_lines_come_as_they_are_written() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\r  5  10% 3kB/s\rtwo\n\nrest")
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert list(lines(stream)) == [b"one", b"  5  10% 3kB/s", b"two", b"", b"rest"]
    assert list(lines(None)) == []


def test_progress_is_told_from_other_lines() -> None:
    told: list[tuple[int, int]] = []
    assert told_progress(b"     50  25%   3.00kB/s  0:00:00", lambda *far: told.append(far))
    assert told_progress(b"      0   0%   0.00kB/s  0:00:00", lambda *far: told.append(far))
    assert not told_progress(b"+some/file 3", lambda *far: told.append(far))
    assert told == [(50, 200), (0, 0)]


def test_progress_in_pieces() -> None:
    told: list[tuple[int, int]] = []
    heard = _Heard(lambda *far: told.append(far))
    heard.hear("stdout", "   1")
    heard.hear("stderr", "\r")
    heard.hear("stdout", "0  50% x\r")
    assert told == [(10, 20)]
    _Heard(None).hear("stdout", "   10  50% x\r")


def test_options_of_large_transfers() -> None:
    assert transfer_options(checksum=False, resumable=False, progress=False) == []
    assert "--checksum" in transfer_options(checksum=True, resumable=False, progress=False)
    assert "--partial-dir=.rh-partial" in transfer_options(
        checksum=False, resumable=True, progress=False
    )


def test_files_with_spaces_in_a_list_that_does_not_mark_them(tmp_path: Path) -> None:
    for name in ("a b", "c"):
        (tmp_path / name).touch()
    text = f"{tmp_path}/a b {tmp_path}/c {tmp_path}/none"
    assert _files(text) == [tmp_path / "a b", tmp_path / "c"]
    assert _files("") == []


def test_the_key_of_a_transfer_is_in_no_file(tmp_path: Path) -> None:
    private, public = _key_pair("rh-x")
    assert b"PRIVATE KEY" in private
    assert public.startswith("ssh-ed25519 ")
    assert public.endswith(" rh-x")
    assert list(tmp_path.iterdir()) == []


def in_home(home: Path, script: str, data: str = "", before: str = "") -> int:
    """Run a script of the second host in a home directory, as its ssh does."""
    done = subprocess.run(
        ["sh", "-c", f"{before} cd {home}; {script}", "sh", "rh-1234"],
        input=data, text=True, capture_output=True, check=False, timeout=10,
    )  # fmt: skip
    return done.returncode


def test_a_key_is_let_in_and_taken_away_again(tmp_path: Path) -> None:
    file = tmp_path / ".ssh" / "authorized_keys"
    assert in_home(tmp_path, _ADD, "restrict KEY rh-1234\n") == 0
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert in_home(tmp_path, _REMOVE) == 0
    assert list((tmp_path / ".ssh").iterdir()) == [], "it was not there before"
    file.write_text("ssh-ed25519 MINE me")  # without an end of line
    file.chmod(0o640)
    assert in_home(tmp_path, _ADD, "restrict KEY rh-1234\n") == 0
    assert file.read_text() == "ssh-ed25519 MINE me\nrestrict KEY rh-1234\n"
    assert in_home(tmp_path, _REMOVE) == 0
    assert file.read_text() == "ssh-ed25519 MINE me\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (tmp_path / ".ssh").iterdir()] == ["authorized_keys"]


def test_nobody_is_locked_out_when_the_keys_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / ".ssh" / "authorized_keys"
    file.parent.mkdir()
    text = "ssh-ed25519 MINE me\nrestrict KEY rh-1234\n"
    file.write_text(text)
    assert in_home(tmp_path, _REMOVE, before="ulimit -f 0;") != 0
    assert file.read_text() == text


def test_a_link_to_the_keys_stays_one(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "keys").write_text("ssh-ed25519 MINE me\nrestrict KEY rh-1234\n")
    (tmp_path / ".ssh" / "authorized_keys").symlink_to(tmp_path / "keys")
    assert in_home(tmp_path, _REMOVE) == 0
    assert (tmp_path / ".ssh" / "authorized_keys").is_symlink()
    assert (tmp_path / "keys").read_text() == "ssh-ed25519 MINE me\n"
