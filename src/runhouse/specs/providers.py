"""Where each provider's tools keep their credentials: the table behind `runhouse.secret`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

Fields = tuple[tuple[str, str], ...]


class KeptFile(NamedTuple):
    """Describe a file in which a provider's tools look.

    Attributes:
        path: Its default place, here and on hosts; a pattern stands for every file that fits.
        form: How its entries are told apart; see `keeping.split`.
        moved_by: The variable that names another place for it, or for its folder.
        only: The entries that are the provider's; none: all.
        entry: The entry that variables stand for.
        fields: Variables, and the keys under which the entry holds them; "" for all of it.
        goes_along: Whether it is no secret by itself, and is sent beside one only.
    """

    path: str
    form: str = "whole"
    moved_by: str = ""
    only: tuple[str, ...] = ()
    entry: str = ""
    fields: Fields = ()
    goes_along: bool = False

    def found_here(self) -> list[tuple[str, Path]]:
        """Return the files that are here, each with its place on hosts."""
        default = Path(self.path)
        moved = os.environ.get(self.moved_by, "") if self.moved_by else ""
        if moved:
            here = Path(moved.split(os.pathsep)[0]).expanduser()
            file = here / default.name if here.is_dir() else here
            return [(self.path, file)] if file.is_file() else []
        if "*" not in self.path:
            file = default.expanduser()
            return [(self.path, file)] if file.is_file() else []
        inside = self.path.removeprefix("~/")
        return [
            (f"~/{file.relative_to(Path.home())}", file)
            for file in sorted(Path.home().glob(inside))
            if file.is_file()
        ]


class Provider(NamedTuple):
    """Describe where a provider's credentials are.

    Attributes:
        name: Its name.
        variables: What its tools read from the environment: one of each group is needed.
        also: Further variables that go along.
        files: The files.
        only_named: Whether it is sent only when it is asked for by name, since it opens more than
            one service.
    """

    name: str
    variables: tuple[tuple[str, ...], ...] = ()
    also: tuple[str, ...] = ()
    files: tuple[KeptFile, ...] = ()
    only_named: bool = False

    def variables_here(self) -> dict[str, str]:
        """Return the variables that are set here; none unless all that are needed are."""
        groups = [
            {name: os.environ[name] for name in group if os.environ.get(name)}
            for group in self.variables
        ]
        if not groups or not all(groups):
            return {}
        further = {name: os.environ[name] for name in self.also if os.environ.get(name)}
        return {name: value for group in groups for name, value in group.items()} | further

    def variable(self, name: str) -> str:
        """Return the variable that a user means: its name, the key in the file, or `api_key`."""
        keys = {key: variable for file in self.files for variable, key in file.fields if key}
        if name in keys:
            return keys[name]
        if name in ("api_key", "token", "key") and len(self.variables) == 1:
            return self.variables[0][0]
        return name

    def known_variables(self) -> tuple[str, ...]:
        """Return all variables that its tools read."""
        return (*(name for group in self.variables for name in group), *self.also)


def _key(name: str, *variables: str, also: tuple[str, ...] = ()) -> Provider:
    """Describe a provider whose tools only look into the environment."""
    return Provider(name, (variables,), also)


def _whole(path: str, variable: str = "", moved_by: str = "") -> KeptFile:
    """Describe a file that is one credential."""
    return KeptFile(path, moved_by=moved_by, fields=((variable, ""),) if variable else ())


_AWS_FIELDS = (
    ("AWS_ACCESS_KEY_ID", "aws_access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
    ("AWS_SESSION_TOKEN", "aws_session_token"),
)
_ALL = (
    Provider(
        "aws",
        (("AWS_ACCESS_KEY_ID",), ("AWS_SECRET_ACCESS_KEY",)),
        ("AWS_SESSION_TOKEN",),
        (
            KeptFile(
                "~/.aws/credentials",
                "sections",
                "AWS_SHARED_CREDENTIALS_FILE",
                entry="default",
                fields=_AWS_FIELDS,
            ),
            KeptFile("~/.aws/config", "sections", "AWS_CONFIG_FILE", goes_along=True),
        ),
    ),
    Provider(
        "azure",
        (("AZURE_CLIENT_ID",), ("AZURE_CLIENT_SECRET",), ("AZURE_TENANT_ID",)),
        ("AZURE_SUBSCRIPTION_ID",),
        (
            KeptFile("~/.azure/msal_token_cache.json", moved_by="AZURE_CONFIG_DIR"),
            KeptFile("~/.azure/service_principal_entries.json", moved_by="AZURE_CONFIG_DIR"),
            KeptFile("~/.azure/azureProfile.json", moved_by="AZURE_CONFIG_DIR", goes_along=True),
        ),
    ),
    Provider(
        "gcp",
        files=(
            _whole(
                "~/.config/gcloud/application_default_credentials.json",
                moved_by="GOOGLE_APPLICATION_CREDENTIALS",
            ),
        ),
    ),
    Provider(
        "huggingface",
        (("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),),
        files=(_whole("~/.cache/huggingface/token", "HF_TOKEN", "HF_TOKEN_PATH"),),
    ),
    Provider(
        "wandb",
        (("WANDB_API_KEY",),),
        ("WANDB_BASE_URL",),
        (
            KeptFile(
                "~/.netrc",
                "netrc",
                "NETRC",
                only=("api.wandb.ai",),
                entry="api.wandb.ai",
                fields=(("WANDB_API_KEY", "password"),),
            ),
        ),
    ),
    Provider(
        "github",
        (("GITHUB_TOKEN", "GH_TOKEN"),),
        files=(KeptFile("~/.config/gh/hosts.yml", "mapping", "GH_CONFIG_DIR"),),
    ),
    Provider(
        "lambda",
        (("LAMBDA_API_KEY",),),
        files=(
            KeptFile(
                "~/.lambda_cloud/lambda_keys", "sections", fields=(("LAMBDA_API_KEY", "api_key"),)
            ),
        ),
    ),
    Provider("docker", files=(KeptFile("~/.docker/config.json", "auths", "DOCKER_CONFIG"),)),
    Provider("kubeconfig", files=(KeptFile("~/.kube/config", moved_by="KUBECONFIG"),)),
    Provider(
        "kaggle",
        (("KAGGLE_USERNAME",), ("KAGGLE_KEY",)),
        files=(KeptFile("~/.kaggle/kaggle.json", moved_by="KAGGLE_CONFIG_DIR"),),
    ),
    Provider(
        "modal",
        (("MODAL_TOKEN_ID",), ("MODAL_TOKEN_SECRET",)),
        files=(KeptFile("~/.modal.toml", "sections", "MODAL_CONFIG_PATH"),),
    ),
    Provider(
        "databricks",
        (("DATABRICKS_HOST",), ("DATABRICKS_TOKEN",)),
        files=(KeptFile("~/.databrickscfg", "sections", "DATABRICKS_CONFIG_FILE"),),
    ),
    Provider(
        "runpod",
        (("RUNPOD_API_KEY", "RUNPOD_AI_API_KEY"),),
        files=(KeptFile("~/.runpod/config.toml", "sections"),),
    ),
    Provider(
        "vast",
        (("VAST_API_KEY",),),
        files=(
            _whole("~/.config/vastai/vast_api_key", "VAST_API_KEY"),
            _whole("~/.vast_api_key"),
        ),
    ),
    Provider(
        "fluidstack",
        (("FLUIDSTACK_API_KEY",),),
        files=(_whole("~/.fluidstack/api_key", "FLUIDSTACK_API_KEY"),),
    ),
    Provider("paperspace", files=(_whole("~/.paperspace/config.json"),)),
    Provider("oci", files=(KeptFile("~/.oci/config", "sections", "OCI_CLI_CONFIG_FILE"),)),
    Provider("ibm", files=(_whole("~/.ibm/credentials.yaml"),)),
    Provider("pypi", files=(KeptFile("~/.pypirc", "sections"),)),
    _key("openai", "OPENAI_API_KEY", also=("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")),
    _key("anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    _key("cohere", "COHERE_API_KEY", "CO_API_KEY"),
    _key("langchain", "LANGCHAIN_API_KEY", "LANGSMITH_API_KEY"),
    _key("pinecone", "PINECONE_API_KEY", also=("PINECONE_ENVIRONMENT",)),
    _key("gemini", "GEMINI_API_KEY", "GOOGLE_API_KEY"),
    _key("groq", "GROQ_API_KEY"),
    _key("mistral", "MISTRAL_API_KEY"),
    _key("replicate", "REPLICATE_API_TOKEN"),
    _key("together", "TOGETHER_API_KEY"),
    _key("gitlab", "GITLAB_TOKEN"),
    Provider(
        "ssh",
        files=tuple(
            _whole(f"~/.ssh/{name}{suffix}")
            for name in ("id_ed25519", "id_ecdsa", "id_rsa")
            for suffix in ("", ".pub")
        ),
        only_named=True,
    ),
    Provider(
        "sky",
        files=(
            *(_whole(f"~/.ssh/sky-key{suffix}") for suffix in ("", ".pub")),
            _whole("~/.sky/clients/*/ssh/sky-key*"),
        ),
        only_named=True,
    ),
    Provider(
        "sagemaker",
        files=tuple(_whole(f"~/.ssh/sagemaker-ssh-gw{suffix}") for suffix in ("", ".pub")),
        only_named=True,
    ),
    Provider("bittensor", files=(_whole("~/.bittensor/wallets/**/*"),), only_named=True),
)
PROVIDERS = {provider.name: provider for provider in _ALL}
