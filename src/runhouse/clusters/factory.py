"""From the arguments of `runhouse.cluster` to a cluster of the right kind."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from runhouse.clusters.byo import ByoCluster
from runhouse.clusters.cloud import Wanted
from runhouse.clusters.cluster import Cluster
from runhouse.clusters.job_definition import JobDefinition
from runhouse.clusters.local import LOCAL_NAME, LocalCluster
from runhouse.errors import ClusterNotFoundError
from runhouse.registry import kinds

if TYPE_CHECKING:
    from runhouse.clusters.cloud import Stops
    from runhouse.clusters.env_use import EnvLike
    from runhouse.clusters.job_definition import ConnectBy
    from runhouse.clusters.on_demand import OnDemandCluster
    from runhouse.clusters.sagemaker import SageMakerCluster

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
    env: EnvLike = None,
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
        env: The env in which code runs unless a call says otherwise: what `runhouse.env` returned,
            a name, or a list of packages.
        **kwargs: Arguments of `runhouse.ondemand_cluster` or `runhouse.sagemaker_cluster`, which is
            then called, with a warning; others are refused, with the nearest known name.

    Returns:
        The cluster.

    Raises:
        ClusterNotFoundError: No cluster is saved under the name; lists names that look alike.
        InvalidNameError: The name cannot be used, or is reserved.
        TypeError: An argument is unknown or of the wrong type.
        ValueError: An argument has a value that cannot be used.

    Example:
        >>> import runhouse as rh
        >>> box = rh.cluster("box", host="ada@gpu-box", ssh_creds={"ssh_port": 2222})
        >>> box.address
        'gpu-box'
    """
    if kwargs.keys() & (_CLOUD_ARGUMENTS | _JOB_ARGUMENTS):
        refused = {"host": host, "ssh_creds": ssh_creds, "ssh_port": ssh_port}
        refused["server_port"] = server_port
        return _hand_over(name, kwargs, refused, env=env, python=python, dryrun=dryrun)
    if kwargs:
        raise _unknown(kwargs)
    given = {"ssh_port": ssh_port, "server_port": server_port, "python": python, "env": env}
    options = {key: value for key, value in given.items() if value is not None}
    if host is None and ssh_creds is None and not options and name != LOCAL_NAME:
        return Cluster.from_name(name, dryrun=dryrun)
    only = host[0] if isinstance(host, (list, tuple)) and len(host) == 1 else host
    local = isinstance(only, str) and only in _LOCAL_HOSTS
    if name == LOCAL_NAME or (local and not ssh_creds and ssh_port is None):
        return _local(name, host, ssh_creds, options)
    made = ByoCluster(name, host, ssh_creds, **options)  # type: ignore[arg-type]
    if not dryrun:
        _check_keys(made)
    return made


def ondemand_cluster(
    name: str,
    instance_type: str | None = None,
    num_instances: int | None = None,
    provider: str | None = None,
    autostop_mins: int | None = None,
    use_spot: bool = False,
    image_id: str | None = None,
    region: str | None = None,
    dryrun: bool = False,
    *,
    memory: str | float | None = None,
    num_cpus: str | float | None = None,
    gpus: str | None = None,
    disk_size: int | None = None,
    open_ports: int | str | Sequence[int | str] | None = None,
    labels: Mapping[str, str] | None = None,
    sky_kwargs: Mapping[str, Any] | None = None,
    autostop: Stops = "down",
    env: EnvLike = None,
    python: str | None = None,
) -> OnDemandCluster:
    """Load a saved cluster of cloud machines, or define one that SkyPilot launches.

    With a name alone, the saved cluster of that name is loaded, or else the one that SkyPilot has
    under it, whoever launched it. With anything else, this is a new definition; `save()` keeps it.
    Nothing is launched before the first use, or `up()`.

    Args:
        name: The cluster's name: letters, digits, `-`, `_`, `.`; at most 63 characters.
        instance_type: A type of the cloud (`"m5.xlarge"`), accelerators and their number
            (`"A100:4"`), or a least number of CPUs (`"CPU:8"`), for each machine.
        num_instances: How many machines; None for 1.
        provider: `"aws"`, `"gcp"`, `"azure"`, `"lambda"`, `"kubernetes"` or another cloud that
            SkyPilot knows; `"cheapest"` or None: the cheapest that has such machines, and the next
            one when it has none free.
        autostop_mins: After how many minutes in which nothing is computed the machines go, also
            when every client is gone; -1: never; None: as the setting says (30).
        use_spot: Take machines that are cheaper, and that the cloud may take away at any time.
        image_id: Machine image of the cloud, or `"docker:IMAGE"`.
        region: Region of the cloud.
        dryrun: Changes nothing, since a definition launches nothing.
        memory: GiB of memory of a machine, at least; `"16"` means just so much.
        num_cpus: Virtual CPUs of a machine, at least; `"8"` means just so many.
        gpus: Another place for accelerators, `"A100:4"`, beside a type that says what CPUs it has.
        disk_size: GiB of disk.
        open_ports: Ports to open to the internet: `8080`, `"9000-9010"`, or several.
        labels: Tags of the machines.
        sky_kwargs: Further arguments of `sky.Resources`, `sky.Task` and `sky.launch`, by name.
        autostop: `"down"` removes idle machines; `"stop"` stops them and keeps their disks.
        env: The env in which code runs unless a call says otherwise: what `runhouse.env` returned,
            a name, or a list of packages.
        python: Interpreter on the machines that runs your code; None for the first that can.

    Returns:
        The cluster.

    Raises:
        ClusterNotFoundError: Neither a saved cluster nor SkyPilot has the name.
        InvalidNameError: The name cannot be used, or is reserved.
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a value that cannot be used, or two contradict each other.

    Example:
        >>> import runhouse as rh
        >>> gpu = rh.ondemand_cluster("gpu", instance_type="A100:1", autostop_mins=30)
        >>> gpu.num_instances
        1
    """
    asked = {
        "instance_type": instance_type,
        "num_instances": num_instances,
        "provider": provider,
        "use_spot": use_spot or None,
        "image_id": image_id,
        "region": region,
        "memory": memory,
        "num_cpus": num_cpus,
        "gpus": gpus,
        "disk_size": disk_size,
        "open_ports": open_ports,
        "labels": labels,
        "sky_kwargs": sky_kwargs,
    }
    others = (autostop_mins, env, python)
    # By its name: whoever has hosts of their own does not wait for it to be loaded.
    kind = cast("type[OnDemandCluster]", kinds.resolve("on-demand"))
    if autostop == "down" and all(value is None for value in (*asked.values(), *others)):
        return kind.find(name)
    del dryrun
    wanted = Wanted.checked(**asked)
    return kind(name, wanted, autostop_mins, autostop, env=env, python=python)


