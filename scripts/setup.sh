#!/usr/bin/env bash
# Make .venv and put into it what one purpose needs, exactly as locked in requirements/.
#
#   scripts/setup.sh base            to run runhouse
#   scripts/setup.sh dev             to test and check it
#   scripts/setup.sh bench           to measure it
#   scripts/setup.sh peer-NAME       to measure a peer, in .venv/peers/NAME
#   scripts/setup.sh cloud           to test clouds, in .venv/cloud
#
# PYTHON=/path/to/python chooses the interpreter; otherwise the newest of 3.10 and later is taken.
# Nothing is done, in a few milliseconds, when all of it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/pip_settings.sh

level="${1:-dev}"
venv="$PWD/.venv"
newest=99
if [[ "$level" = peer-* ]]; then
    venv="$PWD/.venv/peers/${level#peer-}"
elif [ "$level" = cloud ]; then
    venv="$PWD/.venv/cloud"
    newest=11 # the last one for the Ray that SkyPilot puts on machines, which have the same Python
fi
lock="requirements/$level.txt"
stamp="$venv/ready-$level"

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# What the environment is made from: it is made ready again when any of this changes.
fingerprint() {
    echo "$venv"
    cksum "$lock" requirements/uv.txt requirements/build.txt pyproject.toml scripts/setup.sh
}

# Whether .venv is there, works, and is of the Python that was asked for.
has_venv() {
    [ -x "$venv/bin/python" ] && [ -f "$venv/made-with" ] || return 1
    [ -z "${PYTHON:-}" ] || [ "$(find_python)" = "$(cat "$venv/made-with")" ]
}

is_ready() {
    has_venv && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ]
}

# The newest Python that works; a name in PATH need not (pyenv has names for versions that are off).
find_python() {
    local name version best="" best_minor=9
    for name in ${PYTHON:-python3 python3.10 python3.11 python3.12 python3.13 python3.14}; do
        version="$("$name" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null)" || continue
        if [ "${version% *}" = 3 ] && [ "${version#* }" -gt "$best_minor" ] &&
            [ "${version#* }" -le "$newest" ]; then
            best="$name"
            best_minor="${version#* }"
        fi
    done
    if [ -z "$best" ]; then
        fail "No Python for this was found. It needs 3.10 or newer$([ "$newest" = 99 ] || echo ", up to 3.$newest"), and looked for:" \
            "${PYTHON:-python3, python3.10 and later in PATH}." \
            "Install one (Debian 12 and later: apt-get install python3-venv), or name one: make PYTHON=/path/to/python3."
    fi
    "$best" -c 'import sys; print(sys.executable)'
}

make_venv() {
    local python
    python="$(find_python)" || exit 1
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        scripts/debian.sh python3-venv && "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "No virtual environment can be made. $python lacks the modules venv and ensurepip." \
                "Install them (Debian: apt-get install python3-venv) and try again."
    fi
    echo "Making ${venv#"$PWD/"} with $python"
    # All but the environments of others, which are in there as well.
    [ ! -d "$venv" ] ||
        find "$venv" -mindepth 1 -maxdepth 1 ! -name peers ! -name cloud -exec rm -rf {} +
    "$python" -m venv "$venv" ||
        fail "No virtual environment could be made with $python; the lines above say why." \
            "Debian: apt-get install python3-venv. Or name another Python: make PYTHON=/path/to/python3."
    echo "$python" >"$venv/made-with"
}

install() {
    local uv="$venv/bin/uv"
    if [ "$("$uv" --version 2>/dev/null | cut -d' ' -f2)" != "$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements/uv.txt)" ]; then
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            --requirement requirements/uv.txt
    fi
    follow_pip_settings "$venv/bin/python"
    echo "Installing $lock"
    "$uv" pip install --quiet --python "$venv/bin/python" --require-hashes --requirement "$lock"
    [[ "$level" != peer-* ]] || return 0
    "$uv" pip install --quiet --python "$venv/bin/python" --no-deps \
        --build-constraints requirements/build.txt --editable .
}

[ -f "$lock" ] || fail "There is no $lock. The argument must be base, dev, bench, cloud or peer-NAME."
! is_ready || exit 0

# Two makes at once: the second waits, then finds everything done.
if command -v flock >/dev/null; then
    exec 9>.venv.lock
    flock 9
    ! is_ready || exit 0
fi
if ! has_venv; then
    make_venv
fi
install
fingerprint >"$stamp"
