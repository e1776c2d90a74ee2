"""The steps by which an env is made on the host: interpreter, packages, commands."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NO_ROOM_BYTES = 4 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 25
_ASK = (
    "import platform, sys; sys.stdout.write('%d.%d.%d|%s|%s' % (*sys.version_info[:3], "
    "platform.machine(), '-'.join(platform.libc_ver())))"
)
_PLACES = (
    "import json, site, sys; sys.stdout.write(json.dumps([*site.getsitepackages(), "
    "*([site.getusersitepackages()] if sys.prefix == sys.base_prefix else [])]))"
)
_CONDAS = ("micromamba", "mamba", "conda")
_CONDA_PLACES = ("~/.local/bin", "~/bin", "~/mini*/bin", "~/*conda3/bin", "~/micromamba/bin")
_PYTHON_PLACES = (
    *("~/.rh/python/*/bin", "~/.local/bin", "~/.local/share/uv/python/*/bin"),
    *("~/.pyenv/versions/*/bin", "~/*conda*/bin", "~/*conda*/envs/*/bin", "/usr/local/bin"),
    *("/usr/bin", "/usr/local/*/bin", "/opt/*/bin", "/opt/python/*/bin"),
)
# An installer for commands that say `pip`; an env with pip among its packages has its own.
_PIP = '#!/bin/sh\nVIRTUAL_ENV=$(cd "$(dirname "$0")/.." && pwd) exec "{uv}" pip "$@"\n'
_LARGEST_SCRIPT = 1024 * 1024


class Failed(Exception):  # noqa: N818 - it is how a step has ended
    """End a build with the step that failed, and what it printed last."""

    def __init__(self, step: str, said: str, exit_code: int = 1) -> None:
        """Store the facts."""
        super().__init__(said)
        self.step = step
        self.said = said
        self.exit_code = exit_code

    def to_json(self) -> dict[str, Any]:
        """Return it as an answer."""
        return {"failed": self.step, "said": self.said, "exit_code": self.exit_code}


class UvMissing(Exception):  # noqa: N818 - the client brings it
    """Report that the host has no uv that can be used."""


class Steps:
    """Make one env in its place."""

    def __init__(self, root: Path, place: Path, request: Mapping[str, Any]) -> None:
        """Store what is wanted.

        Args:
            root: Our directory on the host.
            place: The env's directory, which is not there yet.
            request: What the client sent.
        """
        self._root = root
        self._place = place
        self._request = request
        self._secrets = [each for each in request.get("secrets", ()) if each]
        self._found = ""
        self.ran: list[str] = []

    # -- the whole --------------------------------------------------------------------------

    def run(self, base: Path | None, done: int) -> None:
        """Make the env.

        Args:
            base: Another env in which the first commands have run, or None.
            done: How many these are.

        Raises:
            Failed: A step has failed.
        """
        uv = self._uv()
        if base is None:
            self._make(uv)
            self._install(uv)
        else:
            self._copy(base)
        pip = self._place / "bin" / "pip"
        if not pip.exists():
            pip.write_text(_PIP.format(uv=uv))
            pip.chmod(0o700)
        for command in self._request["commands"][done:]:
            self._say(f"$ {command}")
            self._run("commands", ["sh", "-c", command], cwd=self._directory())
            self.ran.append(command)

    def facts(self) -> dict[str, Any]:
        """Return what is kept about the env."""
        version = self._ask(str(self._place / "bin" / "python"))
        if not version:
            raise Failed("python", f"{self._place}/bin/python does not run")
        names = (each.name for each in self._place.glob("lib/python3*/site-packages/*.dist-info"))
        packages = sorted(
            "==".join(name.removesuffix(".dist-info").split("-", 1)) for name in names
        )
        now = time.time()
        return {"python_version": version[0], "packages": packages, "made_at": now}

    def target(self) -> dict[str, str]:
        """Return for which Python and platform packages must be."""
        own = str(self._place / "bin" / "python")
        python = own if os.access(own, os.X_OK) else self._python()
        version, machine, libc = self._ask(python) or ("", "", "")
        return {"python_version": version, "machine": machine, "libc": libc}

    def _directory(self) -> str:
        wanted = os.path.expanduser(self._request.get("directory") or "~")
        return wanted if os.path.isdir(wanted) else os.path.expanduser("~")

    # -- programs ---------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        for secret in self._secrets:
            text = text.replace(secret, "****")
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _variables(self) -> dict[str, str]:
        """Return the variables of installers and commands."""
        given = {**os.environ, **self._request.get("index", {}), **self._request["variables"]}
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX"):
            given.pop(name, None)
        cache, pythons = self._root / "cache" / "uv", self._root / "python"
        if self._request.get("own_cache", True):
            given["UV_CACHE_DIR"] = str(cache)
        return {
            **given,
            "PATH": f"{self._place / 'bin'}:{given.get('PATH', os.defpath)}",
            "VIRTUAL_ENV": str(self._place),
            "UV_PYTHON_INSTALL_DIR": str(pythons),
            "UV_PYTHON_INSTALL_BIN": "0",
            "UV_NO_PROGRESS": "1",
            "CONDA_ALWAYS_YES": "true",
            "NO_COLOR": "1",
            "UV_HTTP_TIMEOUT": given.get("UV_HTTP_TIMEOUT", "20"),
            "UV_HTTP_RETRIES": given.get("UV_HTTP_RETRIES", "1"),
        }

    def _run(self, step: str, words: Sequence[str], cwd: str = "/") -> None:
        """Run a program to its end, and pass on what it prints.

        Raises:
            Failed: It ended with another code than 0, or cannot be started.
        """
        try:
            process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=self._variables(),
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise Failed(step, f"{words[0]} cannot be run: {error}") from error
        tail: list[str] = []
        reader = threading.Thread(target=self._pass_on, args=(process.stdout, tail), daemon=True)
        reader.start()
        try:
            code = process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        reader.join(1.0)  # what it has left running may hold the pipe
        if code:
            said = "\n".join([f"{' '.join(words[:3])}:" if step == "commands" else "", *tail])
            for secret in self._secrets:
                said = said.replace(secret, "****")
            raise Failed(step, said.strip(), code)

    def _pass_on(self, stream: IO[bytes], tail: list[str]) -> None:
        with stream:
            self._pass_lines(stream, tail)

    def _pass_lines(self, stream: IO[bytes], tail: list[str]) -> None:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip("\n")
            self._say(text)
            tail.append(text)
            del tail[:-_TAIL_LINES]

    def _uv(self) -> str:
        """Return a uv: the one that we have brought, or one of the host.

        Raises:
            UvMissing: There is none.
        """
        given = os.path.expanduser(str(self._request["uv"]))
        if os.access(given, os.X_OK):
            return given
        raise UvMissing

    # -- the interpreter --------------------------------------------------------------------

    def _ask(self, python: str) -> list[str] | None:
        """Return version, machine and C library of an interpreter; None when it does not run."""
        words = [python, "-E", "-s", "-S", "-c", _ASK]
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = done.stdout.decode("ascii", "replace").split("|")
        return found if done.returncode == 0 and len(found) == 3 else None

    def _python(self) -> str:
        """Return the interpreter that the env is made of.

        Raises:
            Failed: The host has it not, and uv cannot bring it.
        """
        if not self._found:
            wanted = self._request["python"]
            self._found = self._named(wanted) if "/" in wanted else self._of_version(wanted)
        return self._found

    def _named(self, path: str) -> str:
        python = os.path.expanduser(path)
        if self._ask(python) is None:
            raise Failed("python", f"{path} cannot be run on this host")
        return python

    def _of_version(self, version: str) -> str:
        own = str(self._request.get("own_python") or sys.executable)
        if not version or self._is(own, version):
            return own
        minor = ".".join(version.split(".")[:2])
        places = [*os.environ.get("PATH", "").split(":"), *_PYTHON_PLACES]
        for place in places:
            for path in sorted(glob.glob(f"{os.path.expanduser(place)}/python{minor}")):
                if self._is(path, version):
                    return path
        self._say(f"Python {version} is not on this host; uv brings it")
        self._run("python", [self._uv(), "python", "install", version])
        for brought in sorted((self._root / "python").glob(f"*/bin/python{minor}")):
            if self._is(str(brought), version):
                return str(brought)
        raise Failed("python", f"the Python {version} that uv installed does not run")

    def _is(self, python: str, version: str) -> bool:
        found = self._ask(python)
        return found is not None and f"{found[0]}.".startswith(f"{version}.")

    def _make(self, uv: str) -> None:
        """Make the directory with an interpreter."""
        conda = self._request.get("conda")
        if conda:
            self._make_conda(conda)
            return
        words = [uv, "venv", "--quiet", "--no-project", "--relocatable"]
        self._run("python", [*words, "--python", _real(self._python()), str(self._place)])
        if self._request.get("inherits"):
            self._inherit(self._python())

    def _inherit(self, python: str) -> None:
        """Let the packages of an interpreter be seen, after the env's own."""
        words = [python, "-E", "-s", "-c", _PLACES]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        lines = (f"import site; site.addsitedir({place!r})" for place in json.loads(done.stdout))
        for folder in self._place.glob("lib/python3*/site-packages"):
            (folder / "_runhouse_inherited.pth").write_text("\n".join([*lines, ""]))

    def _make_conda(self, text: str) -> None:
        tool = self._conda()
        file = self._place.with_name(f".{self._place.name}.yml")
        file.write_text(text)
        words = [tool, *(("create", "--yes") if tool.endswith("micromamba") else ("env", "create"))]
        try:
            self._run("conda", [*words, "--prefix", str(self._place), "--file", str(file)])
        finally:
            file.unlink()
        self.ran.append("conda")

    def _conda(self) -> str:
        places = [*os.environ.get("PATH", "").split(":"), *_CONDA_PLACES, "/opt/*/bin"]
        for name in _CONDAS:
            for place in places:
                for path in sorted(glob.glob(f"{os.path.expanduser(place)}/{name}")):
                    if os.access(path, os.X_OK):
                        return path
        said = "the host has none of micromamba, mamba and conda; install one there"
        raise Failed("conda", said)

    # -- packages ---------------------------------------------------------------------------

    def _install(self, uv: str) -> None:
        request = self._request
        text = request["pylock"] or "".join(f"{line}\n" for line in request["lines"])
        if not text:
            return
        file = self._place / ("pylock.toml" if request["pylock"] else ".requirements.txt")
        file.write_text(text)
        words = [uv, "pip", "install", "--python", str(self._place / "bin" / "python")]
        if request.get("conda"):  # an interpreter of its own, whatever it says of itself
            words.append("--break-system-packages")
        wheels = request.get("wheels")
        if wheels:
            words += [
                "--offline",
                "--no-index",
                "--no-deps",
                "--find-links",
                str(self._root / "wheels"),
            ]
        self._run("packages", [*words, "-r", str(file)], cwd=str(self._place))
        file.unlink()
        self.ran.append("packages")

    def _copy(self, base: Path) -> None:
        """Copy another env; scripts that hold its path get the new one."""
        shutil.copytree(base, self._place, symlinks=True)
        mark = self._place / ".runhouse-env.json"
        mark.unlink()
        old, new = str(base).encode(), str(self._place).encode()
        for path in [*self._place.glob("bin/*"), self._place / "pyvenv.cfg"]:
            if path.is_file() and not path.is_symlink() and path.stat().st_size < _LARGEST_SCRIPT:
                content = path.read_bytes()
                if old in content and b"\0" not in content:
                    path.write_bytes(content.replace(old, new))


def _real(python: str) -> str:
    """Return an interpreter's own path: in an env, a link elsewhere would not find its library."""
    is_environment = os.path.exists(os.path.join(os.path.dirname(python), "..", "pyvenv.cfg"))
    return python if is_environment else os.path.realpath(python)


def _die_with_parent() -> None:
    """Ask the kernel to end this process with the one that has started it (Linux prctl(2))."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
