"""Secrets: found where each provider keeps them, and sent to where its tools look on a host."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NoReturn

from runhouse.errors import (
    NotSerializableError,
    SecretConflictError,
    SecretError,
    SecretNotFoundError,
)
from runhouse.registry import credentials
from runhouse.registry.names import check_key, check_name
from runhouse.server.names import DEFAULT_ENV
from runhouse.specs.found import Found, FoundFile, as_files, as_variables, find
from runhouse.specs.keeping import write_no_core
from runhouse.specs.providers import PROVIDERS, Provider
from runhouse.specs.systems import Host, System, hosts
from runhouse.specs.values import host_path, variables as checked_values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

_ALL_ENVS = "all"


@dataclass(frozen=True, slots=True)
class SentSecret:
    """Say what became of one secret on a cluster; it holds no value.

    Attributes:
        name: The secret.
        state: `sent`, `unchanged` (it was there already), `kept` (nothing was sent, as the host has
            another one in its place) or `removed`.
        places: Files on the host, and variables as `$NAME` or, of one env, `ENV:$NAME`.
    """

    name: str
    state: str
    places: tuple[str, ...] = ()


class Secret:
    """Be credentials under a name: those of a provider, or values of your own.

    Made by `runhouse.secret`. Its values are read when they are sent. It cannot be pickled, and
    neither its text nor its errors show a value.

    Example:
        >>> import runhouse as rh
        >>> weather = rh.secret("weather", values={"WEATHER_KEY": "abc"})
        >>> weather
        <runhouse.Secret 'weather'>
    """

    def __init__(self, name: str, values: Mapping[str, str] | None = None) -> None:
        """Check and store the definition; use `runhouse.secret` instead."""
        self.name = check_key(name)
        self._provider = PROVIDERS.get(name)
        self._values = None if values is None else checked_values(name, values, self._provider)

    def __repr__(self) -> str:
        """Return the name alone."""
        return f"<runhouse.Secret {self.name!r}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled, so that no value gets into calls, objects and files."""
        msg = (
            f"The secret {self.name!r} cannot be pickled. Its values would travel with calls and "
            "be kept with objects. Send it with secret.to(cluster); code finds it there."
        )
        raise NotSerializableError(msg)

    @property
    def provider(self) -> str | None:
        """Return the provider's name, or None for values of your own."""
        return self._provider.name if self._provider is not None else None

    def found(self) -> Found:
        """Return the values as they are here: given, saved, or where the provider keeps them.

        From then on this process writes no core file.

        Returns:
            The values, and where they are; its text does not show them.

        Raises:
            SecretNotFoundError: They are not on this machine.
            SecretError: A file cannot be read.

        Example:
            >>> import runhouse as rh
            >>> weather = rh.secret("weather", values={"WEATHER_KEY": "abc"})
            >>> weather.found().places
            ('$WEATHER_KEY',)
        """
        write_no_core()
        if self._values is not None:
            return Found(self._values)
        saved = credentials.load_values(self.name)
        if saved is not None:
            return Found(saved)
        return find(_known(self.name))

    def places(self) -> tuple[str, ...]:
        """Return where it is found here: paths, and variables as `$NAME`.

        Raises:
            SecretNotFoundError: It is not on this machine.
            SecretError: A file cannot be read.

        Example:
            >>> import runhouse as rh
            >>> weather = rh.secret("weather", values={"WEATHER_KEY": "abc"})
            >>> weather.places()
            ('$WEATHER_KEY',)
        """
        return self.found().places

    def to(
        self,
        system: System | str,
        path: str | PathLike[str] | None = None,
        env: str | None = None,
        *,
        overwrite: bool = False,
    ) -> SentSecret:
        """Send it to all hosts of a cluster; safe to repeat.

        It goes to the default place of its provider: the file in which the provider's tools look,
        or, where they look into variables only, into those of all workers. The values go over SSH
        as standard input of the program that writes them, into files of mode 0600. Running workers
        have new variables from their next call on.

        Args:
            system: A cluster, or the name of a saved one.
            path: The file on the host for it to be in instead: the provider's file as it is, and
                values of your own as a JSON object.
            env: The name of the env whose workers alone get it, as variables, and no file.
            overwrite: Put it in place of another one that the host has there; that one comes back
                when this one is removed.

        Returns:
            What was done.

        Raises:
            SecretNotFoundError: It is not on this machine.
            SecretConflictError: The host has another one in its place; nothing was changed.
            SecretError: It cannot be read here or written there, or not become variables.
            ConnectError: The host cannot be reached.
            TypeError: An argument is of the wrong type.
            ValueError: The path is empty, or both a path and an env were given.

        Example:
            >>> import runhouse as rh
            >>> weather = rh.secret("weather", values={"WEATHER_KEY": "abc"})
            >>> weather.to(rh.here, env="default")
            SentSecret(name='weather', state='sent', places=('default:$WEATHER_KEY',))
            >>> weather.remove(rh.here).state
            'removed'
        """
        scope = _scope(env)
        target = None if path is None else host_path(path)
        if target is not None and env is not None:
            msg = "A secret goes to a path or into an env, not both. Send it twice."
            raise ValueError(msg)
        goods = self._goods(target, env)
        sent = [self._send(host, goods, scope, overwrite=overwrite) for host in hosts(system)]
        return next((each for each in sent if each.state == "sent"), sent[0])

    def _goods(self, path: str | None, env: str | None) -> Found:
        """Return what is to be on a host: files, or variables."""
        found = self.found()
        if path is not None:
            return Found(files=(self._file(path, found),))
        if self._provider is None:
            return found
        if env is not None:
            variables = as_variables(self._provider, found)
            if variables is None:
                msg = (
                    f"The secret {self.name!r} cannot become variables of an env. It is in files: "
                    f"{', '.join(found.places)}. Send it without env=."
                )
                raise SecretError(msg, name=self.name)
            return Found(variables)
        if found.variables:
            return as_files(self._provider, found.variables) or found
        return found

    def _file(self, path: str, found: Found) -> FoundFile:
        """Return the one file that is to be at a path that the user gave."""
        if found.variables and self._provider is not None:
            found = as_files(self._provider, found.variables) or found
        if found.variables:
            text = json.dumps(dict(found.variables), indent=2) + "\n"
            return FoundFile(path, "whole", {"": text})
        along = {kept.path for kept in _known(self.name).files if kept.goes_along}
        main = [file for file in found.files if file.path not in along]
        if len(main) > 1:
            msg = (
                f"The secret {self.name!r} cannot be put into one file. It is in several: "
                f"{', '.join(file.here for file in main)}. Send it without path=."
            )
            raise SecretError(msg, name=self.name)
        return FoundFile(path, main[0].form, main[0].entries, main[0].here)

    def _send(self, host: Host, goods: Found, scope: str, *, overwrite: bool) -> SentSecret:
        answer = _ask(
            host,
            self.name,
            {
                "action": "send",
                "name": self.name,
                "files": [file.to_request() for file in goods.files],
                "variables": dict(goods.variables),
                "scope": scope,
                "overwrite": bool(overwrite),
            },
        )
        if answer["conflicts"] and not overwrite:
            what = [f"{path} ({entry})" if entry else path for path, entry in answer["conflicts"]]
            msg = (
                f"The secret {self.name!r} was not sent to {host.host}. It has another one there: "
                f"{', '.join(what)}. Nothing was changed. Send it with overwrite=True to put it in "
                "its place until it is removed, or elsewhere with path= or env=."
            )
            raise SecretConflictError(msg, name=self.name, places=tuple(what))
        names = [_shown(scope, name) for name in goods.variables]
        places = (*(file.path for file in goods.files), *names)
        return SentSecret(self.name, "sent" if answer["changed"] else "unchanged", places)

    def remove(self, system: System | str, env: str | None = None) -> SentSecret:
        """Remove it from all hosts of a cluster; what it was put in place of comes back.

        What was there already when it was sent stays, and so does what was changed since. Safe to
        repeat.

        Args:
            system: A cluster, or the name of a saved one.
            env: The env whose variables alone are to go; None: all that was sent.

        Returns:
            What was done; its state is `removed`, or `unchanged` when there was nothing to remove.

        Raises:
            SecretError: A file on the host cannot be written.
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> weather = rh.secret("weather", values={"WEATHER_KEY": "abc"})
            >>> weather.remove(rh.here).state
            'unchanged'
        """
        request = {"action": "remove", "name": self.name, "scope": None}
        if env is not None:
            request["scope"] = _scope(env)
        changed: dict[str, None] = {}
        for host in hosts(system):
            changed |= dict.fromkeys(_places(_ask(host, self.name, request)))
        return SentSecret(self.name, "removed" if changed else "unchanged", tuple(changed))

    def save(self) -> Secret:
        """Keep the values on this machine under the name, so that `runhouse.secret(name)` has them.

        They are kept in the system's keyring when there is one that can be used, else in a file
        that only this user can read.

        Returns:
            The secret itself.

        Raises:
            SecretError: It has no values of its own to keep.

        Example:
            >>> import runhouse as rh
            >>> weather = rh.secret("weather", values={"WEATHER_KEY": "abc"})
            >>> weather.save()
            <runhouse.Secret 'weather'>
            >>> rh.secret("weather").places()
            ('$WEATHER_KEY',)
            >>> weather.delete()
        """
        if self._values is None:
            msg = (
                f"The secret {self.name!r} cannot be saved. It has no values of its own. Give them "
                "as values=, or leave it where its provider keeps it."
            )
            raise SecretError(msg, name=self.name)
        credentials.save_values(self.name, self._values)
        return self

    def delete(self) -> None:
        """Forget the values that were saved on this machine; safe to repeat.

        Example:
            >>> import runhouse as rh
            >>> weather = rh.secret("weather", values={"WEATHER_KEY": "abc"})
            >>> weather.save().delete()
        """
        credentials.delete_values(self.name)


