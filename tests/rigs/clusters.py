"""A cluster of each kind for tests of clusters: this machine, and a host behind an sshd."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse import settings
from tests.rigs.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Iterator


class PrivateSshd(Sshd):
    """Run an sshd whose sessions have a `~/.rh` of their own."""

    def __init__(self, folder: Path, *options: str, password: bool = False) -> None:
        super().__init__(folder, *options, password=True)
        self._has_password = password

    def _with_password(self, command: list[str]) -> list[str]:
        if self._has_password:
            command = super()._with_password(command)
        private, home = self.folder / "private", Path("~/.rh").expanduser()
        private.mkdir(mode=0o700, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)
        script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        return ["unshare", "-m", "sh", "-c", script, "sh", str(private), str(home), *command]

    @property
    def address(self) -> str:
        return f"{self.user}@127.0.0.1:{self.port}"

    @property
    def creds(self) -> dict[str, Any]:
        return {"ssh_private_key": str(self.key)}

    def cluster(self, name: str) -> rh.Cluster:
        """Return a cluster of this host, in which this Python runs code."""
        return rh.cluster(name, host=self.address, ssh_creds=self.creds, python=sys.executable)

    @contextmanager
    def settings_of_process(self) -> Iterator[None]:
        """Let this process, and those that it starts, use this sshd's host keys."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RH_SSH_CONFIG", str(self.config))
            settings.load.cache_clear()
            yield
        settings.load.cache_clear()


@contextmanager
def private_sshd(*options: str, password: bool = False) -> Iterator[PrivateSshd]:
    """Run an sshd, and have this process know it; skip the test where that cannot be."""
    if not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin"):
        pytest.skip("there is no sshd: apt install openssh-server")
    if os.getuid():
        pytest.skip("needs root, to give a host a home of its own")
    Path("/run/sshd").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="rh-t"))  # short, as sockets are made in it
    sshd = PrivateSshd(folder, *options, password=password)
    try:
        sshd.start()
        with sshd.settings_of_process():
            yield sshd
    finally:
        sshd.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_cluster(kind: str) -> Iterator[rh.Cluster]:
    """Give a cluster of a kind (`local` or `ssh`), and stop its server at the end."""
    with ExitStack() as stack:
        if kind == "local":
            made = rh.cluster("local")
        else:
            sshd = stack.enter_context(private_sshd())
            made = sshd.cluster("ssh-box")
        stack.callback(made.disconnect)
        stack.callback(made.stop)
        yield made


@pytest.fixture(scope="module", params=["local", "ssh"])
def local_and_ssh(request: pytest.FixtureRequest, session_home: Path) -> Iterator[rh.Cluster]:
    """Give a cluster of each kind in turn."""
    with running_cluster(request.param) as made:
        yield made
