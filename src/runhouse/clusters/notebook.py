"""Notebooks and IPython on a cluster's head."""

from __future__ import annotations

import hashlib
import html
import os
import sys
import webbrowser
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse import settings
from runhouse.clusters import arguments
from runhouse.clusters.brought_back import Copy
from runhouse.clusters.commands import Commands
from runhouse.clusters.jupyter import Jupyter, Workplace
from runhouse.clusters.launching import say
from runhouse.files import write_private
from runhouse.specs.package import Package
from runhouse.specs.progress import is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.clusters.env_use import EnvLike

_ATTEMPTS = 100
_PAGE = (
    '<!doctype html><meta charset="utf-8"><title>JupyterLab</title>'
    '<meta http-equiv="refresh" content="0; url={url}"><a href="{url}">JupyterLab</a>\n'
)


@dataclass(frozen=True, slots=True)
class Lab:
    """Be a JupyterLab on a host, led here.

    Attributes:
        jupyter: The program on the host.
        port: Its port on this machine.
        token: What lets one in.
        reused: Whether it was running already.
    """

    jupyter: Jupyter
    port: int
    token: str
    reused: bool

    @property
    def url(self) -> str:
        """Return its address, with the token."""
        return f"http://127.0.0.1:{self.port}/lab?token={self.token}"

    def stay(self, *, open_browser: bool | None = None) -> None:
        """Tell how it is reached, and wait until it ends, or for Ctrl-C.

        Args:
            open_browser: Whether to show it in the user's browser; None: where there is a screen.
        """
        verb = "is running already" if self.reused else "is running"
        try:
            say(f"JupyterLab {verb} on {self.jupyter.host.host}: {self.url}")
            say("Leave it with Ctrl-C.")
            if _has_screen() if open_browser is None else open_browser:
                self._open_browser()
            self.jupyter.hold()
        except KeyboardInterrupt:
            say("Closing the notebook.")

    def _open_browser(self) -> None:
        """Open the browser with a page on the disk that leads on: arguments are public."""
        folder = settings.load().home.expanduser() / "notebooks"
        page = folder / f"{self.jupyter.name}-{self.port}.html"
        write_private(page, _PAGE.format(url=html.escape(self.url)).encode())
        webbrowser.open(page.as_uri())


def _has_screen() -> bool:
    """Tell whether a browser can be shown to somebody."""
    on_screen = sys.platform == "darwin" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
    return bool(on_screen) and is_terminal(sys.stderr)


