"""Secrets: where they are found, what they become, and that nothing shows them."""

from __future__ import annotations

import json
import os
import pickle
import resource
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import runhouse as rh
from runhouse.cli.main import app
from runhouse.registry import credentials
from runhouse.specs.found import find
from runhouse.specs.providers import PROVIDERS
from runhouse.specs.secret import Secret, sendable
from tests.unit.homes import AWS, VALUE, box as box, home as home, put

pytestmark = pytest.mark.usefixtures("home")


# -- where it is found --------------------------------------------------------------------------

FILES = [
    ("aws", ".aws/credentials", AWS),
    ("azure", ".azure/msal_token_cache.json", '{"AccessToken": {}}'),
    ("gcp", ".config/gcloud/application_default_credentials.json", '{"type": "x"}'),
    ("huggingface", ".cache/huggingface/token", VALUE),
    ("wandb", ".netrc", f"machine api.wandb.ai\n  login user\n  password {VALUE}\n"),
    ("github", ".config/gh/hosts.yml", f"github.com:\n    oauth_token: {VALUE}\n"),
    ("lambda", ".lambda_cloud/lambda_keys", f"api_key = {VALUE}\n"),
    ("ssh", ".ssh/id_ed25519", VALUE),
    ("kubeconfig", ".kube/config", "apiVersion: v1\n"),
    ("docker", ".docker/config.json", '{"auths": {"a.io": {"auth": "x"}}}'),
    ("sky", ".ssh/sky-key", VALUE),
    ("sagemaker", ".ssh/sagemaker-ssh-gw", VALUE),
    ("bittensor", ".bittensor/wallets/default/coldkey", VALUE),
    ("runpod", ".runpod/config.toml", f'[default]\napi_key = "{VALUE}"\n'),
    ("vast", ".config/vastai/vast_api_key", VALUE),
    ("fluidstack", ".fluidstack/api_key", VALUE),
]


@pytest.mark.parametrize(("name", "place", "text"), FILES)
def test_a_file_is_found_and_comes_to_its_place(
    name: str, place: str, text: str, home: Path, box: Any
) -> None:
    path = put(home, place, text)
    assert rh.secret(name).places() == (str(path),)
    sent = rh.secret(name).to(box)
    assert (sent.state, sent.places) == ("sent", (f"~/{place}",))
    there = box.only.home / place
    form = next(kept.form for kept in PROVIDERS[name].files if kept.form)
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    if form == "whole":
        assert there.read_text() == text
    assert rh.secret(name).to(box).state == "unchanged"
    assert rh.secret(name).remove(box).places == (f"~/{place}",)
    assert not there.exists()


