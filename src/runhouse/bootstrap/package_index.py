"""Where packages come from, as pip and uv are told on this machine; hosts are told the same.

The settings hold passwords: they go to hosts by standard input, and to uv by its environment.
"""

from __future__ import annotations

import base64
import importlib
import netrc
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    import configparser
    from collections.abc import Iterable, Mapping
else:
    configparser = LazyModule("configparser")

_TOML_READER = "tomllib" if sys.version_info >= (3, 11) else "tomli"
_DEFAULT, _FURTHER, _LINKS = "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"
# What uv is told by variables that is meant for hosts as well, as it is.
_PASSED_ON = (
    *("UV_NO_INDEX", "UV_INDEX_STRATEGY", "UV_INSECURE_HOST", "UV_PRERELEASE", "UV_TORCH_BACKEND"),
    *("UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_PYTHON_INSTALL_MIRROR"),
    *("UV_PYTHON_DOWNLOADS_JSON_URL", "UV_EXCLUDE_NEWER"),
)
_OLDER = {"UV_INDEX_URL": _DEFAULT, "UV_EXTRA_INDEX_URL": _FURTHER}


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """Hold where packages come from.

    Attributes:
        variables: Variables for uv; addresses have their passwords in them.
    """

    variables: Mapping[str, str] = field(repr=False)

    @property
    def addresses(self) -> list[str]:
        """Return all addresses and directories."""
        texts = (self.variables.get(name, "") for name in (_DEFAULT, _FURTHER, _LINKS))
        return [_address(each) for text in texts for each in text.replace(",", " ").split()]

    @property
    def is_here_only(self) -> bool:
        """Tell whether some of it is on the disk of this machine, where no host can look."""
        return any(not each.startswith(("http://", "https://")) for each in self.addresses)

    @property
    def passwords(self) -> tuple[str, ...]:
        """Return what must not be shown."""
        found = (urlsplit(each).password for each in self.addresses)
        given = tuple(password for password in found if password)
        return tuple(dict.fromkeys((*given, *map(unquote, given))))

    def login(self, url: str) -> str:
        """Return the `Authorization` for an address of a package; empty for none."""
        parts = urlsplit(url)
        own = [parts] if parts.username else []
        for each in (*own, *map(urlsplit, self.addresses)):
            if each.username and (each.hostname, each.port) == (parts.hostname, parts.port):
                pair = f"{unquote(each.username)}:{unquote(each.password or '')}"
                return f"Basic {base64.b64encode(pair.encode()).decode()}"
        return ""


def find_index(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> PackageIndex:
    """Read the settings of uv, else those of pip: variables first, then files.

    Args:
        environ: The environment.
        home: The home directory; None for this user's.
    """
    home = home or Path.home()
    found = {name: environ[name] for name in _PASSED_ON if environ.get(name)}
    for name in (_DEFAULT, _FURTHER, _LINKS):
        if environ.get(name):
            found[name] = environ[name]
    for old, name in _OLDER.items():
        if environ.get(old):
            found.setdefault(name, environ[old])
    for source in (_of_uv(environ, home), _of_pip(environ, home)):
        if any(name in found for name in (_DEFAULT, _FURTHER, _LINKS, "UV_NO_INDEX")):
            break
        found |= {name: value for name, value in source.items() if name not in found}
    return PackageIndex(_with_logins(found, environ, home))


def _of_uv(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return what uv's own files say."""
    folder = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    given = environ.get("UV_CONFIG_FILE")
    places = [Path(given)] if given else [folder / "uv/uv.toml", Path("/etc/uv/uv.toml")]
    if environ.get("UV_NO_CONFIG"):
        return {}
    for place in places:
        if place.is_file():
            try:
                reader = importlib.import_module(_TOML_READER)
                return _of_table(reader.loads(place.read_text(encoding="utf-8")))
            except (ImportError, ValueError):  # uv itself will say what is wrong with it
                return {}
    return {}


def _of_table(table: Mapping[str, Any]) -> dict[str, str]:
    table = {**table.get("pip", {}), **table}
    further = list(table.get("extra-index-url", []))
    found = {_DEFAULT: table.get("index-url", ""), _LINKS: " ".join(table.get("find-links", []))}
    for index in table.get("index", []):
        named = f"{index['name']}={index['url']}" if "name" in index else index["url"]
        if index.get("default"):
            found[_DEFAULT] = named
        elif not index.get("explicit"):
            further.append(named)
    found[_FURTHER] = " ".join(further)
    found["UV_INDEX_STRATEGY"] = table.get("index-strategy", "")
    return {name: value for name, value in found.items() if value}


def _of_pip(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return what pip's variables and files say."""
    settings: dict[str, str] = {}
    for place in _pip_files(environ, home):
        parser = configparser.RawConfigParser()
        try:
            parser.read(place, encoding="utf-8")
        except configparser.Error:
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= dict(parser.items(section))
    for key in ("index-url", "extra-index-url", "find-links", "trusted-host", "no-index"):
        variable = f"PIP_{key.upper().replace('-', '_')}"
        if environ.get(variable):
            settings[key] = environ[variable]
    names = {"index-url": _DEFAULT, "extra-index-url": _FURTHER, "find-links": _LINKS}
    names |= {"trusted-host": "UV_INSECURE_HOST", "no-index": "UV_NO_INDEX"}
    found = {
        name: " ".join(settings[key].split()) for key, name in names.items() if key in settings
    }
    if _FURTHER in found:  # pip takes the best of all indexes
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in found.items() if value}


def _pip_files(environ: Mapping[str, str], home: Path) -> Iterable[Path]:
    """Return pip's files, those that win last."""
    given = environ.get("PIP_CONFIG_FILE")
    if given == os.devnull:
        return []
    folder = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    wide = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf")]
    own = [home / ".pip/pip.conf", folder / "pip/pip.conf", Path(sys.prefix) / "pip.conf"]
    return [*wide, *own, *([Path(given)] if given else [])]


def _address(text: str) -> str:
    """Return an index without the name that uv lets it have."""
    name, mark, rest = text.partition("=")
    return rest if mark and name.replace("-", "").replace("_", "").isalnum() else text


def _with_logins(found: dict[str, str], environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Put user and password into each address that has none, from variables or `~/.netrc`."""
    for variable in (_DEFAULT, _FURTHER, _LINKS):
        if variable in found:
            words = found[variable].replace(",", " ").split()
            found[variable] = " ".join(_with_login(word, environ, home) for word in words)
    return found


def _with_login(word: str, environ: Mapping[str, str], home: Path) -> str:
    address = _address(word)
    name = word.removesuffix(address).removesuffix("=")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.username:
        return word
    key = name.upper().replace("-", "_").replace(".", "_")
    user = environ.get(f"UV_INDEX_{key}_USERNAME", "") if name else ""
    password = environ.get(f"UV_INDEX_{key}_PASSWORD", "") if name else ""
    if not user and not password:
        user, password = _of_netrc(parts.hostname or "", environ, home)
    if not user and not password:
        return word
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    full = urlunsplit(parts._replace(netloc=f"{login}{parts.netloc}"))
    return f"{name}={full}" if name else full


def _of_netrc(host: str, environ: Mapping[str, str], home: Path) -> tuple[str, str]:
    try:
        known = netrc.netrc(environ.get("NETRC") or home / ".netrc").authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return "", ""
    return (known[0], known[2] or "") if known else ("", "")
