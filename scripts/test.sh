#!/usr/bin/env bash
# Run all tests: first what can run side by side, then what must have the machine to itself.
# Arguments go to pytest, both times.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/pytest_twice.sh

# Without these, tests against real sshd processes, in shells, in a browser and with AWS's command line are
# skipped, and each says what it misses.
scripts/debian.sh openssh-server openssh-client rsync sshfs iproute2 git busybox zsh fish chromium awscli || true
scripts/setup.sh dev
unset PYTHONDONTWRITEBYTECODE # hundreds of processes import the same modules

pytest=(.venv/bin/python -m pytest)
code=0
run --numprocesses "${TEST_PROCESSES:-4}" -m "not serial" "$@" || once_more $? -m "not serial" "$@" || code=$?
# Failed tests (1) do not keep the others from running; being interrupted (2) and the like do.
if [ "$code" -le 1 ] && grep -rqE --include='test_*.py' 'mark\.serial\b' tests; then
    run -m serial "$@" || code=$?
fi
exit "$code"
