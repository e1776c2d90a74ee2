"""Bring a Python to a host that has none which can be used, by uv, where the host has internet."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from runhouse.bootstrap.probe import no_python, not_writable, probe
from runhouse.bootstrap.uv import NotBroughtError, send_uv, uv_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runhouse.bootstrap.probe import HostFacts, RunCommand

PYTHON = "3.12"
_MISSING = 69
# What a user has set for uv here and what decides where Python comes from, is meant for hosts too.
_PASSED_ON = (
    "UV_PYTHON_INSTALL_MIRROR",
    "UV_PYTHON_DOWNLOADS_JSON_URL",
)
_TAIL_LINES = 8
# The variables come by standard input: an address may hold a password, and arguments are public.
# What we want is told by variables too: a uv of the host's own may be too old for the options.
_INSTALL = """\
umask 077
uv=$1
[ -n "$uv" ] && "$uv" --version >/dev/null 2>&1 || uv=$HOME/.rh/bin/uv-$2
[ -x "$uv" ] || exit 69
export UV_PYTHON_INSTALL_DIR="$HOME/.rh/python" UV_CACHE_DIR="$HOME/.rh/cache/uv"
export UV_PYTHON_INSTALL_BIN=0 UV_NO_CONFIG=1 UV_NO_PROGRESS=1 NO_COLOR=1
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-20}"
cd "$HOME" && exec "$uv" python install "$3" </dev/null
"""


def bring_python(
    run: RunCommand,
    facts: HostFacts,
    *,
    host: str,
    digest: str,
    environ: Mapping[str, str] = os.environ,
) -> HostFacts:
    """Install a Python in `~/.rh/python` of a host, with uv: its own, or ours, sent there.

    Blocks while the host downloads some 30 MB; safe to repeat.

    Args:
        run: Runs a shell command with input on the host.
        facts: What the probe found; `facts.python` is empty.
        host: The host's name for messages.
        digest: Digest of the runtime, as for `probe`.
        environ: The client's environment, of which uv's mirrors are passed on.

    Returns:
        What a second probe found, with the new Python.

    Raises:
        NoUsablePythonError: It could not be installed; has uv's last lines.
        HostNotWritableError: uv found no room there.
    """
    command = shlex.join(["sh", "-s", "--", facts.uv, uv_version(), PYTHON])
    exports = [
        f"export {name}={shlex.quote(environ[name])}\n" for name in _PASSED_ON if environ.get(name)
    ]
    script = "".join([*exports, _INSTALL]).encode()
    done = run(command, script)
    if done.exit_code == _MISSING:
        _send(run, facts, host)
        done = run(command, script)
    if done.exit_code:
        said = "\n".join(done.stderr.strip().splitlines()[-_TAIL_LINES:])
        reason = f"uv could not install Python {PYTHON} there either:\n{said}\n"
        raise no_python(facts, host=host, further=reason)
    found = probe(run, host=host, digest=digest)
    if not found.python:
        reason = f"The Python {PYTHON} that uv installed there does not run. "
        raise no_python(found, host=host, further=reason)
    return replace(found, tried=(*facts.tried, *found.tried))


def _send(run: RunCommand, facts: HostFacts, host: str) -> None:
    """Send uv to the host.

    Raises:
        NoUsablePythonError: It did not get there.
        HostNotWritableError: The host has no room for it.
    """
    try:
        send_uv(run, facts.machine, facts.libc)
    except NotBroughtError as error:
        if error.full:
            raise not_writable(facts, host=host, full=True, said=str(error)) from error
        further = f"uv, which installs one, did not get there: {error}. "
        raise no_python(facts, host=host, further=further) from error
