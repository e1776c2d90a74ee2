"""An entry in an OpenSSH configuration comes and goes, and the rest stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings, strategies as st

from runhouse.clusters.ssh_entry import Node, SshEntry

if TYPE_CHECKING:
    from pathlib import Path


def node(alias: str) -> Node:
    return Node(alias, f"algo-1.{alias}", "root", "/keys/a b", "known", "/known 100%", "proxy %p")


def test_it_stands_before_all_others(tmp_path: Path, rh_home: Path) -> None:
    del rh_home
    file = tmp_path / ".ssh" / "config"
    entry = SshEntry(file, "sm")
    entry.remove()
    assert not file.exists(), "there was nothing to remove"
    entry.write([node("sm"), node("sm-algo-2")])
    assert file.stat().st_mode & 0o777 == 0o600
    lines = file.read_text().splitlines()
    assert lines[0].startswith("# >>> runhouse cluster sm ")
    assert lines[1:10] == [
        "Host sm",
        "    HostName algo-1.sm",
        "    User root",
        '    IdentityFile "/keys/a b"',
        "    IdentitiesOnly yes",
        "    HostKeyAlias known",
        '    UserKnownHostsFile "/known 100%%"',
        "    StrictHostKeyChecking accept-new",
        "    ProxyCommand proxy %p",
    ]
    assert lines[10] == "Host sm-algo-2"
    assert lines[-1] == "# <<< runhouse cluster sm"
    entry.remove()
    assert file.read_text() == ""


def test_clusters_do_not_disturb_each_other(tmp_path: Path, rh_home: Path) -> None:
    del rh_home
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("Host mine\n  User me")
    real.chmod(0o644)
    link.symlink_to(real)
    one, two = SshEntry(link, "sm"), SshEntry(link, "sm.2")
    one.write([node("sm")])
    two.write([node("sm.2")])
    one.write([node("sm")])
    assert (one.is_there(), two.is_there()) == (True, True)
    assert real.read_text().count("Host sm\n") == 1
    one.remove()
    assert (one.is_there(), two.is_there()) == (False, True)
    two.remove()
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o644
    assert real.read_text() == "Host mine\n  User me"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("aHost #<>\n\t é"), max_size=60))
def test_whatever_else_is_there_is_left(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_bytes(text.encode())
    entry = SshEntry(file, "sm")
    entry.write([node("sm")])
    assert file.read_bytes().endswith(text.encode())
    entry.remove()
    assert file.read_bytes() == text.encode()
