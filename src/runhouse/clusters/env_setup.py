"""How the envs that are meant get to a cluster's head: read, built and bound to their names."""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runhouse import extras, settings
from runhouse.clusters import shell
from runhouse.clusters.calls import Calls
from runhouse.clusters.env_use import EnvUse, import_places
from runhouse.clusters.hosts import Hosts
from runhouse.clusters.projects import loose_root, project_root
from runhouse.registry.names import check_name
from runhouse.specs.env import Build, Env
from runhouse.specs.envs import as_env
from runhouse.specs.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runhouse.bootstrap.envs import EnvBuilder
    from runhouse.client.client import Client
    from runhouse.client.endpoint import Target
    from runhouse.clusters.env_use import EnvLike
    from runhouse.settings import Settings
    from runhouse.specs.package import Package
    from runhouse.specs.requirements import Requirements


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hold an env that this process may have to set up.

    Attributes:
        env: The env.
        build: What it is made of.
        use: Its name and digest.
    """

    env: Env
    build: Build
    use: EnvUse


class EnvSetup(Hosts):
    """Set up envs on a cluster's head, where they are used."""

    @cached_property
    def calls(self) -> Calls:
        """Return the way to the cluster's workers, for proxies of functions and modules.

        :meta private:
        """
        own = weakref.ref(self)

        def set_up(target: Target) -> bool:
            cluster = own()
            return cluster is not None and cluster.set_up(target)

        return Calls(self.host_of(), self._call_settings(), self._python or "", set_up)

    def _call_settings(self) -> Settings:
        """Return the settings by which calls are made."""
        return settings.load()

    @property
    def client(self) -> Client:
        """Return the client of the cluster's server, for questions: they launch nothing.

        :meta private:

        Raises:
            ClusterNotUpError: It is of machines that are not up.
        """
        self.check_there()
        return self.calls.client

    @cached_property
    def _wanted(self) -> dict[str, Wanted]:
        return {}

    @cached_property
    def _setting_up(self) -> threading.RLock:
        return threading.RLock()

    # -- what is meant ------------------------------------------------------------------------

    def env_name(self, env: EnvLike) -> str:
        """Return the name of the env that a user means.

        :meta private:

        Args:
            env: An env, its name, or packages; None for the cluster's own.

        Raises:
            InvalidNameError: The name cannot be used.
        """
        return self.env_use(env).name

    def env_use(
        self, env: EnvLike, root: Path | None = None, modules: Iterable[str] = ()
    ) -> EnvUse:
        """Return which env a user means, and read the files that it names.

        :meta private:

        Args:
            env: An env, its name, or packages; None for the cluster's own.
            root: The project of the code that is to run in it.
            modules: The modules of that code, for `"mirror"`.

        Raises:
            TypeError: It is nothing of these.
            ValueError: A file that it names is not there or cannot be understood.
            InvalidNameError: The name cannot be used.
        """
        given = self._env if env is None else as_env(env)
        if given is None:
            return EnvUse()
        if isinstance(given, str):
            return EnvUse(check_name(given))
        found = read_packages(given.reqs, given.base, root, modules)
        build = given.build(found, python=self._python or "")
        more = [dict(given.env_vars), given.workers, asdict(given.compute), given.secret_names]
        place = given.working_dir if given.setup_cmds else ""
        digest = digest_of([build.digest, *more, place, list(map(str, found.projects))])
        use = EnvUse(given.named(digest), digest, found.projects)
        self._wanted[digest] = Wanted(given, build, use)
        return use

    # -- setting up ---------------------------------------------------------------------------

    def set_up(self, target: Target) -> bool:
        """Set up the env of a target that the server has not; return whether that was possible.

        :meta private:

        Raises:
            EnvSetupError: It could not be made.
        """
        wanted = self._wanted.get(target.scope.env)
        with self._setting_up:
            if wanted is not None:
                self._set_up(wanted)
                return True
            bound = self._bound(target.env)
            if bound is None or target.scope.env not in ("", bound["digest"]):
                return False
            self._bind(target.env, build_of(bound), bound, variables=None)
            return True

    def _set_up(self, wanted: Wanted) -> None:
        env, use = wanted.env, wanted.use
        fields: dict[str, Any] = {
            "digest": use.digest,
            "workers": env.workers,
            "gpus": env.compute.gpus,
            "imports": self._placed(use.projects),
            "definition": {"env": _without_values(env), "build": asdict(wanted.build)},
        }
        for each in env.secrets:
            (Secret(each) if isinstance(each, str) else each).to(self, env=use.name)
        self._bind(
            use.name,
            wanted.build,
            fields,
            variables=env.env_vars,
            directory=self._working_directory(env),
            offline=env.offline,
        )

    def _bind(
        self,
        name: str,
        build: Build,
        fields: Mapping[str, Any],
        *,
        variables: Mapping[str, str] | None,
        directory: str = "",
        offline: bool | None = None,
    ) -> None:
        """Have an env made, and let its name stand for it; None keeps the variables of before."""
        needs_nothing = build == Build() or build == Build(python=self._python or "")
        prefix = version = ""
        if not needs_nothing:
            built = self._builder.build(
                name, build, variables=variables or {}, directory=directory, offline=offline
            )
            prefix, version = built.prefix, built.python_version
        body = {
            **{key: fields[key] for key in _BOUND if key in fields},
            "prefix": prefix,
            "python_version": version,
            "variables": None if variables is None else dict(variables),
        }
        self.calls.client.request("PUT", f"/envs/{quote(name, safe='')}", body)

    @property
    def _builder(self) -> EnvBuilder:
        """Return what builds envs on the head; loaded with its first use, as few need it."""
        envs = extras.load("runhouse.bootstrap.envs", extra="envs")
        builder: EnvBuilder = envs.EnvBuilder(self.host_of(), partial(shell.show, "stderr"))
        return builder

    def _bound(self, name: str) -> dict[str, Any] | None:
        """Return what the server knows about an env, or None."""
        found: dict[str, Any] | None = self.calls.client.get(f"/envs/{quote(name, safe='')}")
        return found

    def _placed(self, projects: Iterable[Path]) -> list[str]:
        """Bring projects to the host; return where imports are looked for."""
        host = self.host_of()
        return [
            each
            for project in projects
            for each in import_places(host.place(project).directory, project)
        ]

    def _working_directory(self, env: Env) -> str:
        """Bring the project in which commands run to the host; return its directory there."""
        if not env.setup_cmds:
            return ""
        base = env.base
        root = project_root(base) or loose_root(base)
        if root is None:
            return ""
        there = Path(self.host_of().place(root).directory)
        return str(there / base.relative_to(root))

    def env_script(self, env: EnvLike) -> str | None:
        """Return the file of shell lines on the host that set an env's variables.

        :meta private:

        The env is set up first when that is needed.

        Returns:
            Its path; empty when the env is the host's own interpreter; None when no env is meant.
        """
        if env is None and self._env is None:
            return None
        use = self.env_use(env)
        bound = self._bound(use.name)
        if use.digest and (bound is None or bound["digest"] != use.digest):
            with self._setting_up:
                self._set_up(self._wanted[use.digest])
            bound = self._bound(use.name)
        return str(bound["script"]) if bound is not None else ""


_BOUND = ("digest", "workers", "gpus", "imports", "definition")


def read_packages(
    packages: Sequence[Package],
    base: Path,
    root: Path | None = None,
    modules: Iterable[str] = (),
) -> Requirements:
    """Return what packages need; see `env_reading`, which few scripts need."""
    reading = extras.load("runhouse.clusters.env_reading", extra="envs")
    found: Requirements = reading.read_packages(packages, base, root, modules)
    return found


def digest_of(value: object) -> str:
    """Return a digest of a JSON value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:20]


def _without_values(env: Env) -> dict[str, Any]:
    """Return what is told about an env: no values of variables."""
    fields = env.fields()
    if "env_vars" in fields:
        fields["env_vars"] = sorted(fields["env_vars"])
    return fields


def build_of(bound: Mapping[str, Any]) -> Build:
    """Return what an env that the server knows is made of."""
    found = bound.get("definition", {}).get("build")
    if found is None:
        return Build()
    return Build(**{**found, "lines": tuple(found["lines"]), "commands": tuple(found["commands"])})
