"""SageMaker clusters as definitions: checked, saved, changed, handed over."""

from __future__ import annotations

import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

import runhouse as rh
from runhouse.clusters.job_definition import JobDefinition
from runhouse.errors import ClusterNotFoundError, InvalidNameError, RecordError

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True).filter(
    lambda name: name not in {"file", "s3", "gs", "azure", "here", "ssh", "sftp", "local"}
)
ESTIMATORS = st.fixed_dictionaries(
    {"RoleArn": st.just("arn:aws:iam::123456789012:role/ml")},
    optional={
        "HyperParameters": st.dictionaries(
            st.sampled_from(["epochs", "rate", "layers"]), st.sampled_from(["3", "0.1", '"adam"'])
        ),
        "ResourceConfig": st.fixed_dictionaries({"InstanceCount": st.integers(1, 4)}),
        "Environment": st.dictionaries(st.sampled_from(["MODE", "LEVEL"]), NAMES),
    },
)
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "role": NAMES,
    "profile": NAMES,
    "ssh_key_path": st.sampled_from(["~/.ssh/id", "/keys/a b"]),
    "instance_id": st.just("mi-0123456789abcdef0"),
    "instance_type": st.sampled_from(["ml.m5.large", "ml.g5.xlarge"]),
    "instance_count": st.integers(1, 8),
    "image_uri": st.just("123456789012.dkr.ecr.us-east-1.amazonaws.com/my:1"),
    "autostop_mins": st.sampled_from([-1, 1, 30]),
    "connection_wait_time": st.integers(0, 600),
    "estimator": ESTIMATORS,
    "job_name": NAMES.filter(lambda name: not name.endswith("-")),
    "region": st.sampled_from(["us-east-1", "eu-central-1"]),
    "warm_pool_mins": st.integers(1, 360),
    "max_runtime_mins": st.integers(1, 1440),
    "volume_size": st.integers(1, 100),
    "connect_by": st.sampled_from(["debugging", "activation"]),
    "env": NAMES,
    "python": st.sampled_from(["python3.12", "/opt/a b/bin/python"]),
}


def test_the_signature_is_the_promised_one() -> None:
    found = inspect.signature(rh.sagemaker_cluster).parameters
    promised = [
        "name",
        "role",
        "profile",
        "ssh_key_path",
        "instance_id",
        "instance_type",
        "instance_count",
        "image_uri",
        "autostop_mins",
        "connection_wait_time",
        "estimator",
        "job_name",
        "dryrun",
    ]
    assert list(found)[: len(promised)] == promised
    assert all(found[name].default in (None, False) for name in promised[1:])
    others = list(found.values())[len(promised) :]
    assert {each.kind for each in others} == {inspect.Parameter.KEYWORD_ONLY}
    assert "region" in found


@given(name=NAMES, options=st.fixed_dictionaries({}, optional=OPTIONS))
def test_a_definition_survives_its_record(name: str, options: dict[str, Any]) -> None:
    made = rh.SageMakerCluster(
        name,
        JobDefinition.checked(**{k: v for k, v in options.items() if k not in ("env", "python")}),
        env=options.get("env"),
        python=options.get("python"),
    )
    config = json.loads(json.dumps(made.config()))
    again = rh.Cluster.from_config(config)
    assert again == made
    assert again.config() == config
    assert pickle.loads(pickle.dumps(made)) == made


def test_it_is_saved_and_loaded(rh_home: Path) -> None:
    made = rh.sagemaker_cluster("sm", profile="ml", autostop_mins=20).save()
    text = (rh_home / "clusters" / "sm.json").read_text()
    assert json.loads(text) == {
        "version": 1,
        "kind": "sagemaker",
        "name": "sm",
        "profile": "ml",
        "autostop_mins": 20,
    }
    for again in (rh.cluster("sm"), rh.sagemaker_cluster("sm"), rh.Cluster.from_name("sm")):
        assert isinstance(again, rh.SageMakerCluster)
        assert again == made
    made.delete_configs()
    with pytest.raises(ClusterNotFoundError):
        rh.cluster("sm")
    assert rh.sagemaker_cluster("sm").wanted == JobDefinition(), "with the default profile"


def test_a_name_of_another_kind_is_refused(rh_home: Path) -> None:
    del rh_home
    rh.cluster("box", host="box.invalid").save()
    with pytest.raises(TypeError, match=r"is not one of SageMaker\. Its kind is byo"):
        rh.sagemaker_cluster("box")
    with pytest.raises(InvalidNameError):
        rh.sagemaker_cluster("s3", role="ml")


def test_no_credential_is_saved(rh_home: Path) -> None:
    estimator = {"Environment": {"API_TOKEN": "abc"}}
    made = rh.sagemaker_cluster("sm", estimator=estimator)
    with pytest.raises(RecordError, match="looks like a credential"):
        made.save()
    assert not (rh_home / "clusters" / "sm.json").exists()


