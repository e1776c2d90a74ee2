"""One thing that an env needs: a requirement, a project, a file of requirements, a repository."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

Sort = Literal["requirement", "project", "file", "conda", "mirror"]
MIRROR = "mirror"
_REPOSITORY = re.compile(r"gh:(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+?)(?:@(?P<ref>[^\s@]+))?")
_REPOSITORIES = "https://github.com"
# PEP 508: a name, or a name with extras, then versions, a URL or markers.
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:\[[^\]]*\])?\s*(?:$|[<>=!~;(@].*)"
)
_LOCATION = re.compile(r"(?:git|hg|svn|bzr)\+\S+|https?://\S+")
_FILE = re.compile(r"(?:.*/)?(?:[^/]*\.(?:txt|in)|uv\.lock|pylock(?:\.[^/]+)?\.toml)")
_PYPROJECT = re.compile(r"(?P<path>(?:.*/)?pyproject\.toml)(?:\[(?P<extras>[^\]]*)\])?")


class Host(Protocol):
    """Be a cluster, as far as packages need it."""

    def install_packages(self, reqs: Sequence[str | Package], env: str | None = None) -> None:
        """Install packages into an env."""


@dataclass(frozen=True, slots=True)
class Package:
    """Be one thing that an env needs; made by `runhouse.package`.

    Attributes:
        sort: `"requirement"`: as pip takes it; `"project"`: a directory here; `"file"`:
            requirements.txt, pyproject.toml, uv.lock or pylock.toml; `"conda"`: a package of conda;
            `"mirror"`: whatever a function's module imports, as it is here.
        text: The requirement, or the path.
        extras: Extras of a project's `pyproject.toml`.
    """

    sort: Sort
    text: str
    extras: tuple[str, ...] = ()

    @classmethod
    def parse(cls, given: object) -> Package:
        """Read what a user wrote.

        Raises:
            TypeError: It is neither a text, nor a path, nor a package.
            ValueError: It has none of the forms.
        """
        if isinstance(given, Package):
            return given
        if isinstance(given, Path):
            given = f"{given}/" if given.is_dir() else str(given)
        if not isinstance(given, str):
            msg = (
                f"{given!r} is no package. It is of type {type(given).__name__}. Pass a text as "
                "pip takes it, a path, or what runhouse.package() returned."
            )
            raise TypeError(msg)
        text = given.strip().removeprefix("reqs:").removeprefix("local:").removeprefix("pip:")
        found = _repository(text) or _path(text)
        if found is not None:
            return found
        if text == MIRROR:
            return cls("mirror", "")
        if text.startswith("conda:") and re.fullmatch(r"[\w.:/-]+(?:[<>=!~ ].*)?", text[6:]):
            return cls("conda", text[6:])
        if "\n" not in text and (_REQUIREMENT.fullmatch(text) or _LOCATION.fullmatch(text)):
            return cls("requirement", text)
        msg = (
            f"{given!r} is no package. It has none of the forms that are known. Give for example "
            "'numpy==2.1', './', 'requirements.txt', 'pyproject.toml[gpu]', 'uv.lock', "
            "'gh:owner/repo@ref' or 'conda:jupyter'."
        )
        raise ValueError(msg)

    def to(self, cluster: Any, env: str | None = None) -> Package:
        """Install the package on a cluster; see `Cluster.install_packages`.

        Args:
            cluster: The cluster, as `runhouse.cluster` returned it.
            env: Name of the env; None for the cluster's own.

        Returns:
            The package itself.

        Raises:
            EnvSetupError: It could not be installed; the env is as it was before.
        """
        host: Host = cluster
        host.install_packages([self], env)
        return self


def _repository(text: str) -> Package | None:
    if not text.startswith("gh:"):
        return None
    found = _REPOSITORY.fullmatch(text)
    if found is None:
        msg = f"{text!r} is no repository. Its form is wrong. Give 'gh:owner/repo' or with '@ref'."
        raise ValueError(msg)
    ref = f"@{found['ref']}" if found["ref"] else ""
    return Package("requirement", f"git+{_REPOSITORIES}/{found['owner']}/{found['repo']}{ref}")


def _path(text: str) -> Package | None:
    """Return the package of a path, or None when the text is none."""
    project = _PYPROJECT.fullmatch(text)
    if project is not None:
        extras = (each.strip() for each in (project["extras"] or "").split(","))
        return Package("file", project["path"], tuple(filter(None, extras)))
    if _FILE.fullmatch(text) and "://" not in text and " " not in text:
        return Package("file", text)
    if text in (".", "..", "~") or text.startswith(("./", "../", "/", "~/")) or text.endswith("/"):
        return Package("project", text)
    return None


def package(spec: str | Path) -> Package:
    """Name one thing that an env needs, in any of its forms.

    Nothing is read or installed before the env is set up somewhere.

    Args:
        spec: A requirement as pip takes it (`"numpy==2.1"`), a directory with a project (`"./"`),
            whose dependencies are installed and whose code is synced; a file of requirements
            (`"requirements.txt"`, `"pyproject.toml[extra]"`, `"uv.lock"`, `"pylock.toml"`); a
            repository (`"gh:owner/repo@ref"`); a package of conda (`"conda:jupyter"`); or
            `"mirror"`: what a function's module imports, at the versions that are installed here.

    Returns:
        The package, for the list of an env, or to install with `.to(cluster)`.

    Raises:
        TypeError: It is no text and no path.
        ValueError: It has none of the forms.

    Example:
        >>> import runhouse as rh
        >>> rh.package("gh:owner/repo@v1").sort
        'requirement'
    """
    return Package.parse(spec)
