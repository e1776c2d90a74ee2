"""Which SageMaker job a user wants, as the factory took it: data, without AWS."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from runhouse.clusters import arguments, estimators
from runhouse.clusters.key_pair import DEFAULT as DEFAULT_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

ConnectBy = Literal["debugging", "activation"]

DEFAULT_TYPE = "ml.m5.large"
LONGEST_MINS = 28 * 24 * 60  # what SageMaker allows; accounts begin with 5 days
LONGEST_POOL_MINS = 360
_RUNTIME_MINS = 24 * 60
_VOLUME_GB = 30
_TYPE = re.compile(r"ml\.[\w.-]+")
_INSTANCE = re.compile(r"mi-[0-9a-f]{17}")
_JOB = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_TEXTS = ("role", "profile", "ssh_key_path", "image_uri", "region")


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """Hold what is asked for; what is None has a default, or is the estimator's.

    Attributes:
        role: Name or ARN of the IAM role.
        profile: Profile of `~/.aws/config`.
        ssh_key_path: The private key's file.
        instance_id: A managed instance (`mi-…`) whose job is to be used.
        instance_type: SageMaker's name of the machine.
        instance_count: How many machines.
        image_uri: The container's image.
        autostop_mins: Idle minutes after which the job ends.
        connection_wait_time: Seconds in which a connection must be there.
        estimator: What trains, as JSON values; see `estimators.read`.
        job_name: The job's name.
        region: AWS's region.
        warm_pool_mins: How long the machines are kept for the next job.
        max_runtime_mins: After how many minutes SageMaker ends the job, idle or not.
        volume_size: GiB of disk.
        connect_by: Remote debugging, or a hybrid activation.
    """

    role: str | None = None
    profile: str | None = None
    ssh_key_path: str | None = None
    instance_id: str | None = None
    instance_type: str | None = None
    instance_count: int | None = None
    image_uri: str | None = None
    autostop_mins: int | None = None
    connection_wait_time: float | None = None
    estimator: Mapping[str, Any] | None = None
    job_name: str | None = None
    region: str | None = None
    warm_pool_mins: int | None = None
    max_runtime_mins: int | None = None
    volume_size: int | None = None
    connect_by: ConnectBy | None = None

    @classmethod
    def checked(cls, **given: Any) -> JobDefinition:
        """Check what a user gave.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: One has a value that cannot be used, or two contradict each other.
        """
        given = {key: value for key, value in given.items() if value is not None}
        for name in _TEXTS:
            if name in given:
                given[name] = arguments.text(
                    name,
                    arguments.path(name, given[name]) if name == "ssh_key_path" else given[name],
                )
        _form(given, "instance_type", _TYPE, "a type of SageMaker's, such as 'ml.m5.large'")
        _form(given, "instance_id", _INSTANCE, "a managed instance, 'mi-' and 17 characters")
        _form(given, "job_name", _JOB, "1 to 63 letters, digits and '-'")
        for name in ("instance_count", "volume_size"):
            if name in given:
                arguments.number(name, given[name], least=1)
        _minutes(given, "warm_pool_mins", LONGEST_POOL_MINS)
        _minutes(given, "max_runtime_mins", LONGEST_MINS)
        if "autostop_mins" in given:
            arguments.idle_minutes(given["autostop_mins"])
        if "connection_wait_time" in given:
            arguments.seconds("connection_wait_time", given["connection_wait_time"])
        if given.get("connect_by", "debugging") not in get_args(ConnectBy):
            msg = (
                f"connect_by cannot be {given['connect_by']!r}. It says how nodes are reached. "
                "Pass 'debugging' or 'activation', or leave it out."
            )
            raise ValueError(msg)
        if "estimator" in given:
            given["estimator"] = estimators.read(given["estimator"])
        return cls(**given)

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of what can be asked for."""
        return [each.name for each in fields(cls)]

    def changed(self, **given: Any) -> JobDefinition:
        """Return another definition, in which some values differ; checked as `checked` does."""
        kept = {name: getattr(self, name) for name in self.names()}
        return JobDefinition.checked(**{**kept, **given})

    def to_record(self) -> dict[str, Any]:
        """Return what was given, as JSON values."""
        given = {name: getattr(self, name) for name in self.names()}
        return {name: value for name, value in given.items() if value is not None}

    # -- what it comes to -----------------------------------------------------------------------

    @property
    def _resources(self) -> dict[str, Any]:
        """Return what the estimator says about machines."""
        return cast("dict[str, Any]", self._asked("ResourceConfig") or {})

    def _asked(self, name: str) -> Any:
        """Return an argument of `CreateTrainingJob` that the estimator gives."""
        return (self.estimator or {}).get("request", {}).get(name)

    @property
    def trains(self) -> bool:
        """Tell whether the job runs a program of the user's."""
        return self.estimator is not None

    @property
    def kind(self) -> str:
        """Return the type of the machines."""
        return self.instance_type or self._resources.get("InstanceType") or DEFAULT_TYPE

    @property
    def count(self) -> int:
        """Return how many machines."""
        return self.instance_count or self._resources.get("InstanceCount") or 1

    @property
    def wanted_role(self) -> str | None:
        """Return the role that was given, here or with the estimator."""
        return self.role or self._asked("RoleArn")

    @property
    def key_path(self) -> str:
        """Return the private key's file, as it was given."""
        return self.ssh_key_path or DEFAULT_KEY

    @property
    def wait_s(self) -> int:
        """Return for how long a container waits for a connection before it trains, in seconds."""
        return math.ceil(self.connection_wait_time or 0)

    @property
    def longest_s(self) -> int:
        """Return after how long SageMaker ends the job, idle or not, in seconds."""
        if self.max_runtime_mins is not None:
            return 60 * self.max_runtime_mins
        asked = (self._asked("StoppingCondition") or {}).get("MaxRuntimeInSeconds")
        return int(asked or 60 * _RUNTIME_MINS)

    def resources(self) -> dict[str, Any]:
        """Return `ResourceConfig`."""
        asked = dict(self._resources)
        asked["InstanceType"], asked["InstanceCount"] = self.kind, self.count
        if self.volume_size is not None or "VolumeSizeInGB" not in asked:
            asked["VolumeSizeInGB"] = self.volume_size or _VOLUME_GB
        if self.warm_pool_mins is not None:
            asked["KeepAlivePeriodInSeconds"] = 60 * self.warm_pool_mins
        return asked

    def __str__(self) -> str:
        """Return it as people say it."""
        return f"{self.count}x {self.kind}"


def _form(given: Mapping[str, Any], name: str, form: re.Pattern[str], expected: str) -> None:
    """Refuse a text that has not the form that AWS wants."""
    if name in given and not form.fullmatch(arguments.text(name, given[name])):
        msg = f"{name} cannot be {given[name]!r}. AWS has no such name. Pass {expected}."
        raise ValueError(msg)


def _minutes(given: Mapping[str, Any], name: str, most: int) -> None:
    if name in given and arguments.number(name, given[name], least=1) > most:
        msg = f"{name} cannot be {given[name]}. SageMaker allows {most} at most. Pass less."
        raise ValueError(msg)
