"""Requests about envs: what their names stand for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from runhouse.server.envs import Binding
from runhouse.server.fields import is_count, read_object, refuse, take
from runhouse.server.json_response import AsciiJSONResponse
from runhouse.server.names import RULE, is_name
from runhouse.server.problem import ProblemError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from runhouse.server.daemon import Daemon

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FIELDS = (
    *("digest", "prefix", "python_version", "variables"),
    *("workers", "gpus", "imports", "definition"),
)


class EnvRoutes:
    """Answer requests about envs."""

    def __init__(self, daemon: Daemon) -> None:
        """Store the server."""
        self._daemon = daemon

    def table(self) -> list[Route]:
        """Return what is answered."""
        return [
            Route("/envs", self.envs, methods=["GET"]),
            Route("/envs/{env}", self.env, methods=["GET"]),
            Route("/envs/{env}", self.bind, methods=["PUT"]),
            Route("/envs/{env}", self.forget, methods=["DELETE"]),
        ]

    def _told(self, binding: Binding) -> dict[str, Any]:
        pids = [worker.pid for worker in self._daemon.workers.alive() if worker.env == binding.name]
        return {**self._daemon.bindings.to_json(binding), "pids": pids}

    async def envs(self, _: Request) -> Response:
        """List the envs that have been set up."""
        found = [self._told(binding) for binding in self._daemon.bindings.list()]
        return AsciiJSONResponse({"envs": found})

    async def env(self, request: Request) -> Response:
        """Tell about one env; null when its name stands for the host's own interpreter."""
        binding = self._daemon.bindings.find(_name(request))
        return AsciiJSONResponse(self._told(binding) if binding is not None else None)

    async def bind(self, request: Request) -> Response:
        """Let a name stand for an env from now on; its workers are replaced when they are idle."""
        name, asked = _name(request), await read_object(request, _FIELDS)
        before = self._daemon.bindings.find(name)
        kept = before.variables if before is not None else {}
        variables = take(asked, "variables", _is_variables, "an object of texts, or null", None)
        binding = Binding(
            name,
            take(asked, "digest", _is_digest, "a text that is not empty"),
            take(asked, "prefix", _is_line, "a path", ""),
            take(asked, "python_version", _is_line, "a version", ""),
            kept if variables is None else variables,
            take(asked, "workers", _is_workers, "a whole number from 1 on", 1),
            take(asked, "gpus", is_count(0), "a whole number from 0 on, or null", None),
            take(asked, "imports", _is_list_of_lines, "a list of paths", []),
            take(asked, "definition", lambda value: isinstance(value, dict), "an object", {}),
        )
        if not binding.is_there:
            detail = f"There is no interpreter {binding.python}."
            raise ProblemError("invalid", detail, parameter="prefix", expected="an env's directory")
        self._daemon.bindings.set(binding)
        self._daemon.workers.rebind(name)
        return AsciiJSONResponse(self._told(binding))

    async def forget(self, request: Request) -> Response:
        """Let a name stand for the host's own interpreter again."""
        name = _name(request)
        removed = self._daemon.bindings.remove(name)
        self._daemon.workers.rebind(name)
        return AsciiJSONResponse({"removed": removed})


def _name(request: Request) -> str:
    found: str = request.path_params["env"]
    if not is_name(found):
        raise refuse("env", RULE)
    return found


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and "\n" not in value


def _is_digest(value: Any) -> bool:
    return _is_line(value) and bool(value)


def _is_workers(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_variables(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and all(
            _VARIABLE.fullmatch(name) and isinstance(text, str) and "\0" not in text
            for name, text in value.items()
        )
    )


def _is_list_of_lines(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_line, value))
