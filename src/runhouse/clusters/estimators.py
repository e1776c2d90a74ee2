"""What a user's training job needs, read from whatever describes it, without SageMaker's SDK.

Taken are an estimator of version 2 of the SDK (`sagemaker.estimator.Estimator` and its like), a
`ModelTrainer` of version 3, and a dict of arguments of `create_training_job`. What comes of them is
the same: JSON values, with

- `request`: the arguments of `create_training_job` that it determines;
- `source`: where the user's code is (`directory`, `program`, `dependencies`), and the shell
  `command` that runs it, if there is one.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

_ARGUMENTS = (
    "AlgorithmSpecification",
    "CheckpointConfig",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "Environment",
    "ExperimentConfig",
    "HyperParameters",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "RetryStrategy",
    "RoleArn",
    "StoppingCondition",
    "Tags",
    "VpcConfig",
)
_NOT_TAKEN = {
    "TrainingJobName": "Pass job_name instead",
    "EnableNetworkIsolation": "Nothing can connect to an isolated container",
    "RemoteDebugConfig": "Pass connect_by instead",
}


def read(given: object) -> dict[str, Any]:
    """Return what an estimator, a trainer, or a dict says.

    Raises:
        TypeError: It is something else, or has an unknown key.
        ValueError: It cannot be run in a container that is to be connected to.
    """
    if isinstance(given, Mapping):
        return dict(given) if given.keys() <= {"request", "source"} and given else _dict(given)
    if hasattr(given, "training_image") or hasattr(given, "source_code"):
        return _trainer(given)
    if hasattr(given, "instance_type") and callable(getattr(given, "hyperparameters", None)):
        return _estimator(given)
    msg = (
        f"estimator cannot be used. It is of type {type(given).__name__}. Pass an estimator or a "
        "ModelTrainer of SageMaker's SDK, or a dict of arguments of create_training_job."
    )
    raise TypeError(msg)


def _dict(given: Mapping[Any, Any]) -> dict[str, Any]:
    for key in given:
        if key in _NOT_TAKEN:
            msg = f"estimator cannot have {key!r}. It is set for you. {_NOT_TAKEN[key]}."
            raise ValueError(msg)
        if key not in _ARGUMENTS:
            near = difflib.get_close_matches(str(key), _ARGUMENTS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            msg = (
                f"estimator cannot have {key!r}. create_training_job has no such argument.{hint} "
                f"Pass some of {', '.join(_ARGUMENTS)}."
            )
            raise TypeError(msg)
    return {"request": json.loads(json.dumps(dict(given)))}


def _estimator(given: Any) -> dict[str, Any]:
    """Read an estimator of version 2 of the SDK."""
    isolated = _value(given, "enable_network_isolation")
    _refuse_isolation(isolated() if callable(isolated) else isolated)
    image = _value(given, "image_uri")
    find_image = getattr(given, "training_image_uri", None)
    if image is None and callable(find_image):
        image = find_image()
    entry, command = _value(given, "entry_point"), _value(given, "container_entry_point")
    hyperparameters = dict(given.hyperparameters() or {})
    is_spot = bool(_value(given, "use_spot_instances"))
    request = {
        "RoleArn": _value(given, "role"),
        "AlgorithmSpecification": _set(
            TrainingImage=image,
            TrainingInputMode=_value(given, "input_mode"),
            ContainerEntrypoint=_value(given, "container_entry_point"),
            ContainerArguments=_value(given, "container_arguments"),
            MetricDefinitions=_value(given, "metric_definitions"),
        ),
        "ResourceConfig": _set(
            InstanceType=_value(given, "instance_type"),
            InstanceCount=_value(given, "instance_count"),
            VolumeSizeInGB=_value(given, "volume_size"),
            VolumeKmsKeyId=_value(given, "volume_kms_key"),
            KeepAlivePeriodInSeconds=_value(given, "keep_alive_period_in_seconds"),
        ),
        "StoppingCondition": _set(
            MaxRuntimeInSeconds=_value(given, "max_run"),
            MaxWaitTimeInSeconds=_value(given, "max_wait") if is_spot else None,
        ),
        "EnableManagedSpotTraining": is_spot or None,
        "Environment": _texts(_value(given, "environment")),
        "HyperParameters": _hyperparameters(hyperparameters, encoded=entry is not None),
        "VpcConfig": _network(_value(given, "subnets"), _value(given, "security_group_ids")),
        "OutputDataConfig": _set(
            S3OutputPath=_value(given, "output_path"), KmsKeyId=_value(given, "output_kms_key")
        ),
        "CheckpointConfig": _checkpoints(
            _value(given, "checkpoint_s3_uri"), _value(given, "checkpoint_local_path")
        ),
        "RetryStrategy": _set(MaximumRetryAttempts=_value(given, "max_retry_attempts")),
        "EnableInterContainerTrafficEncryption": (
            _value(given, "encrypt_inter_container_traffic") or None
        ),
        "Tags": _tags(_value(given, "tags")),
    }
    dependencies = _value(given, "dependencies") or []
    source = _source(_value(given, "source_dir"), entry, dependencies) if not command else {}
    return _result(request, source)


def _trainer(given: Any) -> dict[str, Any]:
    """Read a `ModelTrainer` of version 3 of the SDK."""
    compute, code = _value(given, "compute"), _value(given, "source_code")
    network, stopping = _value(given, "networking"), _value(given, "stopping_condition")
    output, checkpoints = _value(given, "output_data_config"), _value(given, "checkpoint_config")
    _refuse_isolation(_value(network, "enable_network_isolation"))
    command = _value(code, "command")
    hyperparameters = _value(given, "hyperparameters")
    if isinstance(hyperparameters, str):
        msg = (
            "The hyperparameters of the trainer cannot be used. They are in a file, "
            f"{hyperparameters}. Pass them as a dict."
        )
        raise TypeError(msg)
    request = {
        "RoleArn": _value(given, "role"),
        "AlgorithmSpecification": _set(
            TrainingImage=_value(given, "training_image"),
            TrainingInputMode=_value(given, "training_input_mode"),
        ),
        "ResourceConfig": _set(
            InstanceType=_value(compute, "instance_type"),
            InstanceCount=_value(compute, "instance_count"),
            VolumeSizeInGB=_value(compute, "volume_size_in_gb"),
            VolumeKmsKeyId=_value(compute, "volume_kms_key_id"),
            KeepAlivePeriodInSeconds=_value(compute, "keep_alive_period_in_seconds"),
        ),
        "StoppingCondition": _set(
            MaxRuntimeInSeconds=_value(stopping, "max_runtime_in_seconds"),
            MaxWaitTimeInSeconds=_value(stopping, "max_wait_time_in_seconds"),
        ),
        "EnableManagedSpotTraining": _value(compute, "enable_managed_spot_training") or None,
        "Environment": _texts(_value(given, "environment")),
        "HyperParameters": _hyperparameters(hyperparameters or {}, encoded=not command),
        "InputDataConfig": _channels(_value(given, "input_data_config")),
        "VpcConfig": _network(_value(network, "subnets"), _value(network, "security_group_ids")),
        "OutputDataConfig": _set(
            S3OutputPath=_value(output, "s3_output_path"), KmsKeyId=_value(output, "kms_key_id")
        ),
        "CheckpointConfig": _checkpoints(
            _value(checkpoints, "s3_uri"), _value(checkpoints, "local_path")
        ),
        "Tags": _tags(_value(given, "tags")),
    }
    source = _source(_value(code, "source_dir"), _value(code, "entry_script"), [], command)
    return _result(request, source)


def _checkpoints(uri: Any, local: Any) -> dict[str, Any] | None:
    return _set(S3Uri=uri, LocalPath=local) if uri else None


def _value(given: Any, name: str) -> Any:
    """Return an attribute that is set; version 3 has a class of its own for what is not."""
    found = getattr(given, name, None)
    return None if type(found).__name__ == "Unassigned" else found


def _set(**given: Any) -> dict[str, Any] | None:
    """Return what is set, or None when nothing is."""
    return {key: value for key, value in given.items() if value is not None} or None


def _result(request: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was read as JSON values, which others can be made of again.

    Raises:
        TypeError: A value is none.
    """
    given = {key: value for key, value in request.items() if value is not None}
    made: dict[str, Any] = {"request": given, **({"source": dict(source)} if source else {})}
    try:
        return cast("dict[str, Any]", json.loads(json.dumps(made)))
    except TypeError as error:
        msg = f"estimator cannot be used. A value has no form in JSON: {error}. Replace it."
        raise TypeError(msg) from error


