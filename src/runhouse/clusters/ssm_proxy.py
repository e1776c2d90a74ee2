"""Which program leads ssh through AWS Systems Manager: AWS's own, or ours in Python."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from functools import cache

DEBUG_TARGET = "sagemaker-training-job:"
_OURS = (sys.executable, "-m", "runhouse.ssh.ssm")
_LIMIT_S = 15.0


def debug_target(job: str, node: int) -> str:
    """Return the target of a node of a job with remote debugging; it needs no activation."""
    return f"{DEBUG_TARGET}{job}_algo-{node + 1}"


@cache
def cli_version() -> str:
    """Return the version of AWS's command line as it says it; empty when there is none."""
    if shutil.which("aws") is None:
        return ""
    try:
        done = subprocess.run(
            ["aws", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout or done.stderr).strip()


def has_plugin() -> bool:
    """Tell whether AWS CLI V2 and its session-manager-plugin can be used together."""
    return shutil.which("session-manager-plugin") is not None and is_v2(cli_version())


def is_v2(version: str) -> bool:
    """Tell whether a version is one of AWS CLI V2."""
    return version.startswith("aws-cli/2.")


def proxy_command(target: str, region: str, profile: str | None) -> str:
    """Return OpenSSH's ProxyCommand for a target of Session Manager.

    Args:
        target: `mi-…`, or what `debug_target` returns.
        region: The region that it is in.
        profile: The profile to ask with; None: as the environment says.
    """
    if has_plugin():
        words = ["aws", "ssm", "start-session", "--target", target]
        words += ["--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=%p"]
    else:
        words = [*_OURS, target, "--port", "%p"]
    words += ["--region", region, *(["--profile", profile] if profile else [])]
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    """Return a word for the shell that OpenSSH gives the command to; the port is left to it."""
    plain, port = (word.removesuffix("%p"), "%p") if word.endswith("%p") else (word, "")
    return (shlex.quote(plain.replace("%", "%%")) if plain or not port else "") + port
