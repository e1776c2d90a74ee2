"""What is asked of SkyPilot, and what it tells: data, without SkyPilot."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from runhouse.clusters import arguments

State = Literal["launching", "up", "stopping", "stopped"]
Stops = Literal["down", "stop"]

_CHEAPEST = "cheapest"
_AMOUNT = re.compile(r"\d+(?:\.\d+)?\+?")
_SHORT = re.compile(r"(?P<what>[A-Za-z][\w.-]*):(?P<count>\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hold which machines a user wants, as the factory took it.

    Attributes:
        instance_type: A cloud's own type (`m5.xlarge`), accelerators (`A100:4`) or CPUs (`CPU:8`).
        num_instances: How many machines.
        provider: A cloud's name, `"kubernetes"`, or `"cheapest"`: any, by price.
        use_spot: Whether the cloud may take the machines away at any time.
        image_id: Machine image, or `docker:IMAGE`.
        region: Region of the cloud.
        memory: GiB of memory; `"16+"`: at least 16; a number: at least that.
        num_cpus: Virtual CPUs; `"8+"`: at least 8; a number: at least that.
        gpus: Accelerators, as `A100:4`.
        disk_size: GiB of disk.
        open_ports: Ports that are open to the internet.
        labels: Tags of the machines.
        sky_kwargs: Further arguments of `sky.Resources`, `sky.Task` and `sky.launch`.
    """

    instance_type: str | None = None
    num_instances: int = 1
    provider: str | None = None
    use_spot: bool = False
    image_id: str | None = None
    region: str | None = None
    memory: str | float | None = None
    num_cpus: str | float | None = None
    gpus: str | None = None
    disk_size: int | None = None
    open_ports: tuple[int | str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    sky_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def checked(cls, **given: Any) -> Wanted:
        """Check what a user gave.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: One has a value that cannot be used, or two contradict each other.
        """
        given = {key: value for key, value in given.items() if value is not None}
        for name in ("instance_type", "provider", "image_id", "region", "gpus"):
            if name in given:
                arguments.text(name, given[name])
        for name in ("num_instances", "disk_size"):
            if name in given:
                arguments.number(name, given[name], least=1)
        for name in ("labels", "sky_kwargs"):
            given[name] = _mapping(name, given.get(name, {}))
        for name in ("memory", "num_cpus"):
            if name in given:
                _amount(name, given[name])
        given["open_ports"] = _open_ports(given.get("open_ports"))
        made = cls(**given)
        made.resources()
        return made

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of what can be asked for."""
        return [each.name for each in fields(cls)]

    def resources(self) -> dict[str, Any]:
        """Return the arguments of `sky.Resources` for one machine.

        Raises:
            ValueError: Two arguments say different things.
        """
        found = {
            "instance_type": self.instance_type,
            "accelerators": self.gpus,
            "cpus": _at_least(self.num_cpus),
            "memory": _at_least(self.memory),
            "infra": self._infra(),
            "use_spot": self.use_spot or None,
            "image_id": self.image_id,
            "disk_size": self.disk_size,
            "ports": [str(port) for port in self.open_ports] or None,
            "labels": dict(self.labels) or None,
        }
        short = _SHORT.fullmatch(self.instance_type or "")
        if short is not None:
            del found["instance_type"]
            is_cpu = short["what"].upper() == "CPU"
            name, argument = ("cpus", "num_cpus") if is_cpu else ("accelerators", "gpus")
            value = f"{short['count']}+" if is_cpu else self.instance_type
            if found[name] not in (None, value):
                msg = (
                    f"instance_type={self.instance_type!r} cannot be used with "
                    f"{argument}={getattr(self, argument)!r}. Both say what one machine has. "
                    "Leave one of them out."
                )
                raise ValueError(msg)
            found[name] = value
        return {key: value for key, value in found.items() if value is not None}

    def _infra(self) -> str | None:
        """Return where the machines may be, as SkyPilot writes it: `cloud/region`."""
        cloud = None if self.provider in (None, _CHEAPEST) else self.provider
        if self.region is None:
            return cloud
        return f"{cloud or '*'}/{self.region}"

    def to_record(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON values."""
        blank = Wanted()
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in given.items()
            if value != getattr(blank, key)
        }

    def __str__(self) -> str:
        """Return it as people say it."""
        details = ", ".join(f"{key}={value}" for key, value in self.resources().items())
        return f"{self.num_instances}x {details or 'the cheapest machine'}"