class Notebooks(Commands):
    """Work on a cluster's head in notebooks and in IPython."""

    def notebook(
        self,
        persist: bool = False,
        sync_package_on_close: str | Path | Package | None = None,
        port_forward: int = 8888,
        *,
        env: EnvLike = None,
        open_browser: bool | None = None,
    ) -> None:
        """Run JupyterLab on the head, lead it here, and stay until Ctrl-C or its own end.

        JupyterLab is installed in an env of its own, and its kernel runs in the Python of `env`:
        neither that nor the host's Python is touched. When the connection drops it is made again;
        kernels go on meanwhile, for hours. On clusters that stop by themselves, a cell that
        computes keeps them up, an open notebook does not.

        Args:
            persist: Leave it running at the end; the next call finds it again, with its kernels.
            sync_package_on_close: A project here: the notebook works on a copy of it, and at the
                end what has changed there comes back. A file that has changed here as well is kept,
                and the other one put beside it. None: the notebook works in the home directory.
            port_forward: The port here; when it is taken, the next one that is free.
            env: The env of the kernel, or its name; None for the cluster's own.
            open_browser: Whether to show it in your browser; None: where there is a screen.

        Raises:
            EnvSetupError: JupyterLab, or the env, could not be had on the host.
            NotebookError: JupyterLab did not start; has its last lines.
            ConnectError: The host cannot be reached.
            TypeError: An argument is of the wrong type.
            ValueError: The port is out of range, or there is no such project.

        Example:
            >>> import runhouse as rh
            >>> rh.here.notebook(port_forward=0)  # doctest: +ELLIPSIS
            Traceback (most recent call last):
            ValueError: port_forward cannot be 0. It is no TCP port. ...
        """
        with self.open_notebook(
            env=env, port=port_forward, persist=persist, project=sync_package_on_close
        ) as lab:
            lab.stay(open_browser=open_browser)

    @contextmanager
    def open_notebook(
        self,
        *,
        env: EnvLike = None,
        port: int = 8888,
        persist: bool = False,
        project: str | Path | Package | None = None,
    ) -> Iterator[Lab]:
        """Have JupyterLab on the head, led here, for as long as a `with` block runs.

        Args:
            env: See `notebook`.
            port: The `port_forward` of `notebook`.
            persist: See `notebook`.
            project: The `sync_package_on_close` of `notebook`.

        Yields:
            What has `url`, `port` and `token`, and `stay()`.

        Raises:
            EnvSetupError: JupyterLab, or the env, could not be had on the host.
            NotebookError: JupyterLab did not start; has its last lines.

        Example:
            >>> with rh.cluster("box").open_notebook() as lab:  # doctest: +SKIP
            ...     print(lab.url)
        """
        arguments.port("port_forward", port)
        root = None if project is None else _directory(project)
        host, place, name = self.host_of(), self.workplace(env), self.env_name(env)
        # Each project has a notebook of its own, as it has a directory of its own.
        jupyter = Jupyter(host, name if root is None else _name_for(name, root), "lab")
        with ExitStack() as stack:
            copy = None if root is None else Copy.make(jupyter, root)
            directory = "~" if copy is None else copy.directory
            title = f"Python ({name})"
            found = jupyter.start(place, directory=directory, persist=persist, title=title)
            if copy is not None:
                stack.callback(copy.bring_back)
            if not persist:
                stack.callback(jupyter.stop)
            tunnel = stack.enter_context(host.forward_port(port, found["port"], attempts=_ATTEMPTS))
            yield Lab(jupyter, tunnel.local_port, found["token"], found["reused"])

    def ipython(self, *, env: EnvLike = None) -> int:
        """Open IPython on this terminal, in the Python of an env on the head.

        IPython is installed in an env of its own; yours is not touched.

        Args:
            env: The env, or its name; None for the cluster's own.

        Returns:
            Its exit code.

        Raises:
            EnvSetupError: IPython, or the env, could not be had on the host.
            ConnectError: The host cannot be reached.

        Example:
            >>> rh.cluster("box").ipython(env="train")  # doctest: +SKIP
            0
        """
        return self.host_of().interactive(self.ipython_command(env))

    def ipython_command(self, env: EnvLike = None) -> str:
        """Return the shell command by which the head becomes IPython; see `ipython`.

        :meta private:

        Args:
            env: The env, or its name; None for the cluster's own.
        """
        return Jupyter(self.host_of(), "ipython", "ipython").ipython(self.workplace(env))

    def workplace(self, env: EnvLike = None) -> Workplace:
        """Return where code runs in an env, which is set up if that is needed.

        :meta private:

        Args:
            env: The env, or its name; None for the cluster's own.

        Raises:
            EnvSetupError: It could not be set up.
        """
        script = self.env_script(env) or ""
        if not script:
            return Workplace(self.host_of().python())
        ((code, python, said),) = self.run("command -v python", env=env, stream_logs=False)
        del code, said
        return Workplace(python.strip() or self.host_of().python(), script)


def _name_for(env: str, project: Path) -> str:
    digest = hashlib.sha256(os.fsencode(project.resolve())).hexdigest()[:8]
    return f"{env}-{digest}"


def _directory(project: str | Path | Package) -> Path:
    """Return the directory that a user means.

    Raises:
        ValueError: There is no such directory.
    """
    path = Path(project.text if isinstance(project, Package) else project).expanduser()
    if not path.is_dir():
        msg = (
            f"sync_package_on_close={str(path)!r} cannot be used. There is no such directory here. "
            "Give the directory of a project."
        )
        raise ValueError(msg)
    return path
