"""Settings: defaults, then `~/.rh/config.toml`, then environment variables.

Every time-out of the project has its name here. `load()` reads them once for each process and
returns one frozen object; a value that cannot be used raises `SettingsError` naming its source.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from runhouse.errors import SettingsError

_TOML_READER = "tomllib" if sys.version_info >= (3, 11) else "tomli"


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold every setting of the client.

    Attributes:
        home: Directory of records, credentials and connections (`RH_HOME`, default `~/.rh`).
        registry: Where records are kept: empty for `home`, or an fsspec URL (`RH_REGISTRY`).
        connect_timeout_s: Longest wait for a host to answer and let us in (`RH_CONNECT_TIMEOUT_S`).
        ssh_persist_s: How long an unused SSH connection stays open (`RH_SSH_PERSIST_S`).
        ssh_alive_s: Seconds of silence after which a connection is checked; three unanswered
            checks end it (`RH_SSH_ALIVE_S`).
        ssh_config: OpenSSH configuration file to use instead of the user's and the system's; empty
            for those two (`RH_SSH_CONFIG`).
        start_timeout_s: Longest wait for a server or worker to start (`RH_START_TIMEOUT_S`).
        reconnect_timeout_s: How long a running call tries to get its connection back
            (`RH_RECONNECT_TIMEOUT_S`).
        request_timeout_s: Longest wait for an answer about the server itself, such as its status
            (`RH_REQUEST_TIMEOUT_S`).
        orphan_grace_s: How long a call goes on after its caller has vanished
            (`RH_ORPHAN_GRACE_S`).
        keep_runs_days: How long a server keeps recorded runs after their end
            (`RH_KEEP_RUNS_DAYS`); in effect when the server is started.
        local_idle_s: How long the embedded local server stays with nobody connected
            (`RH_LOCAL_IDLE_S`).
        autostop_mins: Idle minutes after which cloud machines go, unless a cluster says otherwise
            (`RH_AUTOSTOP_MINS`).
        launch_timeout_s: Longest wait for cloud machines to come up, stop or go
            (`RH_LAUNCH_TIMEOUT_S`).
        sync_warn_mb: Project size, in megabytes, above which a sync warns (`RH_SYNC_WARN_MB`).
        sync_max_mb: Project size, in megabytes, above which nothing is sent (`RH_SYNC_MAX_MB`).
    """

    home: Path = Path("~/.rh")
    registry: str = ""
    connect_timeout_s: float = 10.0
    ssh_persist_s: int = 60
    ssh_alive_s: int = 10
    ssh_config: str = ""
    start_timeout_s: float = 30.0
    reconnect_timeout_s: float = 60.0
    request_timeout_s: float = 10.0
    orphan_grace_s: float = 30.0
    keep_runs_days: float = 30.0
    local_idle_s: float = 600.0
    autostop_mins: int = 30
    launch_timeout_s: float = 1800.0
    sync_warn_mb: float = 100.0
    sync_max_mb: float = 2000.0


_EXPECTED: dict[type[object], str] = {
    float: "a number of at least 0",
    int: "a whole number of at least 0",
}


def _convert(name: str, default: object, value: object, source: str) -> object:
    """Turn a raw value into the type of the field's default."""
    if isinstance(default, Path):
        if isinstance(value, str) and value:
            return Path(value)
        expected = "a path"
    elif isinstance(default, str):
        if isinstance(value, str):
            return value
        expected = "a text"
    else:
        kind = type(default)
        expected = _EXPECTED[kind]
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            try:
                number = kind(value)  # type: ignore[call-arg]
            except ValueError:
                number = None
            if isinstance(number, (int, float)) and number >= 0:
                return number
    msg = (
        f"The setting {name} cannot be used. {source} gives {value!r}, but {expected} is expected. "
        f"Correct it there, or remove it to get the default {default}."
    )
    raise SettingsError(msg)


def _from_file(path: Path) -> dict[str, object]:
    """Read the settings file, or return nothing when there is none."""
    if not path.is_file():
        return {}
    try:
        toml = importlib.import_module(_TOML_READER)
    except ImportError as error:
        msg = (
            f"The settings file {path} cannot be read. Python 3.10 has no TOML reader of its own. "
            "Install tomli, or use environment variables (RH_...) instead."
        )
        raise SettingsError(msg) from error
    try:
        return dict(toml.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        msg = f"The settings file {path} cannot be read. It is not valid TOML: {error}. Correct it."
        raise SettingsError(msg) from error


def read(environ: dict[str, str]) -> Settings:
    """Build the settings from an environment and the file that it points to.

    Args:
        environ: Environment variables, usually `os.environ`.

    Returns:
        The settings, with `home` made absolute.

    Raises:
        SettingsError: A value cannot be used, or the file has an unknown key.
    """
    known = {field.name: field.default for field in fields(Settings)}
    home = Path(environ.get("RH_HOME") or str(known["home"])).expanduser().absolute()
    config = home / "config.toml"
    values: dict[str, object] = {}
    for key, value in _from_file(config).items():
        if key not in known:
            msg = (
                f"The settings file {config} has an unknown key {key!r}. "
                f"Known keys are {', '.join(known)}. Correct or remove it."
            )
            raise SettingsError(msg)
        values[key] = _convert(key, known[key], value, str(config))
    for key, default in known.items():
        variable = f"RH_{key.upper()}"
        if environ.get(variable):
            values[key] = _convert(key, default, environ[variable], variable)
    values["home"] = home
    return Settings(**values)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def load() -> Settings:
    """Return the settings of this process, read on the first call."""
    return read(dict(os.environ))