def _mapping(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        msg = (
            f"{name} cannot be used. It is of type {type(value).__name__}. "
            "Pass a dictionary whose keys are texts."
        )
        raise TypeError(msg)
    return dict(value)


def _amount(name: str, value: object) -> None:
    """Refuse what is no amount: a number, or a text such as `8` or `8+`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    if not number and not (isinstance(value, str) and _AMOUNT.fullmatch(value)):
        msg = f"{name} cannot be {value!r}. It is no amount. Pass a number, or a text such as '8+'."
        raise ValueError(msg)


def _open_ports(value: object) -> tuple[int | str, ...]:
    """Return ports and ranges of ports (`9000-9010`)."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    given = [] if value is None else list(cast("Sequence[object]", value)) if several else [value]
    for each in given:
        first, _, last = str(each).partition("-")
        if not all(part.isascii() and part.isdigit() for part in (first, last or first)):
            msg = f"open_ports cannot hold {each!r}. It is no port. Pass 8080, or '9000-9010'."
            raise ValueError(msg)
        for part in (first, last or first):
            arguments.port("open_ports", int(part))
    return tuple(cast("list[int | str]", given))


def _at_least(amount: str | float | None) -> str | None:
    """Return an amount as SkyPilot reads it; a number is the least."""
    if amount is None or isinstance(amount, str):
        return amount
    return f"{amount:g}+"


@dataclass(frozen=True, slots=True)
class Node:
    """Hold how to reach one machine: its address, and the one that it has inside of its network."""

    address: str
    inside: str
    ssh_port: int = 22


@dataclass(frozen=True, slots=True)
class Machines:
    """Hold what SkyPilot says about a cluster.

    Attributes:
        name: SkyPilot's name of it.
        identity: Another one for each cluster that was ever launched under the name.
        state: Whether it is up; `"stopping"`: it has been idle, and goes.
        count: Of how many machines it is.
        nodes: The machines, the head first; none unless it is up.
        ssh_user: Who logs in.
        private_key: File of the private key; the key itself is never in here.
        ssh_proxy_command: What leads to machines that have no address of their own; or empty.
        resources: The machines as SkyPilot writes them, for example `1x AWS(m6i.large)`.
        price_per_hour: US dollars for all of them; None when unknown.
        launched_at: When they were launched or started last, in seconds since the epoch.
        autostop_mins: Idle minutes after which they go, as SkyPilot has it; negative: never.
        stops: What becomes of them then.
    """

    name: str
    identity: str
    state: State
    count: int = 1
    nodes: tuple[Node, ...] = ()
    ssh_user: str = ""
    private_key: str = ""
    ssh_proxy_command: str = ""
    resources: str = ""
    price_per_hour: float | None = None
    launched_at: float = 0.0
    autostop_mins: int = -1
    stops: Stops = "down"

    def ssh_creds(self) -> dict[str, Any]:
        """Return how to log in, as `runhouse.cluster` takes it."""
        given = {
            "ssh_user": self.ssh_user,
            "ssh_private_key": self.private_key,
            "ssh_proxy_command": self.ssh_proxy_command,
        }
        return {key: value for key, value in given.items() if value}

    @property
    def described(self) -> str:
        """Return the machines and their price as people say it."""
        price = self.price_per_hour
        return self.resources + (f", ${price:.3g} an hour" if price is not None else "")