VARIABLES = ["openai", "anthropic", "cohere", "langchain", "pinecone", "replicate", "gitlab"]


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_come_to_all_workers(
    name: str, box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (group,) = PROVIDERS[name].variables
    monkeypatch.setenv(group[-1], VALUE)
    assert rh.secret(name).places() == (f"${group[-1]}",)
    assert rh.secret(name).to(box).places == (f"${group[-1]}",)
    kept = json.loads((box.only.home / "server" / "secrets" / "all.json").read_text())
    assert kept == {name: {group[-1]: VALUE}}


def test_variables_come_before_files_as_for_the_providers_tools(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, ".aws/credentials", AWS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    assert find(PROVIDERS["aws"]).files, "one of two variables is none"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    assert find(PROVIDERS["aws"]).places == ("$AWS_ACCESS_KEY_ID", "$AWS_SECRET_ACCESS_KEY")


def test_a_file_elsewhere_comes_to_the_default_place(
    home: Path, box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(put(home, "work/creds", AWS)))
    put(home, "docker/config.json", '{"auths": {"a.io": {"auth": "x"}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "docker"))
    assert rh.secret("aws").to(box).places == ("~/.aws/credentials",)
    assert rh.secret("docker").to(box).places == ("~/.docker/config.json",)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "missing"))
    with pytest.raises(rh.SecretNotFoundError, match=r"~/\.aws/credentials"):
        rh.secret("aws").places()


def test_only_the_providers_entries_leave_the_machine(home: Path, box: Any) -> None:
    put(home, ".netrc", f"machine bank.com login a password {VALUE}\nmachine api.wandb.ai "
        "login user password W\n")  # fmt: skip
    put(home, ".aws/config", "[default]\nregion = x\n")
    rh.secret("wandb").to(box)
    assert (box.only.home / ".netrc").read_text() == "machine api.wandb.ai login user password W\n"
    with pytest.raises(rh.SecretNotFoundError):
        rh.secret("aws").to(box)
    put(home, ".aws/credentials", AWS)
    assert rh.secret("aws").to(box).places == ("~/.aws/credentials", "~/.aws/config")
    assert (box.only.home / ".aws/credentials").read_text() == AWS.removeprefix("# work\n")


def test_what_is_found_is_listed_but_not_what_opens_other_machines(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sendable() == []
    put(home, ".ssh/id_rsa", VALUE)
    put(home, ".docker/config.json", "no json")
    monkeypatch.setenv("OPENAI_API_KEY", VALUE)
    rh.secret("database", {"PGPASSWORD": VALUE}).save()
    assert [each.name for each in sendable()] == ["openai", "database"]


def test_a_file_that_cannot_be_read_is_told_without_its_content(home: Path) -> None:
    put(home, ".docker/config.json", f'{{"auths": {VALUE}')
    with pytest.raises(rh.SecretError, match="not of the form") as raised:
        rh.secret("docker").places()
    assert VALUE not in str(raised.value)
    assert raised.value.__cause__ is None
    put(home, ".kube/config", "x" * 1_000_001)
    with pytest.raises(rh.SecretError, match="larger than"):
        rh.secret("kubeconfig").places()


# -- values of one's own, and this machine's store ----------------------------------------------


def test_values_of_a_provider_by_any_of_its_names(box: Any) -> None:
    rh.secret("openai", {"api_key": VALUE}).to(box)
    assert box.only.asked[-1]["variables"] == {"OPENAI_API_KEY": VALUE}
    rh.secret("aws", {"aws_access_key_id": "A", "AWS_SECRET_ACCESS_KEY": VALUE}).to(box)
    assert VALUE in (box.only.home / ".aws/credentials").read_text()


def test_saved_values_are_found_by_name(rh_home: Path, box: Any) -> None:
    with pytest.raises(rh.SecretNotFoundError, match="neither that of a provider nor saved"):
        rh.secret("database")
    rh.secret("database", {"PGPASSWORD": VALUE}).save()
    file = rh_home / "credentials" / "secret:database"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert credentials.value_names() == ["database"]
    rh.secret("database").to(box)
    assert box.only.asked[-1]["variables"] == {"PGPASSWORD": VALUE}
    with pytest.raises(rh.SecretNotFoundError, match="database"):
        rh.secret("data-base")
    rh.secret("database").delete()
    assert credentials.value_names() == []
    with pytest.raises(rh.SecretError, match="no values of its own"):
        Secret("openai").save()


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ([VALUE], TypeError, "type list"),
        ({}, ValueError, "There are none"),
        ({"with space": VALUE}, ValueError, "name of a variable"),
        ({"RH_HOME": VALUE}, ValueError, "no RH_"),
        ({7: VALUE}, ValueError, "name of a variable"),
        ({"A": 7}, TypeError, "of type int"),
        ({"A": f"{VALUE}\0"}, TypeError, "NUL"),
        ({"A": None}, TypeError, "NoneType"),
    ],
)
def test_values_that_cannot_be_used(values: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as raised:
        rh.secret("database", values)
    assert VALUE not in str(raised.value)


def test_other_arguments_that_cannot_be_used(box: Any) -> None:
    made = rh.secret("database", {"A": VALUE})
    with pytest.raises(ValueError, match="do not read OTHER"):
        rh.secret("openai", {"OTHER": VALUE})
    with pytest.raises(ValueError, match="a file only"):
        rh.secret("kubeconfig", {"A": VALUE})
    with pytest.raises(rh.InvalidNameError):
        rh.secret("a/b", {"A": VALUE})
    with pytest.raises(rh.InvalidNameError):
        made.to(box, env="a/b")
    with pytest.raises(ValueError, match="not both"):
        made.to(box, path="x", env="train")
    for path in ("", "folder/", "a\0b"):
        with pytest.raises(ValueError, match="cannot be used for a secret"):
            made.to(box, path=path)
    wrong: Any = 7
    with pytest.raises(TypeError, match="is no cluster"):
        made.to(wrong)
    with pytest.raises(rh.ClusterNotFoundError):
        made.to("nowhere")


# -- nothing shows it ---------------------------------------------------------------------------


def test_no_text_and_no_pickle_has_a_value(
    home: Path, box: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = rh.secret("database", {"PGPASSWORD": VALUE})
    put(home, ".kube/config", VALUE)
    shown = [repr(made), str(made), repr(made.found()), repr(rh.secret("kubeconfig").found())]
    with caplog.at_level(0):
        shown += [repr(made.to(box)), repr(made.remove(box)), caplog.text]
    assert VALUE not in "".join(shown)
    with pytest.raises(rh.NotSerializableError, match="cannot be pickled"):
        pickle.dumps(made)


def test_reading_a_secret_forbids_cores() -> None:
    rh.secret("database", {"A": VALUE}).places()
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0


def test_the_table_is_whole() -> None:
    for name, provider in PROVIDERS.items():
        assert name == provider.name
        assert provider.variables or provider.files
        for kept in provider.files:
            assert kept.path.startswith("~/")
            assert {variable for variable, _ in kept.fields} <= set(provider.known_variables())
    expected = (
        "aws gcp azure huggingface openai anthropic wandb github lambda ssh kubeconfig docker"
    )
    assert set(expected.split()) <= PROVIDERS.keys()
    assert os.environ["HOME"] != str(Path("/root"))


# -- the command line ---------------------------------------------------------------------------


def test_secrets_of_this_machine_are_listed_without_values(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = put(home, ".ssh/id_ed25519", VALUE)
    monkeypatch.setenv("OPENAI_API_KEY", VALUE)
    listed = CliRunner().invoke(app, ["secrets", "list", "--json"])
    assert json.loads(listed.stdout) == [
        {"name": "openai", "places": ["$OPENAI_API_KEY"], "sent_by_default": True},
        {"name": "ssh", "places": [str(key)], "sent_by_default": False},
    ]
    shown = CliRunner().invoke(app, ["secrets", "list"]).stdout
    assert "$OPENAI_API_KEY" in shown
    assert "Not found here: anthropic, aws" in shown
    assert VALUE not in listed.stdout + shown


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["rm", "box"], 2, "their names, or --all"),
        (["rm", "box", "aws", "--all"], 2, "their names, or --all"),
        (["rm", "box", "--all"], 2, "Add --yes"),
        (["send", "box", "--overwrite"], 2, "needs the names"),
        (["send", "box", "openai"], 4, "not on this machine"),
        (["send", "box", "opena"], 4, "look like it: openai"),
        (["send", "nowhere"], 4, "nowhere"),
        (["list", "nowhere"], 4, "nowhere"),
    ],
)
def test_wrong_words_on_the_command_line(words: list[str], code: int, said: str) -> None:
    rh.cluster("box", host="box").save()
    done = CliRunner().invoke(app, ["secrets", *words])
    assert done.exit_code == code, done.output
    assert said in done.output
