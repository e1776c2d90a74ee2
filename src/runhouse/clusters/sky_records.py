"""What SkyPilot's status records say, in our words; read without SkyPilot itself."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from runhouse import settings
from runhouse.clusters.cloud import Machines, Node, State
from runhouse.files import private_directory, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_STATES: Mapping[str, State] = {
    "PENDING": "launching",
    "INIT": "launching",
    "UP": "up",
    "AUTOSTOPPING": "stopping",
    "STOPPED": "stopped",
}


def machines_of(record: Any) -> Machines:
    """Return what a status record says."""
    handle, credentials = record["handle"], record["credentials"] or {}
    state = _STATES[record["status"].value]
    pairs = (handle.stable_internal_external_ips or ()) if handle is not None else ()
    ports = (handle.stable_ssh_ports or ()) if handle is not None else ()
    nodes = tuple(
        Node(external or internal, internal, int(ports[index]) if index < len(ports) else 22)
        for index, (internal, external) in enumerate(pairs)
    )
    if state == "up" and not nodes:  # another process is about to bring it up
        state = "launching"
    return Machines(
        name=record["name"],
        identity=record["cluster_hash"],
        state=state,
        count=int(record["nodes"] or 1),
        nodes=nodes if state == "up" else (),
        ssh_user=credentials.get("ssh_user") or "",
        private_key=_key_file(credentials),
        ssh_proxy_command=credentials.get("ssh_proxy_command") or "",
        resources=_resources(handle),
        price_per_hour=_price(handle),
        launched_at=float(record["launched_at"] or 0),
        autostop_mins=int(record["autostop"]),
        stops="down" if record["to_down"] else "stop",
    )


def _resources(handle: Any) -> str:
    if handle is None or handle.launched_resources is None:
        return ""
    found = handle.launched_resources
    where = "/".join(str(part) for part in (found.cloud, found.region, found.zone) if part)
    spot = "[spot]" if found.use_spot else ""
    return f"{handle.launched_nodes}x {found.instance_type}{spot} in {where}"


def _price(handle: Any) -> float | None:
    if handle is None or handle.launched_resources is None:
        return None
    try:
        return float(handle.launched_resources.get_cost(3600) * handle.launched_nodes)
    except Exception:  # noqa: BLE001 - its catalog may not know the price: then it is unknown
        return None


def _key_file(credentials: Mapping[str, Any]) -> str:
    """Return the private key's file: SkyPilot's, or a copy when its server is elsewhere."""
    given = credentials.get("ssh_private_key")
    if given and os.path.isfile(os.path.expanduser(given)):
        return os.path.expanduser(str(given))
    content = credentials.get("ssh_private_key_content")
    if not content:
        return ""
    name = sha256(content.encode()).hexdigest()[:16]
    path: Path = private_directory(settings.load().home / "keys") / f"sky-{name}"
    if not path.is_file():
        write_private(path, content.encode())
    return str(path)