def sagemaker_cluster(
    name: str,
    role: str | None = None,
    profile: str | None = None,
    ssh_key_path: str | None = None,
    instance_id: str | None = None,
    instance_type: str | None = None,
    instance_count: int | None = None,
    image_uri: str | None = None,
    autostop_mins: int | None = None,
    connection_wait_time: int | None = None,
    estimator: Any = None,
    job_name: str | None = None,
    dryrun: bool = False,
    *,
    region: str | None = None,
    warm_pool_mins: int | None = None,
    max_runtime_mins: int | None = None,
    volume_size: int | None = None,
    connect_by: ConnectBy | None = None,
    env: str | None = None,
    python: str | None = None,
) -> SageMakerCluster:
    """Load a saved SageMaker cluster, or define one: a training job that you can work in.

    With a name alone, the saved cluster of that name is loaded; if there is none, it is defined
    with the default profile. With anything else, this is a new definition; `save()` keeps it.
    Nothing is created in AWS before the first use, or `up()`.

    Args:
        name: The cluster's name: letters, digits, `-`, `_`, `.`; at most 63 characters.
        role: IAM role as which the job runs, by name or ARN; None: the estimator's, else the one of
            the profile, else the one as which you are signed in.
        profile: Profile of `~/.aws/config`; None: `AWS_PROFILE`, or else `default`.
        ssh_key_path: File of the private key to log in with; it is made when it is not there, and
            its public part goes to the account's bucket. None: `~/.ssh/sagemaker-ssh-gw`.
        instance_id: A managed instance of Systems Manager (`mi-...`): the job that runs in it is
            used, and none is created.
        instance_type: SageMaker's name of the machines; None: the estimator's, or `ml.m5.large`.
        instance_count: How many machines; None: the estimator's, or 1.
        image_uri: The container's image; None: the estimator's, or AWS's own for PyTorch in the
            region. It needs Python 3.10 or newer, and sshd or a package manager that has it.
        autostop_mins: After how many minutes in which nothing is computed the job ends, also when
            every client is gone; -1: with SageMaker's own limit; None: as the setting says (30).
        connection_wait_time: Seconds that a container waits for a connection before the estimator's
            program begins, and for which `up()` tries to connect; None or 0: the program begins at
            once, and `up()` tries for 300 s.
        estimator: What the job is to run: an estimator (version 2) or `ModelTrainer` (version 3) of
            SageMaker's SDK, or a dict of arguments of `create_training_job`. None: nothing.
        job_name: Name of the job; None: another one for each.
        dryrun: Changes nothing, since a definition creates nothing.
        region: AWS's region; None: that of the profile or environment.
        warm_pool_mins: Keep the machines for the next job for so long after this one, at most 360;
            they cost meanwhile. `teardown()` lets go of them.
        max_runtime_mins: After how many minutes SageMaker ends the job, idle or not; None: the
            estimator's, or a day.
        volume_size: GiB of disk; None: the estimator's, or 30.
        connect_by: `"debugging"` (SageMaker's remote debugging) or `"activation"` (a hybrid
            activation of Systems Manager); None: the first one that the account allows.
        env: Name of the env in which code runs unless a call says otherwise.
        python: Interpreter in the container that runs your code; None for the first that can.

    Returns:
        The cluster.

    Raises:
        InvalidNameError: The name cannot be used, or is reserved.
        TypeError: An argument is of the wrong type, or the saved cluster is of another kind.
        ValueError: An argument has a value that cannot be used, or two contradict each other.

    Example:
        >>> import runhouse as rh
        >>> sm = rh.sagemaker_cluster("sm", profile="sagemaker", instance_type="ml.g5.xlarge")
        >>> sm.instance_count
        1
    """
    asked = {
        "role": role,
        "profile": profile,
        "ssh_key_path": ssh_key_path,
        "instance_id": instance_id,
        "instance_type": instance_type,
        "instance_count": instance_count,
        "image_uri": image_uri,
        "autostop_mins": autostop_mins,
        "connection_wait_time": connection_wait_time,
        "estimator": estimator,
        "job_name": job_name,
        "region": region,
        "warm_pool_mins": warm_pool_mins,
        "max_runtime_mins": max_runtime_mins,
        "volume_size": volume_size,
        "connect_by": connect_by,
    }
    if all(value is None for value in (*asked.values(), env, python)):
        with contextlib.suppress(ClusterNotFoundError):
            return _saved_job(name)
    del dryrun
    kind = cast("type[SageMakerCluster]", kinds.resolve("sagemaker"))
    return kind(name, JobDefinition.checked(**asked), env=env, python=python)


