#!/usr/bin/env bash
# Measure, and print one table. Arguments go to `python -m bench`.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/debian.sh openssh-server openssh-client rsync iproute2 || true
scripts/setup.sh bench
unset PYTHONDONTWRITEBYTECODE # a script that is run again finds its modules compiled
exec .venv/bin/python -m bench "$@"
