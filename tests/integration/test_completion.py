"""What a shell offers when a user presses Tab, in the shells that can be had here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rigs.cli import RH, Cli, local_cli, record

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)

# What a press of the key does in bash: set the words, call the function, look at the replies.
_BASH = """
source <(_RH_COMPLETE=source_bash rh)
COMP_WORDS=({words}) COMP_CWORD={last}
"$(complete -p rh | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" rh
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def rh() -> Iterator[Cli]:
    with local_cli() as cli:
        record(cli.home, "gpu-box", host=["gpu.lab"])
        record(cli.home, "other", host=["other.lab"])
        cli.environ["PATH"] = f"{Path(RH).parent}:{cli.environ['PATH']}"
        yield cli


def _offered_by_bash(rh: Cli, *words: str) -> list[str]:
    quoted = " ".join(f"'{word}'" for word in words)
    script = _BASH.format(words=quoted, last=len(words) - 1)
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=rh.environ, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_bash_offers_commands_options_and_names_of_clusters(rh: Cli) -> None:
    assert {"start", "status", "stop"} <= set(_offered_by_bash(rh, "rh", "st"))
    assert _offered_by_bash(rh, "rh", "status", "--js") == ["--json"]
    assert _offered_by_bash(rh, "rh", "status", "gp") == ["gpu-box"]
    assert _offered_by_bash(rh, "rh", "runs", "o") == ["other"]
    assert _offered_by_bash(rh, "rh", "server", "sto") == ["stop"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_the_script_and_the_answers(rh: Cli, shell: str) -> None:
    script = rh("", _RH_COMPLETE=f"source_{shell}").stdout
    assert "rh" in script
    answers = rh(
        "",
        _RH_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS="rh status gp",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert "gpu-box" in answers.stdout
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its own opinion of the script is not asked")
    parsed = subprocess.run(
        [shell, "-n"], input=script, capture_output=True, text=True, check=False, timeout=30
    )
    assert (parsed.returncode, parsed.stderr) == (0, "")
