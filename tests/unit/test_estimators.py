"""What a training job needs is read from whatever describes it."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from runhouse.clusters.boot import packed
from runhouse.clusters.estimators import read

if TYPE_CHECKING:
    from pathlib import Path

ROLE = "arn:aws:iam::123456789012:role/ml"


class Unassigned:
    """Be what version 3 has for a value that is not set."""


def estimator(**given: Any) -> SimpleNamespace:
    """Return what has what an estimator of version 2 has."""
    hyperparameters = given.pop("hyperparameters", {})
    usual = {
        "role": ROLE,
        "image_uri": "image:1",
        "instance_type": "ml.m5.large",
        "instance_count": 2,
        "volume_size": 30,
        "max_run": 60,
    }
    return SimpleNamespace(**{**usual, **given}, hyperparameters=lambda: hyperparameters)


def test_an_estimator_of_version_2_is_read(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    given = estimator(
        entry_point="train.py",
        source_dir=str(tmp_path),
        hyperparameters={"epochs": 3, "name": "a", "list": [1], "encoded": '"b"'},
        environment={"LEVEL": 3},
        tags={"team": "vision"},
        subnets=["subnet-1"],
        security_group_ids=["sg-1"],
        use_spot_instances=True,
        max_wait=120,
        keep_alive_period_in_seconds=90,
        output_path="s3://out/",
        checkpoint_s3_uri="s3://kept/",
        checkpoint_local_path="/opt/ml/checkpoints",
        max_retry_attempts=2,
        encrypt_inter_container_traffic=True,
        enable_network_isolation=lambda: False,
    )
    assert read(given) == {
        "request": {
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingImage": "image:1"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 2,
                "VolumeSizeInGB": 30,
                "KeepAlivePeriodInSeconds": 90,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
            "EnableManagedSpotTraining": True,
            "Environment": {"LEVEL": "3"},
            "HyperParameters": {
                "epochs": "3",
                "name": '"a"',
                "list": "[1]",
                "encoded": '"b"',
            },
            "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            "OutputDataConfig": {"S3OutputPath": "s3://out/"},
            "CheckpointConfig": {"S3Uri": "s3://kept/", "LocalPath": "/opt/ml/checkpoints"},
            "RetryStrategy": {"MaximumRetryAttempts": 2},
            "EnableInterContainerTrafficEncryption": True,
            "Tags": [{"Key": "team", "Value": "vision"}],
        },
        "source": {
            "directory": str(tmp_path),
            "program": "train.py",
            "dependencies": [],
            "command": None,
        },
    }


def test_the_image_of_a_framework_is_asked_for() -> None:
    made = estimator(image_uri=None, training_image_uri=lambda: "framework:2")
    assert read(made)["request"]["AlgorithmSpecification"] == {"TrainingImage": "framework:2"}


def test_a_start_command_needs_no_source() -> None:
    given = estimator(container_entry_point=["python", "-m", "train"], container_arguments=["-v"])
    told = read(given)
    assert told["request"]["AlgorithmSpecification"]["ContainerEntrypoint"] == [
        "python",
        "-m",
        "train",
    ]
    assert "source" not in told


def test_a_program_alone_is_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    told = read(estimator(entry_point=str(tmp_path / "train.py")))
    assert (told["source"]["directory"], told["source"]["program"]) == (str(tmp_path), "train.py")
    with pytest.raises(ValueError, match="There is no such file in"):
        read(estimator(entry_point="other.py", source_dir=str(tmp_path)))
    told = read(estimator(entry_point="train.py", source_dir="s3://code/x.tar.gz"))
    assert told["source"]["directory"] == "s3://code/x.tar.gz"


def test_a_trainer_of_version_3_is_read(tmp_path: Path) -> None:
    given = SimpleNamespace(
        role=ROLE,
        training_image="image:3",
        compute=SimpleNamespace(
            instance_type="ml.g5.xlarge", instance_count=1, volume_size_in_gb=Unassigned()
        ),
        source_code=SimpleNamespace(source_dir=str(tmp_path), command="python train.py"),
        stopping_condition=SimpleNamespace(max_runtime_in_seconds=90),
        checkpoint_config=SimpleNamespace(s3_uri="s3://kept/", local_path=Unassigned()),
        networking=None,
        tags=[SimpleNamespace(key="team", value="speech")],
        hyperparameters={"epochs": 3},
        input_data_config=[SimpleNamespace(channel_name="train", data_source="s3://data/x")],
    )
    told = read(given)
    assert told["request"] == {
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": "image:3"},
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 90},
        "CheckpointConfig": {"S3Uri": "s3://kept/"},
        "HyperParameters": {"epochs": "3"},
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/x"}},
            }
        ],
        "Tags": [{"Key": "team", "Value": "speech"}],
    }
    assert told["source"]["command"] == "python train.py"
    given.input_data_config[0].data_source = "/data"
    with pytest.raises(ValueError, match="Put them into S3"):
        read(given)
    given.hyperparameters = "hp.json"
    with pytest.raises(TypeError, match="They are in a file"):
        read(given)


def test_arguments_of_the_request_are_taken_as_they_are() -> None:
    given = {"RoleArn": ROLE, "StoppingCondition": {"MaxRuntimeInSeconds": 5}}
    told = read(given)
    assert told == {"request": given}
    assert read(told) == told, "as a record has it"


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"RoleArm": ROLE}, TypeError, "Did you mean 'RoleArn'?"),
        ({"TrainingJobName": "x"}, ValueError, "Pass job_name instead"),
        ({"RemoteDebugConfig": {}}, ValueError, "Pass connect_by instead"),
        ({"EnableNetworkIsolation": True}, ValueError, "Nothing can connect to an isolated"),
        (object(), TypeError, "It is of type object"),
        (estimator(enable_network_isolation=lambda: True), ValueError, "It has network isolation"),
        (estimator(volume_size=object()), TypeError, "A value has no form in JSON"),
    ],
)
def test_what_cannot_be_run_is_refused(given: object, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as error:
        read(given)
    assert said in str(error.value)


def test_a_source_is_packed_without_what_nobody_needs(tmp_path: Path) -> None:
    source, dependency = tmp_path / "source", tmp_path / "library"
    for name in ("train.py", "sub/more.py", ".git/config", "sub/__pycache__/more.pyc"):
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    dependency.mkdir()
    (dependency / "part.py").touch()
    with tarfile.open(fileobj=io.BytesIO(packed(str(source), [str(dependency)]))) as archive:
        names = {each.name for each in archive if each.isfile()}
    assert names == {"train.py", "sub/more.py", "library/part.py"}