def _saved_job(name: str) -> SageMakerCluster:
    saved = Cluster.from_name(name)
    if saved.kind == "sagemaker":
        return cast("SageMakerCluster", saved)
    msg = (
        f"The saved cluster {name!r} is not one of SageMaker. Its kind is {saved.kind}. "
        f"Load it with runhouse.cluster({name!r})."
    )
    raise TypeError(msg)


_CLOUD_ARGUMENTS = frozenset({*Wanted.names(), "autostop_mins", "autostop"})
# Those that name the kind; what both kinds have does not.
_JOB_ARGUMENTS = frozenset(JobDefinition.names()) - _CLOUD_ARGUMENTS


def _hand_over(
    name: str, kwargs: dict[str, Any], refused: Mapping[str, object], **options: Any
) -> OnDemandCluster | SageMakerCluster:
    """Define a cluster that is launched, for a call of `cluster()`."""
    is_job = bool(kwargs.keys() & _JOB_ARGUMENTS)
    known = frozenset(JobDefinition.names()) if is_job else _CLOUD_ARGUMENTS
    what = "of a SageMaker job" if is_job else "of machines to launch"
    for key, value in refused.items():
        if value is not None:
            launched = sorted(kwargs.keys() & known)[0]
            msg = (
                f"The cluster {name!r} cannot be defined. {key} is of hosts that you have, and "
                f"{launched} {what}. Leave one of them out."
            )
            raise ValueError(msg)
    mixed = sorted(kwargs.keys() & _CLOUD_ARGUMENTS - known)
    if mixed:
        msg = (
            f"The cluster {name!r} cannot be defined. {mixed[0]} is of machines that SkyPilot "
            f"launches, and {sorted(kwargs.keys() & _JOB_ARGUMENTS)[0]} {what}. Leave one out."
        )
        raise ValueError(msg)
    unknown = {key: value for key, value in kwargs.items() if key not in known}
    if unknown:
        raise _unknown(unknown)
    factory = "sagemaker_cluster" if is_job else "ondemand_cluster"
    defines = "a SageMaker job" if is_job else "machines to launch"
    warnings.warn(
        f"cluster({name!r}, ...) defines {defines}. This is what {factory}() is "
        "for, which is called with all that was given.",
        stacklevel=3,
    )
    if is_job:
        return sagemaker_cluster(name, **kwargs, **options)
    return ondemand_cluster(name, **kwargs, **options)


def _local(name: str, host: object, ssh_creds: object, options: dict[str, Any]) -> LocalCluster:
    """Make the cluster of this machine."""
    refused = [key for key in ("ssh_port", "server_port") if key in options]
    if ssh_creds or refused or (name == LOCAL_NAME and host not in (None, *_LOCAL_HOSTS)):
        msg = (
            f"The cluster {name!r} cannot be defined. It stands for this machine, which needs no "
            f"{refused[0] if refused else 'host or credentials'}. Leave it out, or define another "
            "cluster with a host that is reached by SSH."
        )
        raise ValueError(msg)
    return LocalCluster(name, **options)


def _check_keys(made: ByoCluster) -> None:
    """Refuse private keys that are not there."""
    for key in made.private_keys():
        if not key.is_file():
            msg = (
                f"The private key {key} cannot be used. There is no such file on this machine. "
                "Correct ssh_private_key, or leave it out to use OpenSSH's defaults."
            )
            raise ValueError(msg)


def _unknown(kwargs: Mapping[str, Any]) -> TypeError:
    """Return the error for arguments that do not exist, with the nearest known names."""
    known = [p for p in inspect.signature(cluster).parameters if p != "kwargs"]
    known += sorted(_CLOUD_ARGUMENTS | _JOB_ARGUMENTS)
    hints = []
    for key in kwargs:
        near = difflib.get_close_matches(key, known, n=1)
        hints.append(f"{key!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return TypeError(
        f"cluster() got arguments that it does not know: {', '.join(hints)}. "
        f"It takes {', '.join(known)}. Correct or remove them."
    )
