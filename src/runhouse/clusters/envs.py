"""Envs of a cluster for its users: listed, added to, removed and pruned."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runhouse import extras
from runhouse.clusters import arguments
from runhouse.clusters.env_setup import EnvSetup, build_of, digest_of, read_packages
from runhouse.errors import EnvSetupError
from runhouse.specs.env import Build, packages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runhouse.clusters.env_status import EnvStatus
    from runhouse.clusters.env_use import EnvLike
    from runhouse.specs.package import Package

_DAY_S = 24 * 3600.0
_LET_GO_S = 5.0
_PAUSE_S = 0.05


class Envs(EnvSetup):
    """Look after the envs of a cluster."""

    def install_packages(
        self, reqs: str | Package | Sequence[str | Path | Package], env: EnvLike = None
    ) -> None:
        """Add packages to an env, beside which a new one is made that takes its place.

        Workers that run in it go on with what they have; the next call gets a worker with the new
        packages. Where the env's name stood for the host's own interpreter, the new one sees the
        packages of that as well; the interpreter itself is not touched. Safe to repeat.

        Args:
            reqs: What to install, in the forms of `runhouse.package`.
            env: The env, or its name; None for the cluster's own.

        Raises:
            EnvSetupError: They could not be installed; the env is as it was before.
            TypeError: An argument is of the wrong type.
            ValueError: A package cannot be understood.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.install_packages([], env="tools")  # for example ["numpy<3"]
        """
        asked = packages(reqs)
        use = self.env_use(env)
        if use.digest:
            with self._setting_up:
                self._set_up(self._wanted[use.digest])
        found = read_packages(asked, Path.cwd())
        bound = self._bound(use.name) or {}
        old = build_of(bound) if bound else Build(python=self._python or "")
        if old.pylock or found.pylock:
            msg = (
                f"Nothing was installed into the env {use.name!r}. It is exactly what its lock "
                "file says. Add the packages there."
            )
            raise ValueError(msg)
        added = [line for line in found.lines if line not in old.lines]
        names = {_name(line) for line in added}
        kept = [line for line in old.lines if _name(line) not in names]
        bare = not bound.get("prefix")
        build = replace(old, lines=(*kept, *added), inherits=bare or old.inherits)
        imports = [*bound.get("imports", ()), *self._placed(found.projects)]
        definition = {**bound.get("definition", {}), "build": asdict(build)}
        digest = digest_of([build.digest, bound.get("digest", ""), imports])
        if not added and imports == list(bound.get("imports", ())):
            return
        fields = {**bound, "digest": digest, "imports": imports, "definition": definition}
        self._bind(use.name, build, fields, variables=None)

    def remove_conda_env(self, env: EnvLike) -> bool:
        """Remove an env, of conda or not: its name then stands for the host's own interpreter.

        Its directory goes too, unless another name stands for the same content.

        Args:
            env: The env, or its name.

        Returns:
            Whether there was one.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            EnvSetupError: A worker still runs in it; the name is free, and `rh env prune` removes
                the rest once the worker has ended.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.remove_conda_env("no-such-env")
            False
        """
        name = self.env_name(env)
        self.check_there()
        bound = self._bound(name)
        self.client.request("DELETE", f"/envs/{quote(name, safe='')}")
        if bound is None:
            return False
        digest = Path(bound["prefix"]).name
        others = self.client.get("/envs")["envs"]
        if not digest or any(each["prefix"] == bound["prefix"] for each in others):
            return True
        self.client.close()  # our own idle connections would keep its workers
        deadline = time.monotonic() + _LET_GO_S
        while self._builder.remove([digest])["in_use"]:
            if time.monotonic() > deadline:
                msg = (
                    f"The directory of the env {name!r} was not removed. A worker still runs in "
                    "it. Wait for its calls, delete its objects, and use `rh env prune`."
                )
                raise EnvSetupError(msg, host=self.host_of().host, env=name, step="remove")
            time.sleep(_PAUSE_S)
        return True

    def envs(self) -> list[EnvStatus]:
        """Return the envs that are on the cluster's head, with their sizes; the newest use first.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            ConnectError: The host cannot be reached.
            BootstrapError: The host was reached, but runhouse cannot start there.

        Example:
            >>> import runhouse as rh
            >>> all(env.size_bytes > 0 for env in rh.here.envs())
            True
        """
        bound, rows = self.client.get("/envs")["envs"], self._builder.listing()["envs"]
        status = extras.load("runhouse.clusters.env_status", extra="envs")
        found: list[EnvStatus] = status.status_of(rows, bound)
        return found

    def prune_envs(
        self, idle_days: float = 30.0, *, cache: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        """Remove envs in which no worker runs and that were not used for some days.

        One that is still wanted is made again with its next use.

        Args:
            idle_days: How many days; 0: all that are not in use now.
            cache: Remove downloads as well, from which envs are made.
            dry_run: Remove nothing, and only say what would be.

        Returns:
            `removed`: their digests; `freed_bytes`; `in_use`: those that were left because of that.

        Raises:
            ClusterNotUpError: It is of machines that are not up; a question launches none.
            ValueError: The number of days is negative.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.prune_envs(idle_days=365, dry_run=True)["removed"]
            []
        """
        idle_s = arguments.seconds("idle_days", idle_days) * _DAY_S
        self.check_there()
        return self._builder.remove(None, idle_s=idle_s, cache=cache, dry_run=dry_run)


def _name(line: str) -> str:
    """Return what a requirement is known by: its name, or the whole when it has none."""
    name = re.split(r"[\s\[<>=!~;@(]", line, maxsplit=1)[0]
    return line if "://" in name or not name else re.sub(r"[-_.]+", "-", name).lower()
