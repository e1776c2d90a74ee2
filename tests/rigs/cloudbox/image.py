"""The machine image: what is on a host's disk at its first boot, besides the system.

SkyPilot installs itself on every host, from the internet. Hosts here have none, so their image has
all of it: uv, an environment with Ray and SkyPilot, and one for users. It takes minutes to make,
and stays in the cache until its versions (requirements/cloud-machine.txt) or its Python change.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rigs.cloudbox.box import HOST_UID, PROJECT, BoxError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rigs.cloudbox.box import Box

_LOCK = PROJECT / "requirements/cloud-machine.txt"
# SkyPilot brings itself to hosts in a wheel that it builds, and looks there for its fingerprint.
_WHEEL_MARK = ".sky/wheels/current_sky_wheel_hash"
_BUILD_WHEEL = "from sky.backends import wheel_utils; wheel_utils.build_sky_wheel()"
# What Ray and SkyPilot run on a host; compiled once here, and not at each boot.
_WARM_UP = (
    "import ray.dashboard.agent, ray.dashboard.dashboard, ray.job_submission, ray.scripts.scripts",
    "import ray._private.workers.default_worker, ray.autoscaler._private.monitor",
    "import sky.skylet.skylet",
)


@dataclass(frozen=True, slots=True)
class MachineImage:
    """Tell where an image is.

    Attributes:
        folder: Its folder in the cache; there is no unfinished one under this name.
    """

    folder: Path

    @classmethod
    def current(cls, box: Box) -> MachineImage:
        """Return the image for the versions that are locked, which may still have to be made."""
        recipe = _LOCK.read_bytes() + Path(__file__).read_bytes() + sys.base_prefix.encode()
        digest = hashlib.sha256(recipe).hexdigest()[:12]
        return cls(box.cache / f"machine-{digest}")

    @property
    def home(self) -> Path:
        """The home directory of the user of hosts."""
        return self.folder / "home"

    @property
    def wheels(self) -> Path:
        """The wheel that SkyPilot has built of itself, as in its `~/.sky/wheels`."""
        return self.folder / "wheels"

    def prepare(self) -> None:
        """Make the image if it is not there; safe to call from several processes."""
        if self.folder.is_dir():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder.parent / "lock"):
            if self.folder.is_dir():
                return
            began = time.monotonic()
            beside = Path(tempfile.mkdtemp(prefix="making-", dir=self.folder.parent))
            try:
                beside.chmod(0o755)
                _Making(beside).make()
                beside.rename(self.folder)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
            _tell(f"made in {time.monotonic() - began:.0f} s: {self.folder}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let no other process in at the same time."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _tell(text: str) -> None:
    print(f"Machine image: {text}", flush=True)


def _pinned(name: str) -> str:
    """Return the lines of the lock for one distribution."""
    found = re.search(rf"^{name}==.*\n(?: +--hash=.*\n)+", _LOCK.read_text(), re.MULTILINE)
    assert found is not None, name
    return found.group()


class _Making:
    """Make an image in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = folder / "home"
        self._runtime = self._home / "skypilot-runtime"
        self._uv = shutil.which("uv", path=str(Path(sys.executable).parent))
        self._environ = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }

    def make(self) -> None:
        """Do all of it."""
        if self._uv is None:
            message = (
                "The machine image cannot be made. There is no uv beside "
                f"{sys.executable}. Run scripts/setup.sh cloud, and use the Python that it makes."
            )
            raise BoxError(message)
        (self._home / ".local/bin").mkdir(parents=True)
        shutil.copy(self._uv, self._home / ".local/bin/uv")
        _tell("installing Ray and SkyPilot, some 700 MB")
        self._venv(self._runtime)
        self._install(self._runtime, "--require-hashes", "--requirement", str(_LOCK))
        user = self._home / "sky-user-env"
        self._venv(user, "--system-site-packages")
        pin = ["--require-hashes", "--requirement", "-"]
        self._install(user, *pin, requirements=_pinned("pip"))
        _tell("building SkyPilot's wheel of itself")
        self._add_wheel()
        _tell("compiling")
        self._compile()
        owner = f"{HOST_UID}:{HOST_UID}"
        self._run("chown", "--recursive", "--no-dereference", owner, str(self._home))

    def _run(self, *command: str, requirements: str = "", **variables: str) -> None:
        done = subprocess.run(
            command,
            check=False,
            input=requirements,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**self._environ, **variables},
        )
        if done.returncode:
            message = (
                f"The machine image cannot be made. {' '.join(command)} failed: "
                f"{done.stdout.strip()[-2000:]}. Correct that, and try again."
            )
            raise BoxError(message)

    def _venv(self, folder: Path, *options: str) -> None:
        python = ["--python", f"{sys.base_prefix}/bin/python3"]
        self._run(str(self._uv), "venv", "--relocatable", *options, *python, str(folder))

    def _install(self, venv: Path, *what: str, requirements: str = "") -> None:
        # Copied, because hosts' users will own the files.
        variables = {"VIRTUAL_ENV": str(venv), "UV_LINK_MODE": "copy"}
        command = [str(self._uv), "pip", "install", *what]
        self._run(*command, requirements=requirements, **variables)

    def _add_wheel(self) -> None:
        """Build SkyPilot's wheel as it would, and install that one."""
        with tempfile.TemporaryDirectory() as home:
            # Built with what is installed here, and not with what an index has at the time.
            variables = {
                "HOME": home,
                "TMPDIR": home,
                "PIP_NO_BUILD_ISOLATION": "false",  # which means that there is none
                "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
            }
            self._run(sys.executable, "-c", _BUILD_WHEEL, **variables)
            (built,) = Path(home, ".sky/wheels").glob("*/*.whl")
            wheel = self._folder / "wheels" / built.parent.name / built.name
            wheel.parent.mkdir(parents=True)
            shutil.copy(built, wheel)
        self._install(self._runtime, "--no-deps", "--reinstall", str(wheel))
        mark = self._home / _WHEEL_MARK
        mark.parent.mkdir(parents=True)
        mark.write_text(f"{wheel.parent.name}\n")

    def _compile(self) -> None:
        python = str(self._runtime / "bin/python")
        (packages,) = self._runtime.glob("lib/python*/site-packages")
        own = [str(packages / name) for name in ("ray", "sky")]
        self._run(python, "-m", "compileall", "-q", "-j", "0", *own)
        with tempfile.TemporaryDirectory() as home:
            for line in _WARM_UP:
                self._run(python, "-c", line, HOME=home)