def test_defaults_are_those_of_the_reference() -> None:
    made = rh.sagemaker_cluster("sm", role="ml")
    assert (made.instance_type, made.instance_count) == ("ml.m5.large", 1)
    assert made.ssh_key_path == str(Path("~/.ssh/sagemaker-ssh-gw").expanduser())
    assert made.connection_wait_time == 0
    assert made.autostop_mins == 30
    assert made.job_name is None
    assert made.kind == "sagemaker"
    assert made.described == "1x ml.m5.large"


def test_what_can_be_set_is_checked() -> None:
    made = rh.sagemaker_cluster("sm", role="ml")
    made.instance_type, made.instance_count = "ml.g5.xlarge", 2
    made.connection_wait_time, made.ssh_key_path = 30, "/keys/other"
    made.ssh_config_file, made.region, made.default_bucket = "~/config", "eu-west-1", "mine"
    assert made.config() == {
        "name": "sm",
        "kind": "sagemaker",
        "role": "ml",
        "instance_type": "ml.g5.xlarge",
        "instance_count": 2,
        "connection_wait_time": 30,
        "ssh_key_path": "/keys/other",
        "region": "eu-west-1",
    }
    assert made.ssh_config_file == str(Path("~/config").expanduser())
    assert (made.region, made.default_bucket) == ("eu-west-1", "mine")
    with pytest.raises(ValueError, match="instance_type cannot be 'm5.large'"):
        made.instance_type = "m5.large"
    with pytest.raises(ValueError, match="instance_count cannot be 0"):
        made.instance_count = 0
    assert made.instance_type == "ml.g5.xlarge", "what is refused changes nothing"


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"role": ""}, ValueError, "role cannot be ''"),
        ({"role": 3}, TypeError, "role cannot be used. It is of type int"),
        ({"instance_type": "big"}, ValueError, "a type of SageMaker's, such as 'ml.m5.large'"),
        ({"instance_count": True}, TypeError, "instance_count cannot be used"),
        ({"instance_id": "i-0123"}, ValueError, "a managed instance, 'mi-' and 17 characters"),
        ({"job_name": "a_b"}, ValueError, "job_name cannot be 'a_b'"),
        ({"autostop_mins": 0}, ValueError, "autostop_mins cannot be 0"),
        ({"connection_wait_time": -1}, ValueError, "connection_wait_time cannot be -1"),
        ({"warm_pool_mins": 361}, ValueError, "SageMaker allows 360 at most"),
        ({"max_runtime_mins": 10**6}, ValueError, "SageMaker allows 40320 at most"),
        ({"connect_by": "magic"}, ValueError, "Pass 'debugging' or 'activation'"),
        ({"estimator": 3}, TypeError, "estimator cannot be used. It is of type int"),
    ],
)
def test_what_cannot_be_used_is_refused(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as error:
        rh.sagemaker_cluster("sm", **options)
    assert said in str(error.value)


def test_cluster_hands_every_argument_over() -> None:
    options: dict[str, Any] = {
        "role": "ml",
        "profile": "p",
        "ssh_key_path": "/key",
        "instance_type": "ml.g5.xlarge",
        "instance_count": 2,
        "image_uri": "image:1",
        "autostop_mins": 20,
        "connection_wait_time": 10,
        "estimator": {"RoleArn": "arn:aws:iam::123456789012:role/ml"},
        "job_name": "job",
        "region": "us-east-1",
        "warm_pool_mins": 3,
    }
    with pytest.warns(UserWarning, match="defines a SageMaker job"):
        made = rh.cluster("sm", env="e", python="python3", **options)
    assert made == rh.sagemaker_cluster("sm", env="e", python="python3", **options)


def test_kinds_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="host is of hosts that you have, and role of a SageMaker"):
        rh.cluster("sm", host="box", role="ml")
    with pytest.raises(ValueError, match=r"use_spot is of machines that SkyPilot launches"):
        rh.cluster("sm", role="ml", use_spot=True)
    with pytest.raises(TypeError, match=r"did you mean 'image_uri'"):
        rh.cluster("sm", image_url="image:1")


def test_what_an_estimator_says_counts_unless_it_is_given() -> None:
    estimator = {
        "RoleArn": "arn:aws:iam::123456789012:role/ml",
        "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 3},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    made = rh.sagemaker_cluster("sm", estimator=estimator)
    assert (made.instance_type, made.instance_count) == ("ml.c5.xlarge", 3)
    assert made.wanted.wanted_role == "arn:aws:iam::123456789012:role/ml"
    assert made.wanted.longest_s == 600
    other = rh.sagemaker_cluster(
        "sm",
        role="mine",
        instance_type="ml.m5.large",
        estimator=estimator,
        max_runtime_mins=5,
        warm_pool_mins=2,
        volume_size=50,
    )
    assert (other.wanted.wanted_role, other.wanted.longest_s) == ("mine", 300)
    assert other.wanted.resources() == {
        "InstanceType": "ml.m5.large",
        "InstanceCount": 3,
        "VolumeSizeInGB": 50,
        "KeepAlivePeriodInSeconds": 120,
    }


def test_a_call_waits_for_a_caller_that_sleeps() -> None:
    made = rh.sagemaker_cluster("sm", role="ml")
    assert made._call_settings().orphan_grace_s == 120, "twice as long as a client tries"
