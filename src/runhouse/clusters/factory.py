"""From the arguments of `runhouse.cluster` to a cluster of the right kind."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runhouse.clusters.byo import ByoCluster
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.here import here
from runhouse.clusters.local import LOCAL_NAME, LocalCluster
from runhouse.registry.names import check_name

Creds = Mapping[str, Any]
_LOCAL_HOSTS = ("localhost", "local")


def cluster(
    name: str,
    host: str | Sequence[str] | None = None,
    ssh_creds: Creds | Sequence[Creds] | None = None,
    dryrun: bool = False,
    *,
    ssh_port: int | None = None,
    server_port: int | None = None,
    python: str | None = None,
    env: str | None = None,
    **kwargs: Any,
) -> Cluster:
    """Load a saved cluster, or define one from hosts that you can SSH to.

    With a name alone, the saved cluster of that name is loaded. With anything else, this is a new
    definition; `save()` keeps it. Nothing is connected before it is needed. The name `"local"`, and
    the host `"localhost"` without credentials, are this machine, without SSH.

    Args:
        name: The cluster's name: letters, digits, `-`, `_`, `.`; at most 63 characters.
        host: A host name, an IP address, `user@host:port`, or an alias of `~/.ssh/config`; or a
            list of these, the head first.
        ssh_creds: How to log in, any of: `ssh_user`, `ssh_private_key` (a path), `password`,
            `ssh_port`, `ssh_host`, `ssh_proxy_command`, `ssh_proxy_jump`. What is missing is
            OpenSSH's default. A list of such dicts, as long as `host`, for one each.
        dryrun: Leave out the check that the private key's file exists.
        ssh_port: Port of sshd; None for OpenSSH's default.
        server_port: Serve HTTP on this port of the host's loopback address too; None: not on TCP.
        python: Interpreter on the host that runs your code; None for the first Python >= 3.10.
        env: Name of the env in which code runs unless a call says otherwise.
        **kwargs: Refused, with the nearest known name.

    Returns:
        The cluster.

    Raises:
        ClusterNotFoundError: No cluster is saved under the name; lists names that look alike.
        InvalidNameError: The name cannot be used, or is reserved.
        TypeError: An argument is unknown or of the wrong type.
        ValueError: An argument has a value that cannot be used.

    Example:
        >>> import runhouse as rh
        >>> box = rh.cluster("box", host="ada@gpu-box", ssh_creds={"ssh_private_key": "~/.ssh/id"}, dryrun=True)
        >>> box.address
        'gpu-box'
    """
    if kwargs:
        raise _unknown(kwargs)
    given = {"ssh_port": ssh_port, "server_port": server_port, "python": python, "env": env}
    options = {key: value for key, value in given.items() if value is not None}
    _check_options(options)
    if host is None and ssh_creds is None and not options and name != LOCAL_NAME:
        return Cluster.from_name(check_name(name), dryrun=dryrun)
    if name == LOCAL_NAME or (host in _LOCAL_HOSTS and not ssh_creds and ssh_port is None):
        return _local(name, host, ssh_creds, options)
    hosts, creds = _hosts(name, host), _creds(ssh_creds)
    if len(creds) > 1 and len(creds) != len(hosts):
        msg = (
            f"The credentials do not fit the hosts. There are {len(creds)} of them for "
            f"{len(hosts)} hosts. Pass one dict for all, or one for each host."
        )
        raise ValueError(msg)
    if not dryrun:
        _check_keys(creds)
    return ByoCluster(check_name(name), hosts, creds, **options)


def _local(name: str, host: object, ssh_creds: object, options: dict[str, Any]) -> LocalCluster:
    """Make the cluster of this machine."""
    refused = [key for key in ("ssh_port", "server_port") if key in options]
    if host not in (None, *_LOCAL_HOSTS) or ssh_creds or refused:
        msg = (
            f"The cluster {name!r} cannot be defined. The name {LOCAL_NAME!r} stands for this machine, "
            "which needs no host, port or credentials. Choose another name for a host."
        )
        raise ValueError(msg)
    return LocalCluster(name if name == LOCAL_NAME else check_name(name), **options)


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse options of the wrong type."""
    for key in ("ssh_port", "server_port"):
        port = options.get(key, 1)
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
            msg = f"{key} cannot be {port!r}. A port is a whole number from 1 to 65535. Correct it."
            raise ValueError(msg) if isinstance(port, int) else TypeError(msg)
    for key in ("python", "env"):
        if not isinstance(options.get(key, ""), str):
            msg = f"{key} must be a text, not {type(options[key]).__name__}. Pass a text."
            raise TypeError(msg)
    if "env" in options:
        check_name(options["env"])


def _hosts(name: str, host: object) -> list[str]:
    """Return the hosts as a list of texts."""
    hosts = [host] if isinstance(host, str) else host
    valid = isinstance(hosts, Sequence) and hosts and all(isinstance(h, str) and h for h in hosts)
    if not valid:
        msg = (
            f"The cluster {name!r} cannot be defined. host must be a name or address, or a list of "
            f"these, not {host!r}. Pass for example host='user@box'."
        )
        raise TypeError(msg)
    return list(hosts)  # type: ignore[call-overload, no-any-return]


def _creds(ssh_creds: object) -> list[Creds]:
    """Return the credentials as a list of dicts."""
    creds = [ssh_creds] if isinstance(ssh_creds, Mapping) else ssh_creds or []
    if not isinstance(creds, Sequence) or not all(isinstance(each, Mapping) for each in creds):
        msg = (
            f"ssh_creds must be a dict or a list of dicts, not {type(ssh_creds).__name__}. It says how "
            "to log in. Pass for example ssh_creds={'ssh_user': 'ada'}."
        )
        raise TypeError(msg)
    return list(creds)


def _check_keys(creds: Sequence[Creds]) -> None:
    """Refuse private keys that are not there."""
    for each in creds:
        key = each.get("ssh_private_key")
        if isinstance(key, (str, Path)) and not Path(key).expanduser().is_file():
            msg = (
                f"The private key {key} cannot be used. There is no such file on this machine. "
                "Correct ssh_private_key, or leave it out to use OpenSSH's defaults."
            )
            raise ValueError(msg)


def _unknown(kwargs: Mapping[str, Any]) -> TypeError:
    """Return the error for arguments that do not exist, with the nearest known names."""
    known = [p for p in inspect.signature(cluster).parameters if p != "kwargs"]
    hints = []
    for key in kwargs:
        near = difflib.get_close_matches(key, known, n=1)
        hints.append(f"{key!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return TypeError(
        f"cluster() got arguments that it does not know: {', '.join(hints)}. "
        f"It takes {', '.join(known)}. Correct or remove them."
    )


def find_cluster(given: Cluster | str) -> Cluster:
    """Return a cluster, or load the one of a name.

    Raises:
        TypeError: It is neither.
        ClusterNotFoundError: No cluster is saved under the name.
    """
    if isinstance(given, Cluster):
        return given
    if isinstance(given, str):
        return here if given in ("here", LOCAL_NAME) else Cluster.from_name(given)
    msg = (
        f"{given!r} is not a cluster. It is of type {type(given).__name__}. "
        "Pass what runhouse.cluster() returned, or the name of a saved cluster."
    )
    raise TypeError(msg)