def secret(provider: str, values: Mapping[str, str] | None = None) -> Secret:
    """Name credentials that are to be sent to a cluster.

    Args:
        provider: A provider (`aws`, `gcp`, `huggingface`, `openai`, `ssh`, …; `rh secrets list`
            shows them), or a name for values of your own.
        values: Variables and their values; None: saved ones, or found where the provider keeps
            them.

    Returns:
        The secret; nothing is read or sent yet.

    Raises:
        InvalidNameError: The name cannot be used.
        SecretNotFoundError: There is neither a provider nor a saved secret of this name.
        TypeError: The values are not texts under names.
        ValueError: There are none, or a variable cannot have this name.

    Example:
        >>> import runhouse as rh
        >>> rh.secret("database", values={"PGPASSWORD": "sesame"})
        <runhouse.Secret 'database'>
    """
    made = Secret(provider, values)
    if values is None and made.provider is None and credentials.load_values(made.name) is None:
        _known(made.name)
    return made


def sendable() -> list[Secret]:
    """Return the secrets that are found here, saved ones included, but for those sent by name only.

    A file that cannot be read is passed over; asking for its secret by name tells why.
    """
    names = [name for name, provider in PROVIDERS.items() if not provider.only_named]
    made = [Secret(name) for name in dict.fromkeys([*names, *credentials.value_names()])]
    return [each for each in made if is_found(each)]


