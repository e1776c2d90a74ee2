"""The forms in which secrets travel, and where they come to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.specs.found import Found, as_files, as_variables, find
from runhouse.specs.keeping import split
from runhouse.specs.providers import PROVIDERS
from tests.unit.homes import AWS, VALUE, box as box, home as home, put

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize(
    ("name", "variables", "text"),
    [
        ("huggingface", {"HF_TOKEN": "T"}, "T"),
        ("huggingface", {"HUGGING_FACE_HUB_TOKEN": "T"}, "T"),
        ("lambda", {"LAMBDA_API_KEY": "T"}, "api_key = T\n"),
        (
            "wandb",
            {"WANDB_API_KEY": "T"},
            "machine api.wandb.ai\n  login user\n  password T\n",
        ),
        (
            "aws",
            {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B"},
            "[default]\naws_access_key_id = A\naws_secret_access_key = B\n",
        ),
    ],
)
def test_variables_become_the_providers_file_and_back(
    name: str, variables: dict[str, str], text: str
) -> None:
    made = as_files(PROVIDERS[name], variables)
    assert made is not None
    (file,) = made.files
    (entry,) = file.entries
    assert file.entries[entry] == text
    assert split(file.form, text) == {entry: text}
    back = as_variables(PROVIDERS[name], made)
    assert back is not None
    assert list(back.values()) == list(variables.values())


def test_what_no_file_takes_stays_variables() -> None:
    assert as_files(PROVIDERS["openai"], {"OPENAI_API_KEY": "T"}) is None
    both = {"WANDB_API_KEY": "T", "WANDB_BASE_URL": "U"}
    assert as_files(PROVIDERS["wandb"], both) is None, "nothing may be lost on the way"


def test_the_profile_in_use_becomes_variables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = AWS + "[work]\naws_access_key_id=W\naws_secret_access_key : WS\n"
    put(home, ".aws/credentials", text)
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert as_variables(PROVIDERS["aws"], find(PROVIDERS["aws"])) == {
        "AWS_ACCESS_KEY_ID": "W",
        "AWS_SECRET_ACCESS_KEY": "WS",
    }
    assert as_variables(PROVIDERS["gcp"], Found()) is None


def test_into_one_env(home: Path, box: Any) -> None:
    put(home, ".cache/huggingface/token", f"{VALUE}\n")
    sent = rh.secret("huggingface").to(box, env="train")
    assert sent.places == ("train:$HF_TOKEN",)
    kept = json.loads((box.only.home / "server/secrets/env-train.json").read_text())
    assert kept == {"huggingface": {"HF_TOKEN": VALUE}}
    assert not (box.only.home / ".cache").exists()
    assert rh.secret("huggingface").remove(box, env="other").state == "unchanged"
    assert rh.secret("huggingface").remove(box, env="train").places == ("train:$HF_TOKEN",)
    put(home, ".kube/config", "apiVersion: v1\n")
    with pytest.raises(rh.SecretError, match="cannot become variables"):
        rh.secret("kubeconfig").to(box, env="train")


def test_to_a_path(home: Path, box: Any) -> None:
    made = rh.secret("database", {"USER_NAME": "ada", "PGPASSWORD": VALUE})
    assert made.to(box, path="conf/db.json").places == ("~/conf/db.json",)
    assert json.loads((box.only.home / "conf/db.json").read_text())["PGPASSWORD"] == VALUE
    put(home, ".kube/config", "apiVersion: v1\n")
    rh.secret("kubeconfig").to(box, path="~/other")
    assert (box.only.home / "other").read_text() == "apiVersion: v1\n"
    for name in ("id_rsa", "id_rsa.pub"):
        put(home, f".ssh/{name}", VALUE)
    with pytest.raises(rh.SecretError, match="in several"):
        rh.secret("ssh").to(box, path="~/key")


def test_another_one_in_its_place(home: Path, box: Any) -> None:
    put(home, ".kube/config", "ours\n")
    theirs = put(box.only.home, ".kube/config", "theirs\n")
    with pytest.raises(rh.SecretConflictError, match="overwrite=True") as raised:
        rh.secret("kubeconfig").to(box)
    assert raised.value.places == ("~/.kube/config",)
    assert rh.secret("kubeconfig").to(box, overwrite=True).state == "sent"
    rh.secret("kubeconfig").remove(box)
    assert theirs.read_text() == "theirs\n"
    put(home, ".aws/credentials", AWS)
    put(box.only.home, ".aws/credentials", "[default]\naws_access_key_id = X\n")
    with pytest.raises(rh.SecretConflictError) as raised:
        rh.secret("aws").to(box)
    assert raised.value.places == ("~/.aws/credentials (default)",)
