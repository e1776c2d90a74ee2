"""Have a host build an env: bring what it lacks, send what it cannot get, tell failures."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runhouse import settings
from runhouse.bootstrap.package_index import find_index
from runhouse.bootstrap.uv import NotBroughtError, send_uv, uv_here, uv_version
from runhouse.bootstrap.wheels import NoWheelError, Target, find_wheels
from runhouse.errors import EnvSetupError, SyncError
from runhouse.specs.progress import working

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runhouse.bootstrap.host import Completed, Host
    from runhouse.specs.env import Build

Show = Callable[[str], None]
# The process is ours alone: what the user has installed must not come in its way.
_PROGRAM = (
    "import runpy, sys; sys.path[:1] = [sys.argv.pop(1)]; "
    "runpy.run_module('runhouse.bootstrap.env_host', run_name='__main__', alter_sys=True)"
)
_LOGIN = re.compile(r"://[^/\s@]+@")
_REASONS = {
    "python": "Its Python could not be had",
    "packages": "Its packages could not be installed",
    "commands": "A set-up command failed",
    "conda": "conda could not make it",
    "disk": "It could not be written",
    "uv": "uv, which installs packages, did not get there",
}


@dataclass(frozen=True, slots=True)
class Built:
    """Hold an env that is on a host.

    Attributes:
        prefix: Its directory.
        python_version: The version of its Python.
        ran: What was done for it: `"packages"`, and commands; nothing when it was there.
    """

    prefix: str
    python_version: str
    ran: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnvBuilder:
    """Build envs on one host.

    Attributes:
        host: The host.
        show: Shows the user what installers and commands print.
    """

    host: Host
    show: Show

    def build(
        self,
        name: str,
        build: Build,
        *,
        variables: Mapping[str, str],
        directory: str = "",
        offline: bool | None = None,
    ) -> Built:
        """Make an env on the host unless it is there. Safe to repeat, also after a crash.

        Args:
            name: Its name, for messages.
            build: What it is made of.
            variables: Variables of the commands.
            directory: Directory on the host in which the commands run; empty: the home directory.
            offline: Whether packages are sent from here; None: when the host cannot get them.

        Raises:
            EnvSetupError: It could not be made; nothing is left of it.
            ConnectError: The host cannot be reached.
        """
        index = find_index()
        request = {
            **{"op": "build", "name": name, "directory": directory, **asdict(build)},
            "steps": build.steps,
            "variables": dict(variables),
            "index": dict(index.variables),
            "secrets": index.passwords,
            "shown": json.loads(_LOGIN.sub("://****@", json.dumps(asdict(build)))),
        }
        may_send = offline is not False and (build.lines or build.pylock)
        must_send = offline or (index.is_here_only and not self.host.is_here)
        host = self.host.host
        with working(f"Setting up {name} on {host}"):
            # What Python conda will bring is known when it has, and the packages have failed.
            if may_send and must_send and not build.conda and not self._is_there(build.digest):
                request |= self._sent(name, build, self._target(name, request))
            answer = self._ask(request)
            can_help = may_send and "wheels" not in request
            if answer.get("target") and can_help and not answer.get("full"):
                self.show(f"{host} cannot install the packages; they are sent from here\n")
                try:
                    request |= self._sent(name, build, answer["target"])
                except EnvSetupError as error:
                    raise self._failed(name, answer, error.output_tail) from error
                answer = self._ask(request)
        if "failed" in answer:
            raise self._failed(name, answer)
        return Built(answer["prefix"], answer["python_version"], tuple(answer["ran"]))

    def listing(self) -> dict[str, Any]:
        """Return the envs of the host, and the size of its cache; see `env_host.listing`."""
        return self._checked({"op": "list"})

    def remove(
        self,
        digests: list[str] | None,
        *,
        idle_s: float = 0.0,
        cache: bool = False,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Remove envs that are not in use; see `env_host.remove`."""
        request = {"op": "remove", "digests": digests, "idle_s": idle_s}
        return self._checked({**request, "cache": cache, "dry_run": dry_run})

    # -- the program on the host ----------------------------------------------------------------

    def _checked(self, request: dict[str, Any]) -> dict[str, Any]:
        with working(f"Looking at the envs of {self.host.host}"):
            answer = self._ask(request)
        if "failed" in answer:
            raise self._failed("", answer)
        return answer

    def _is_there(self, digest: str) -> bool:
        return any(row["digest"] == digest for row in self.listing()["envs"])

    def _target(self, name: str, request: dict[str, Any]) -> dict[str, str]:
        answer = self._ask({**request, "op": "target"})
        if "failed" in answer:
            raise self._failed(name, answer)
        target: dict[str, str] = answer["target"]
        return target

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have the host do something; uv is brought when it is missing."""
        host = self.host
        uv = (uv_here() if host.is_here else None) or f"{host.root}/bin/uv-{uv_version()}"
        own: dict[str, Any] = {"root": host.root, "uv": str(uv), "own_python": host.python()}
        own["own_cache"] = not host.is_here  # here, what the user's uv has is good for envs too
        body = json.dumps({**request, **own}).encode()
        answer = self._run(body)
        if "uv_missing" in answer:
            try:
                send_uv(self._input, answer["machine"], answer["libc"])
            except NotBroughtError as error:
                return {"failed": "uv", "said": str(error), "full": error.full, "exit_code": 1}
            answer = self._run(body)
        return answer

    def _input(self, command: str, data: bytes) -> Completed:
        return self.host.run(command, input=data)

    def _run(self, body: bytes) -> dict[str, Any]:
        def on_output(name: str, text: str) -> None:
            if name == "stderr":
                self.show(text)

        python = sys.executable if self.host.is_here else self.host.python()
        command = shlex.join([python, "-E", "-s", "-c", _PROGRAM, self.host.packages])
        done = self.host.run(command, input=body, on_output=on_output)
        lines = done.stdout.strip().splitlines()
        try:
            answer = json.loads(lines[-1]) if lines else None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            said = (done.stderr or done.stdout).strip()[-2000:]
            return {"failed": "program", "said": said, "exit_code": done.exit_code}
        return answer

    # -- packages from here ---------------------------------------------------------------------

    def _sent(self, name: str, build: Build, target: dict[str, str]) -> dict[str, Any]:
        """Send packages to the host; return what the request is to have for them.

        Raises:
            EnvSetupError: They cannot be had here either.
        """
        cache = settings.load().home / "cache" / "wheels"
        try:
            wheels = find_wheels(
                build.lines,
                build.pylock,
                Target(**target),
                index=find_index(),
                cache=cache,
                show=self.show,
            )
        except NoWheelError as error:
            failed = {"failed": "packages", "said": str(error), "exit_code": 1}
            raise self._failed(name, failed) from error
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sent-", dir=cache) as staging:
            for file in wheels.files:
                os.link(file, Path(staging, file.name))
            self._copy(name, staging)
        return {"wheels": True, "lines": list(wheels.lines), "pylock": ""}

    def _copy(self, name: str, staging: str) -> None:
        """Copy wheels to the host; those that are there already stay."""
        try:
            self.host.copy(staging, f"{self.host.root}/wheels", up=True, contents=True)
        except SyncError as error:
            failed = {"failed": "packages", "said": str(error), "exit_code": 1}
            raise self._failed(name, failed) from error

    def _failed(self, name: str, answer: dict[str, Any], further: str = "") -> EnvSetupError:
        step, said = answer["failed"], str(answer.get("said", "")).strip()
        full = " The disk there is full: make room, for example with `rh env prune`."
        also = f"\nThey could not be sent from here either:\n{further}" if further else ""
        what = f"The env {name!r} was not set up on" if name else "Envs could not be looked at on"
        msg = (
            f"{what} {self.host.host}. {_REASONS.get(step, 'The installer did not run')}:\n"
            f"{said}{also}\nNothing was changed there; an env that was in use is as before."
            f"{full if answer.get('full') else ' Correct what it says, and try again.'}"
        )
        return EnvSetupError(
            msg,
            host=self.host.host,
            env=name,
            step=step,
            exit_code=int(answer.get("exit_code", 1)),
            output_tail=said,
        )