def is_found(secret: Secret) -> bool:
    """Tell whether a secret is here and can be read."""
    try:
        return bool(secret.places())
    except SecretError:
        return False


def sent_to(system: System | str) -> list[SentSecret]:
    """Return the secrets that were put on a cluster's head; no values.

    Raises:
        SecretError: The host's note of them cannot be read.
        ConnectError: The host cannot be reached.
    """
    answer = _ask(hosts(system)[0], "", {"action": "list"})
    return [SentSecret(each["name"], "sent", _places(each)) for each in answer["secrets"]]


def _places(answer: dict[str, Any]) -> tuple[str, ...]:
    """Return files and variables of a host as a user reads them."""
    variables = [_shown(scope, x) for scope, names in answer["variables"].items() for x in names]
    return (*answer["files"], *variables)


def _known(name: str) -> Provider:
    """Return the provider of a name.

    Raises:
        SecretNotFoundError: There is none.
    """
    provider = PROVIDERS.get(name)
    if provider is None:
        near = difflib.get_close_matches(name, [*PROVIDERS, *credentials.value_names()], 3)
        hint = f" Names that look like it: {', '.join(near)}." if near else ""
        msg = (
            f"There is no secret {name!r}. It is neither that of a provider nor saved here.{hint} "
            "Give values= for one of your own."
        )
        raise SecretNotFoundError(msg, name=name)
    return provider


def _ask(host: Host, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Have a request answered on a host; the values are in its standard input alone."""
    program = (files("runhouse.specs") / "keeping.py").read_text(encoding="utf-8")
    done = host.run_program(
        program, json.dumps({**request, "folder": f"{host.server_root()}/secrets"}).encode("ascii")
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines()[-1:] or [f"code {done.exit_code}"]
        answer = {"error": lines[0][:500]}
    if "error" in answer:
        msg = (
            f"Secrets on {host.host} were not changed as asked{f': {name}' if name else ''}. "
            f"{answer['error']}. Look at the place there, and try again."
        )
        raise SecretError(msg, name=name)
    return answer


def _scope(env: object) -> str:
    """Return the name of the host's file for the variables of an env, or of all."""
    return _ALL_ENVS if env is None else f"env-{env if env == DEFAULT_ENV else check_name(env)}"


def _shown(scope: str, variable: str) -> str:
    return f"${variable}" if scope == _ALL_ENVS else f"{scope.removeprefix('env-')}:${variable}"