def _source(
    directory: Any, program: Any, dependencies: Sequence[Any], command: Any = None
) -> dict[str, Any]:
    """Return where the user's code is, with absolute paths.

    Raises:
        ValueError: It is not there.
    """
    if program is None and command is None:
        return {}
    place = None if directory is None else str(directory)
    if place is None and program is not None:
        place, program = str(Path(program).parent), Path(program).name
    if place is not None and not place.startswith("s3://"):
        place = str(Path(place).expanduser().absolute())
        if program is not None and not (Path(place) / program).is_file():
            msg = (
                f"The training program {program!r} cannot be sent. There is no such file in "
                f"{place}. Correct entry_point or source_dir."
            )
            raise ValueError(msg)
    return {
        "directory": place,
        "program": None if program is None else str(program),
        "dependencies": [str(Path(each).expanduser().absolute()) for each in dependencies],
        "command": command,
    }


def _hyperparameters(given: Mapping[str, Any], *, encoded: bool) -> dict[str, str] | None:
    """Return hyperparameters as texts; those for AWS's framework images are JSON."""
    return {str(k): _json(v) if encoded else str(v) for k, v in given.items()} or None


def _json(value: Any) -> str:
    """Return a value as JSON; a text may be that already."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return json.dumps(value)
        return value
    return json.dumps(value)


def _texts(given: Mapping[str, Any] | None) -> dict[str, str] | None:
    return {str(key): str(value) for key, value in (given or {}).items()} or None


def _network(subnets: Any, groups: Any) -> dict[str, Any] | None:
    if not subnets or not groups:
        return None
    return {"Subnets": list(subnets), "SecurityGroupIds": list(groups)}


def _tags(given: Any) -> list[dict[str, str]] | None:
    """Return tags, which the versions of the SDK have in three forms."""
    if not given:
        return None
    if isinstance(given, Mapping):
        return [{"Key": str(key), "Value": str(value)} for key, value in given.items()]
    return [
        dict(each) if isinstance(each, Mapping) else {"Key": each.key, "Value": each.value}
        for each in given
    ]


def _channels(given: Any) -> list[dict[str, Any]] | None:
    """Return the channels of a trainer's input.

    Raises:
        ValueError: One is not in S3.
    """
    channels = []
    for each in given or []:
        source = _value(each, "data_source")
        uri = source if isinstance(source, str) else _value(source, "s3_uri")
        if not isinstance(uri, str) or not uri.startswith("s3://"):
            msg = (
                f"The input {_value(each, 'channel_name')!r} cannot be used. Its data are at "
                f"{source!r}. Put them into S3, and pass s3://bucket/prefix."
            )
            raise ValueError(msg)
        place = {"S3DataType": "S3Prefix", "S3Uri": uri}
        channels.append({"ChannelName": each.channel_name, "DataSource": {"S3DataSource": place}})
    return channels or None


def _refuse_isolation(isolated: object) -> None:
    if isolated:
        msg = (
            "estimator cannot be used. It has network isolation, and nothing can connect to an "
            "isolated container. Turn it off, or train without a cluster."
        )
        raise ValueError(msg)
