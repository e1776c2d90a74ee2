"""JupyterLab and kernels on a cluster's head: started, held, found again, and ended."""

from __future__ import annotations

import json
import logging
import secrets
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from runhouse.bootstrap.envs import EnvBuilder
from runhouse.clusters import shell
from runhouse.errors import ConnectError, NotebookError, RunhouseError
from runhouse.specs.env import Build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runhouse.bootstrap.host import Host

log = logging.getLogger(__name__)

# The process is ours alone: what the user has installed must not come in its way.
_PROGRAM = (
    "import sys; sys.path[:1] = [sys.argv[1]]; "
    "from runhouse.bootstrap.jupyter_host import main; main()"
)
_START_S = 120.0
# How long what nobody holds any more goes on: a laptop may be closed over a meal.
_ORPHAN_S = 4 * 3600.0
_RETRY_S = 2.0
_STABLE_S = 30.0
_IPYTHON = "import sys; sys.path += {}; from IPython import start_ipython; start_ipython()"
_PACKAGES = {
    "lab": ("jupyterlab>=4.2,<5",),
    "kernel": ("ipykernel>=6.29,<8",),
    "ipython": ("ipython>=8.20",),
}


@dataclass(frozen=True, slots=True)
class Workplace:
    """Hold where the code of a notebook runs.

    Attributes:
        python: The interpreter of the env.
        script: The file of shell lines that set the env's variables; empty for none.
    """

    python: str
    script: str = ""


@dataclass(frozen=True, slots=True)
class Jupyter:
    """Be one JupyterLab or kernel on a host.

    Attributes:
        host: The host.
        name: What it is found by there.
        what: `"lab"`, `"kernel"` or `"ipython"`.
    """

    host: Host
    name: str
    what: str

    def start(
        self, place: Workplace, *, persist: bool = False, title: str = "", **more: str
    ) -> dict[str, Any]:
        """Start it unless it runs; return how it is reached.

        Args:
            place: Where code runs.
            persist: Whether it goes on for good when nobody holds it.
            title: Name of the kernel, for people.
            **more: What else the program on the host is to know.

        Raises:
            EnvSetupError: The packages that it needs cannot be had there.
            NotebookError: It did not start; has its last lines.
        """
        request = {
            "secret": secrets.token_urlsafe(32),
            "timeout_s": _START_S,
            "orphan_s": None if persist else _ORPHAN_S,
            "title": title,
            "directory": "~",
            **self.tools(place.python),
            **asdict(place),
            **more,
        }
        return self.checked("start", request)

    def ask(self, op: str, **more: Any) -> dict[str, Any]:
        """Have the program on the host do something; its answer may say that it failed."""
        host, own = self.host, {"op": op, "name": self.name, "what": self.what}
        body = {**own, "root": host.server_root(), **more}
        python = sys.executable if host.is_here else host.python()
        command = shlex.join([python, "-E", "-s", "-c", _PROGRAM, host.packages])
        done = host.run(command, input=json.dumps(body).encode())
        lines = done.stdout.strip().splitlines()
        try:
            answer = json.loads(lines[-1]) if lines else None
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
        return {"failed": "program", "said": (done.stderr or done.stdout).strip()[-2000:]}

    def ipython(self, place: Workplace) -> str:
        """Return the shell command that becomes IPython.

        Raises:
            EnvSetupError: IPython cannot be had there.
        """
        packages = self.tools(place.python)["packages"]
        command = shlex.join([place.python, "-c", _IPYTHON.format(packages)])
        script = f". {shlex.quote(place.script)}; " if place.script else ""
        return f"sh -c {shlex.quote(f'{script}exec {command}')}"

    def hold(self) -> str:
        """Keep it from being taken for abandoned, until it ends; return the last that it said.

        A connection that drops is made again, for as long as it would wait for us.

        Raises:
            ConnectError: The host was out of reach for longer than that.
        """
        lost_at = time.monotonic()
        while True:
            began = time.monotonic()
            reason: RunhouseError
            try:
                answer = self.ask("hold")
            except ConnectError as error:
                answer, reason = {}, error
            else:
                reason = self._error({"failed": "program", **answer})
            if "ended" in answer:
                return str(answer["said"])
            now = time.monotonic()
            if now - began > _STABLE_S:
                lost_at = now
            if now - lost_at > _ORPHAN_S:
                raise reason
            log.warning("%s is out of reach, trying again", self.host.host)
            time.sleep(_RETRY_S)

    def stop(self) -> bool:
        """End it; return whether it was running. Of a kernel, nothing is left."""
        return bool(self.ask("stop", forget=self.what == "kernel").get("stopped"))

    def tools(self, python: str) -> dict[str, Any]:
        """Have the packages on the host in an env of their own, of the same Python."""
        builder = EnvBuilder(self.host, partial(shell.show, "stderr"))
        build = Build(python=python, lines=_PACKAGES[self.what])
        built = builder.build(f"{self.what} of runhouse", build, variables={})
        minor = ".".join(built.python_version.split(".")[:2])
        packages = f"{built.prefix}/lib/python{minor}/site-packages"
        return {"jupyter_python": f"{built.prefix}/bin/python", "packages": [packages]}

    def checked(self, op: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have the program on the host do something.

        Raises:
            NotebookError: It failed.
        """
        answer = self.ask(op, **request)
        if "failed" in answer:
            raise self._error(answer)
        return answer

    def _error(self, answer: Mapping[str, Any]) -> NotebookError:
        """Return the error for something that did not start."""
        said = str(answer.get("said", ""))
        why = "It was not ready in time" if answer["failed"] == "slow" else "It ended at once"
        msg = (
            f"{_NAMES[self.what]} did not start on {self.host.host}. {why}, and said:\n{said}\n"
            "Correct what it says, and try again."
        )
        return NotebookError(msg, host=self.host.host, output_tail=said)


_NAMES = {"lab": "JupyterLab", "kernel": "The kernel", "ipython": "IPython"}
